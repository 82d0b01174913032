//! The kernel interfaces that Rust cannot check: the only module with `unsafe`.
#![allow(unsafe_code)] // each block says why it is sound

pub mod block_device;
pub mod kexec;
pub mod loop_device;
pub mod memory;
pub mod packet;
