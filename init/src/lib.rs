//! PID 1 of Phase Boot, twice: of the boot initramfs (stage one, [`boot`]) and of the release's initramfs (stage two,
//! [`root`]). The only crate that changes the machine; `unsafe` stands in [`sys`] alone.

pub mod cmdline;
pub mod console;
pub mod marker;
pub mod network;
pub mod progress;
pub mod sys;
