//! PID 1 of Phase Boot, twice: of the boot initramfs (stage one, [`boot`]) and of the release's initramfs (stage two,
//! [`root`]). The only crate that changes the machine; `unsafe` stands in [`sys`] alone.
//!
//! [`supervisor`] is PID 1 itself; it starts a [`worker`] that runs the stage and decides with [`recover`] what follows a
//! failure. A stage is a module named by a noun, and each takes what the one before it gives:
//! [`mounts`], [`console`], [`config`], [`modules`], [`mode`] (with [`menu`]), [`store`], [`network`] and the crate `discover`,
//! or [`media`], the crate `verify`, [`fit`], [`download`] into the [`arena`], [`compose`], [`quiet`], [`screen`], [`kexec`]; and in stage two [`modules`], [`record`], [`overlay`] (with [`upper`]),
//! [`switch_root`]. The release that was booted says with [`acknowledge`] that it is healthy.

pub mod acknowledge;
pub mod arena;
pub mod block_devices;
pub mod boot;
pub mod cmdline;
pub mod compose;
pub mod config;
pub mod console;
pub mod download;
pub mod file_system;
pub mod fit;
pub mod kexec;
pub mod marker;
pub mod measure;
pub mod media;
pub mod meminfo;
pub mod menu;
pub mod mode;
pub mod modules;
pub mod mounts;
pub mod network;
pub mod outcome;
pub mod overlay;
pub mod parameters;
pub mod pool;
pub mod progress;
pub mod quiet;
pub mod record;
pub mod recover;
pub mod rescue;
pub mod root;
pub mod screen;
pub mod share;
pub mod source;
pub mod store;
pub mod supervisor;
pub mod switch_root;
pub mod sys;
pub mod timeline;
pub mod tpm;
pub mod uevent;
pub mod upper;
pub mod worker;

/// Signs releases.
#[cfg(test)]
#[path = "../../verify/tests/support/release.rs"]
mod release;
