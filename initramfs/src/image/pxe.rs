//! What a machine is started from over a network: GRUB for PXE and for UEFI's HTTP boot, as one file for each firmware.
//!
//! Guarantees: a GRUB goes on with `grub.cfg` of the folder that it was fetched from, whatever server that is and wherever
//! the folder stands there. Nothing of a server is written into it, unless somebody names one.

use std::path::Path;

use super::{
    BootFile, Content, MediumError,
    grub::{self, ARM64, Grub, IA32, PC, X64},
};
use crate::pack::kernel::Arch;

/// What each GRUB does first.
const START: &str = include_str!("../../../grub/netboot.cfg");

/// GRUB of every firmware that starts a kernel for `arch`, by the names that DHCP servers give: `grub/i386-pc.0` for BIOS,
/// `grub/x86_64.efi`, `grub/i386.efi` and `grub/arm64.efi` for UEFI. `folder` is that of GRUB's platforms. `server`, an address
/// or a name without characters that GRUB reads, is where they find their files whatever DHCP says: at its root.
///
/// # Errors
/// GRUB or grub-mkimage is not installed, or fails.
pub fn network_loaders(folder: &Path, arch: Arch, server: Option<&str>) -> Result<Vec<BootFile>, MediumError> {
    grub::versions(folder, arch)?;
    let given = server.map(|server| format!("set phase_given={server}\n")).unwrap_or_default();
    let grub = Grub::for_network(folder, given + START);
    let file = |path: &str, platform, format| {
        let bytes = grub.image(platform, format)?;
        Ok(BootFile { path: path.to_owned(), content: Content::Bytes(bytes) })
    };
    match arch {
        Arch::X86_64 => Ok(vec![
            file("grub/i386-pc.0", &PC, "i386-pc-pxe")?,
            file("grub/i386.efi", &IA32, IA32.name)?,
            file("grub/x86_64.efi", &X64, X64.name)?,
        ]),
        Arch::Aarch64 => Ok(vec![file("grub/arm64.efi", &ARM64, ARM64.name)?]),
    }
}
