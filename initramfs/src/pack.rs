//! The packer: makes boot and release initramfs on the host.
//!
//! Guarantees: the same input gives the same bytes (members sorted, owner 0, one given time, one compression level); what
//! a machine needs and the kernel's tree lacks is an error here, not a machine that does not come up; what a computed size
//! promises to `init`'s RAM check is never too small.

pub mod archive;
pub mod compress;
pub mod elf;
pub mod image;
pub mod kernel;
pub mod modules;
pub mod sets;
pub mod size;

pub use image::{BootInitramfs, Built};
pub use size::unpacked_size;
