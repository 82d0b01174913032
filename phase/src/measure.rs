//! What the real files of a release say about the memory that they need: the numbers that `init` checks RAM against.

use std::path::Path;

use anyhow::{Context, ensure};
use initramfs::pack::{self, kernel::KernelInfo};
use verify::{Arch, LIMITS};

use crate::output;

/// How much memory a kernel says it needs to decompress itself, in bytes.
///
/// # Errors
/// The file is no kernel, or one of another architecture.
pub fn init_size(kernel: &Path, arch: Arch) -> anyhow::Result<u64> {
    let image = output::read_limited(kernel, LIMITS.kexec_file_bytes)?;
    let info = KernelInfo::parse(&image).with_context(|| kernel.display().to_string())?;
    let seen = info.arch.as_str();
    ensure!(seen == arch.as_str(), "{} is a kernel for {seen}, wanted one for {arch}", kernel.display());
    Ok(info.init_size)
}

/// How much memory an initramfs takes once it is unpacked, in bytes.
///
/// # Errors
/// The file is nothing that Linux would unpack.
pub fn unpacked_size(initramfs: &Path) -> anyhow::Result<u64> {
    let bytes = output::read_limited(initramfs, LIMITS.kexec_file_bytes)?;
    pack::unpacked_size(&bytes).with_context(|| initramfs.display().to_string())
}
