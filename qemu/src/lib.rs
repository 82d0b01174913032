//! Starts machines in QEMU, reads their boot markers and profiles them.
//!
//! A [`Machine`] is described, started, and is then a [`Running`] one: its serial console is read line by line, each
//! line stamped with the host's time since QEMU's start, and nothing of it is lost to whoever waits for a line. A
//! [`profile::Profile`] turns the markers among those lines into a table of stages.
//!
//! No machine outlives the program that started it: QEMU is killed when `Running` is dropped, and by the kernel when
//! the program dies without dropping anything.

#![forbid(unsafe_code)]

pub mod console;
pub mod error;
pub mod lan;
pub mod machine;
pub mod markers;
pub mod profile;
pub mod program;
pub mod qmp;
pub mod running;

pub use console::{Line, Transcript};
pub use error::Error;
pub use machine::{Accelerator, Architecture, Bus, Machine, Network, NetworkBoot, Optical};
pub use markers::{Event, Marker};
pub use running::{Input, Running};
