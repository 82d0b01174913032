//! Debian's chain for Secure Boot: shim, which Microsoft signed and which trusts Debian's key; GRUB and the kernel, which
//! Debian signed.
//!
//! The signed GRUB has its modules in itself and loads no others. It reads `EFI/debian/grub.cfg` of the file system that it
//! came from, a name that is built in, and this leads to the menu that every GRUB here has. Neither it nor the initramfs is
//! verified by anybody (docs/secure-boot.md).

use std::path::Path;

use super::{BootFile, Content, MediumError};

/// Where Debian's package of shim puts it.
pub const FOLDER: &str = "/usr/lib/shim";
/// What the signed GRUB is told: its `$root` is the file system that it came from.
const CONFIGURATION: &str = "set prefix=($root)/boot/grub\nsource $prefix/grub.cfg\n";

/// The boot loaders of 64-bit UEFI with Secure Boot: shim, which looks for GRUB and for the keeper of its keys beside itself.
/// `shim` has them as Debian's packages do, and `grub` GRUB's platforms.
///
/// # Errors
/// One of them is not installed.
pub fn shim_loaders(shim: &Path, grub: &Path) -> Result<Vec<BootFile>, MediumError> {
    let signed = grub.join("x86_64-efi-signed/grubx64.efi.signed");
    let mut files = Vec::new();
    for (path, file, package) in [
        ("EFI/BOOT/BOOTX64.EFI", shim.join("shimx64.efi.signed"), "shim-signed"),
        ("EFI/BOOT/grubx64.efi", signed, "grub-efi-amd64-signed"),
        ("EFI/BOOT/mmx64.efi", shim.join("mmx64.efi.signed"), "shim-helpers-amd64-signed"),
    ] {
        if !file.exists() {
            return Err(MediumError::MissingShim { file, package });
        }
        files.push(BootFile { path: path.to_owned(), content: Content::File(file) });
    }
    let configuration = Content::Bytes(CONFIGURATION.into());
    files.push(BootFile { path: "EFI/debian/grub.cfg".to_owned(), content: configuration });
    Ok(files)
}
