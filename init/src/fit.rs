//! Whether a release fits into this machine's memory, asked before a byte of it is downloaded: being wrong means that
//! the kernel kills something in the middle of the boot.
//!
//! Two peaks count. While the next kernel is **loaded**, `kexec_file_load` holds what it was given (our arena and the
//! kernel's file), a read buffer with a copy of both, and the segments: another copy, in which the kernel takes its
//! `init_size`. While stage two **unpacks**, the next kernel holds the whole initramfs and what it unpacks, in a rootfs
//! that is a tmpfs of half of the memory it was left with (`shmem_default_max_blocks`, mm/shmem.c of Linux).

use crate::meminfo::Memory;
use crate::progress::Mib;
use crate::timeline::Kind;

/// What must be left over at either peak, in bytes: page tables, buffers of drivers, our own stacks and the kernel's.
pub const MARGIN: u64 = 16 << 20;

/// The signed sizes of what is to be loaded, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The kernel's file.
    pub kernel: u64,
    /// What the kernel needs to unpack itself.
    pub kernel_init: u64,
    /// The composed initramfs: the release's initramfs, the squashfs, the hand-off.
    pub composed: u64,
    /// What the release's initramfs unpacks to.
    pub initramfs_unpacked: u64,
    /// The squashfs.
    pub rootfs: u64,
}

/// What a peak asks for and what is there, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// What has to be there.
    pub need: u64,
    /// What is there.
    pub have: u64,
}

/// The release does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFit {
    /// The memory is too small to load the next kernel.
    #[error("too little memory to load this release: it needs {}, {} are available, {} are missing", Mib(.0.need), Mib(.0.have), short(.0))]
    Loading(Peak),
    /// The next kernel's rootfs is too small to unpack its initramfs.
    #[error("too little memory to unpack this release after kexec: it needs {}, the next kernel will have {}, {} are missing", Mib(.0.need), Mib(.0.have), short(.0))]
    Unpacking(Peak),
    /// /proc/meminfo could not be read.
    #[error("/proc/meminfo does not say MemTotal and MemAvailable, so that nothing can be said of the memory")]
    Unknown,
}

impl Kind for NoFit {
    fn kind(&self) -> &'static str {
        "memory"
    }
}

/// Rounded up to a whole MiB, with what the kernel keeps for itself of memory that is added (64 bytes of `struct page` for every
/// page, and its reserves: 4 % was seen), so that adding what is "missing" is enough.
fn short(peak: &Peak) -> Mib {
    let missing = peak.need.saturating_sub(peak.have);
    Mib((missing + missing / 16).next_multiple_of(1 << 20))
}

/// Checks both peaks of a `kexec` hand-off; says the larger need if it fits.
pub fn kexec(sizes: &Sizes, memory: Memory) -> Result<Peak, NoFit> {
    let loading = Peak {
        // Arena, read buffer and segment; file, read buffer and a segment of `init_size`.
        need: 3 * page(sizes.composed) + 2 * page(sizes.kernel) + page(sizes.kernel_init) + MARGIN,
        have: memory.available,
    };
    if loading.need > loading.have {
        return Err(NoFit::Loading(loading));
    }
    let unpacked = page(sizes.initramfs_unpacked) + page(sizes.rootfs) + MARGIN;
    let room = Peak { need: unpacked, have: memory.total.saturating_sub(page(sizes.composed)) / 2 };
    if room.need > room.have {
        return Err(NoFit::Unpacking(room));
    }
    // The tmpfs limit is the tighter bound of the two: half of what is left also leaves half for everything else.
    Ok(loading)
}

/// Checks a `direct` hand-off, which holds the squashfs once.
pub fn direct(rootfs: u64, memory: Memory) -> Result<Peak, NoFit> {
    let peak = Peak { need: page(rootfs) + MARGIN, have: memory.available };
    if peak.need > peak.have { Err(NoFit::Loading(peak)) } else { Ok(peak) }
}

/// Sizes below 2^53 (docs/formats.md), so that sums of a few cannot overflow.
fn page(size: u64) -> u64 {
    size.next_multiple_of(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// The bench's release: 60 MB root, cloud kernel.
    fn sizes() -> Sizes {
        Sizes {
            kernel: 8 * MIB,
            kernel_init: 45 * MIB,
            composed: 62 * MIB,
            initramfs_unpacked: 3 * MIB,
            rootfs: 60 * MIB,
        }
    }

    #[test]
    fn what_fits_says_its_need() {
        let peak = kexec(&sizes(), Memory { total: 340 * MIB, available: 310 * MIB }).unwrap();
        assert_eq!(peak, Peak { need: (3 * 62 + 2 * 8 + 45 + 16) * MIB, have: 310 * MIB });
    }

    #[test]
    fn too_little_to_load_says_the_shortfall() {
        let error = kexec(&sizes(), Memory { total: 340 * MIB, available: 263 * MIB - 5 }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "too little memory to load this release: it needs 263.0 MiB, 262.9 MiB are available, 1.0 MiB are missing"
        );
    }

    #[test]
    fn what_is_missing_counts_what_the_kernel_keeps_of_it() {
        let error = kexec(&sizes(), Memory { total: 256 * MIB, available: 183 * MIB }).unwrap_err();
        assert!(error.to_string().ends_with("183.0 MiB are available, 85.0 MiB are missing"), "{error}");
    }

    #[test]
    fn room_to_load_is_not_room_to_unpack() {
        let sizes = Sizes { initramfs_unpacked: 400 * MIB, ..sizes() };
        let error = kexec(&sizes, Memory { total: 600 * MIB, available: 580 * MIB }).unwrap_err();
        assert_eq!(error, NoFit::Unpacking(Peak { need: 476 * MIB, have: 269 * MIB }));
    }

    #[test]
    fn direct_holds_the_root_once() {
        let memory = Memory { total: 100 * MIB, available: 76 * MIB };
        assert!(direct(60 * MIB, memory).is_ok());
        assert!(direct(61 * MIB, memory).is_err());
    }
}
