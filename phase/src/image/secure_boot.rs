//! `--secure-boot`: a disk whose 64-bit UEFI starts Debian's shim and signed GRUB (docs/secure-boot.md).

use std::path::PathBuf;

use initramfs::{
    image::{BootFile, SHIM_FOLDER, is_signed, shim_loaders},
    pack::kernel::Arch,
};

use super::parts::{Grub, KERNEL_BYTES, Parts};
use crate::output;

/// Whether, and with which shim.
#[derive(Debug, Clone, clap::Args)]
pub struct SecureBoot {
    /// Starts under Secure Boot of 64-bit UEFI, by Debian's shim and its signed GRUB; the kernel has to be signed
    #[arg(long = "secure-boot")]
    wanted: bool,
    /// The folder that has the signed shim
    #[arg(long = "shim", value_name = "DIR", default_value = SHIM_FOLDER, requires = "wanted")]
    shim: PathBuf,
}

impl SecureBoot {
    /// The boot loaders that it takes for a kernel for `arch`; none if it was not asked for.
    ///
    /// # Errors
    /// The kernel is for another architecture than the shim, or has no signature, or a package is missing.
    pub fn loaders(&self, parts: &Parts, arch: Arch, grub: &Grub) -> anyhow::Result<Vec<BootFile>> {
        if !self.wanted {
            return Ok(Vec::new());
        }
        anyhow::ensure!(
            arch == Arch::X86_64,
            "--secure-boot is there for kernels for x86_64, by Debian's shim for PCs; {} is for {}: leave it away, or sign a UKI \
             with a key of your own (phase image uki --sign-key)",
            parts.kernel.display(),
            arch.as_str()
        );
        anyhow::ensure!(
            is_signed(&output::read_limited(&parts.kernel, KERNEL_BYTES)?),
            "{} has no signature, and under Secure Boot nothing would start it: wanted the kernel of a distribution's signed \
             package (Debian: linux-image-amd64, not …-unsigned), or one that sbsign has signed",
            parts.kernel.display()
        );
        Ok(shim_loaders(&self.shim, &grub.folder)?)
    }
}
