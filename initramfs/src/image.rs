//! Whole media around a boot kernel and its initramfs.
//!
//! Guarantees: made without root and without loop mounts; the same content, time and GRUB give the same bytes in any
//! folder, because every identity on a medium (GUIDs, serial numbers) is derived from what is on it.

mod bios;
mod content;
mod disk;
mod error;
mod ext4;
mod fat;
mod grub;
mod identity;
mod iso;
mod layout;
mod pe;
mod program;
mod pxe;
mod qcow2;
mod shim;
mod table;
mod uki;

pub use content::{BootFile, Content, Label};
pub use disk::{Data, Disk, Made};
pub use error::MediumError;
pub use grub::FOLDER as GRUB_FOLDER;
pub use iso::{Disc, MadeDisc};
pub use pe::is_signed;
pub use pxe::network_loaders;
pub use qcow2::qcow2;
pub use shim::{FOLDER as SHIM_FOLDER, shim_loaders};
pub use uki::{Signer, Uki, UkiError};
pub use uuid::Uuid;
