//! What the real files of a release say of themselves: the memory that they need, which `init` checks RAM against, and
//! that they are what they should be.

use std::{fs::File, io::Read, path::Path};

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

/// Bytes of a sector of a loop device.
const SECTOR: u64 = 512;

/// Checks that a file begins as a squashfs does and is not cut short, by its superblock (version 4.0, Linux's
/// `fs/squashfs/squashfs_fs.h`): magic at offset 0, `bytes_used` at 40.
///
/// # Errors
/// Another kind of file, or fewer bytes than the superblock says.
pub fn check_squashfs(path: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot read {}", path.display());
    let mut superblock = Vec::new();
    let mut file = File::open(path).with_context(context)?;
    let size = file.metadata().with_context(context)?.len();
    file.by_ref().take(48).read_to_end(&mut superblock).with_context(context)?;
    ensure!(superblock.starts_with(b"hsqs"), "{} is not a squashfs: it does not begin with \"hsqs\"", path.display());
    let used = superblock.get(40..48).and_then(|field| field.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes);
    ensure!(used <= size, "{} has {size} bytes, fewer than its squashfs has: {used}", path.display());
    // The kernel's loop device has whole sectors only, so the last bytes of such a file could not be read.
    ensure!(
        size % SECTOR == 0,
        "{} has {size} bytes; wanted a multiple of {SECTOR}: pack it with padding",
        path.display()
    );
    Ok(())
}

/// How much memory an initramfs takes once it is unpacked, in bytes.
///
/// # Errors
/// The file is nothing that Linux would unpack.
pub fn unpacked_size(initramfs: &Path) -> anyhow::Result<u64> {
    let bytes = output::read_limited(initramfs, LIMITS.kexec_file_bytes)?;
    pack::unpacked_size(&bytes).with_context(|| initramfs.display().to_string())
}
