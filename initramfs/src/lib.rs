//! The formats of an initramfs, and on the host the packer that makes one.
//!
//! Without features only what PID 1 itself reads and writes is built: [`newc`] archives and [`kmod`] indexes, pure and
//! without I/O (docs/decisions/0001). With `pack` (the default) the packer of boot and release initramfs is added, with
//! `image` whole media around one.
//!
//! Guarantees: no unsafe code; hostile or broken input ends in a typed error, within stated limits; the same input packs
//! to the same bytes.
#![forbid(unsafe_code)]

#[cfg(feature = "image")]
pub mod image;
pub mod kmod;
pub mod newc;
#[cfg(feature = "pack")]
pub mod pack;
