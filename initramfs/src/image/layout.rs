//! Where the partitions of a disk stand.

use std::ops::Range;

/// Bytes of a sector. USB sticks, and what firmware says of other disks, have sectors of 512 bytes.
pub(super) const SECTOR: u64 = 512;
/// Every partition begins at a multiple of this, as flash memory likes it.
pub(super) const ALIGNMENT: u64 = 1 << 20;
/// Bytes of the BIOS boot partition. GRUB's core has about 100 KiB.
const BIOS: u64 = 1 << 20;

/// Ranges in bytes from the beginning of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The BIOS boot partition: GRUB's core, raw.
    pub(super) bios: Range<u64>,
    /// The EFI system partition, which BIOS boots from as well.
    pub(super) boot: Range<u64>,
    /// The partition PHASE-DATA.
    pub(super) data: Option<Range<u64>>,
    /// Bytes of the disk.
    pub(super) size: u64,
}

impl Layout {
    /// For partitions of these sizes in bytes, rounded up.
    pub(super) fn new(boot: u64, data: Option<u64>) -> Self {
        // The protective MBR and the table stand before the first partition, the table's copy behind the last one.
        let mut end = ALIGNMENT;
        let mut next = |size: u64| {
            let start = end;
            end += size.next_multiple_of(ALIGNMENT);
            start..end
        };
        let (bios, boot, data) = (next(BIOS), next(boot), data.map(&mut next));
        Self { bios, boot, data, size: end + ALIGNMENT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other_and_leave_room_for_both_tables() {
        let mib = |start: u64, end: u64| start << 20..end << 20;
        let layout = Layout::new((40 << 20) - 1, Some(8 << 20));
        assert_eq!((layout.bios, layout.boot, layout.data), (mib(1, 2), mib(2, 42), Some(mib(42, 50))));
        assert_eq!(layout.size, 51 << 20);
        assert_eq!(Layout::new(1, None).size, 4 << 20);
    }
}
