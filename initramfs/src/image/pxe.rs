//! What a machine is started from over a network: GRUB for PXE and for UEFI's HTTP boot, as one file for each firmware.
//!
//! Guarantees: a GRUB goes on with `grub.cfg` of the folder that it was fetched from, whatever server that is and wherever
//! the folder stands there. Nothing of a server is written into it, unless somebody names one.

use std::path::Path;

use super::{
    BootFile, Content, MediumError,
    grub::{self, Grub, IA32, PC, X64},
};
use crate::pack::kernel::Arch;

/// What each GRUB does first.
const START: &str = include_str!("../../../grub/netboot.cfg");

/// GRUB of every firmware that starts an `x86_64` kernel, by the names that DHCP servers give: `grub/i386-pc.0` for BIOS,
/// `grub/x86_64.efi` and `grub/i386.efi` for UEFI. `folder` is that of GRUB's platforms. `server`, an address or a name without
/// characters that GRUB reads, is where they find their files whatever DHCP says: at its root.
///
/// # Errors
/// GRUB or grub-mkimage is not installed, or fails.
pub fn network_loaders(folder: &Path, server: Option<&str>) -> Result<[BootFile; 3], MediumError> {
    grub::versions(folder, Arch::X86_64)?;
    let given = server.map(|server| format!("set phase_given={server}\n")).unwrap_or_default();
    let grub = Grub::for_network(folder, given + START);
    let file = |path: &str, platform, format| {
        let bytes = grub.image(platform, format)?;
        Ok(BootFile { path: path.to_owned(), content: Content::Bytes(bytes) })
    };
    Ok([
        file("grub/i386-pc.0", &PC, "i386-pc-pxe")?,
        file("grub/i386.efi", &IA32, IA32.name)?,
        file("grub/x86_64.efi", &X64, X64.name)?,
    ])
}
