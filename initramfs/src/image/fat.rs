//! The boot partition: a FAT32, which every UEFI, GRUB and operating system reads, and a smaller FAT for what only UEFI reads.
//! Made by mtools in their place in the image.
//!
//! (The crate fatfs 0.3.6 was tried: `fsck.vfat` complains of the `..` of its directories.)
//!
//! Guarantees: files stand there in the order of their names, each with the one given time.

use std::{collections::BTreeSet, ffi::OsString, ops::Range, path::Path, process::Command};

use super::{
    BootFile, MediumError,
    content::absolute,
    layout::{ALIGNMENT, SECTOR},
    program::Program,
};

const MFORMAT: Program = Program { name: "mformat", package: "mtools" };
const MMD: Program = Program { name: "mmd", package: "mtools" };
const MCOPY: Program = Program { name: "mcopy", package: "mtools" };

/// Smallest size in bytes: FAT32 has at least 65,525 clusters of at least one sector.
const SMALLEST: u64 = 40 << 20;
/// From this size in bytes on, clusters have [`CLUSTER`] bytes, below it one sector.
const LARGE: u64 = 272 << 20;
/// Bytes of a cluster of a large partition.
const CLUSTER: u64 = 4096;
/// Bytes of a cluster of a partition below [`SMALLEST`], which is a FAT12 or FAT16.
const SMALL_CLUSTER: u64 = 2048;
/// Bytes that stay free, for what people add.
const FREE: u64 = 8 << 20;
/// 1980-01-01T00:00:00Z in seconds since 1970, where the time of FAT begins.
const FIRST: u32 = 315_532_800;

/// What the file system says of itself.
pub(super) struct Volume<'a> {
    /// Its name.
    pub(super) label: &'a str,
    /// Its serial number.
    pub(super) serial: u32,
    /// Time of every file, in seconds since 1970.
    pub(super) mtime: u32,
}

/// Bytes of a partition with room for files of these paths and sizes.
pub(super) fn room<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Result<u64, MediumError> {
    let mut content = 0;
    for (path, size) in files {
        if size > u64::from(u32::MAX) {
            return Err(MediumError::TooLarge { path: path.to_owned(), size });
        }
        // Each directory of its path may be new, and entries of long names may take one more cluster.
        content += size.next_multiple_of(CLUSTER) + (path.split('/').count() as u64 + 1) * CLUSTER;
    }
    // Two tables of 4 bytes for each cluster of 512 bytes.
    let tables = content.div_ceil(64);
    Ok((content + tables + FREE).max(SMALLEST).next_multiple_of(ALIGNMENT))
}

/// Bytes of a small file system with room for files of these sizes in a few directories: the one of a disc, which
/// firmware alone reads.
pub(super) fn small(files: impl IntoIterator<Item = u64>) -> u64 {
    let content: u64 = files.into_iter().map(|size| size.next_multiple_of(CLUSTER) + CLUSTER).sum();
    // Two tables of at most 2 bytes for each cluster of 2 KiB, and the directories.
    (content + content.div_ceil(512) + (64 << 10)).next_multiple_of(ALIGNMENT)
}

/// Makes the file system in `range` of the image, with these files, which are sorted.
pub(super) fn write(
    image: &Path,
    range: &Range<u64>,
    files: &[(&BootFile, u64)],
    volume: &Volume<'_>,
) -> Result<(), MediumError> {
    let tools = Tools { image, range, mtime: volume.mtime };
    tools.format(volume)?;
    let mut made = BTreeSet::new();
    for (file, _) in files {
        for (end, _) in file.path.match_indices('/') {
            if made.insert(&file.path[..end]) {
                tools.directory(&file.path[..end])?;
            }
        }
        tools.copy(file)?;
    }
    Ok(())
}

/// What the tools of mtools are told alike.
struct Tools<'a> {
    image: &'a Path,
    range: &'a Range<u64>,
    mtime: u32,
}

impl Tools<'_> {
    fn format(&self, volume: &Volume<'_>) -> Result<(), MediumError> {
        let size = self.range.end - self.range.start;
        let (kind, cluster): (&[_], _) = match size {
            ..SMALLEST => (&[], SMALL_CLUSTER),
            SMALLEST..LARGE => (&["-F"], SECTOR),
            LARGE.. => (&["-F"], CLUSTER),
        };
        let mut command = self.command(&MFORMAT)?;
        // The geometry is what BIOSes make of large disks, and nothing uses it.
        command.args(kind).args(["-T", &(size / SECTOR).to_string(), "-h", "255", "-s", "63"]);
        command.args(["-c", &(cluster / SECTOR).to_string(), "-N", &format!("{:08x}", volume.serial)]);
        command.args(["-v", volume.label, "::"]);
        MFORMAT.run(command)
    }

    fn directory(&self, path: &str) -> Result<(), MediumError> {
        let mut command = self.command(&MMD)?;
        command.arg(format!("::/{path}"));
        MMD.run(command)
    }

    fn copy(&self, file: &BootFile) -> Result<(), MediumError> {
        let mut command = self.command(&MCOPY)?;
        let source = file.on_host()?;
        command.arg(&source.path).arg(format!("::/{}", file.path));
        MCOPY.run(command)
    }

    /// One tool, for the file system in the range.
    fn command(&self, program: &Program) -> Result<Command, MediumError> {
        let mut place = OsString::from(absolute(self.image)?);
        place.push(format!("@@{}", self.range.start));
        let mut command = program.command()?;
        command.arg("-i").arg(place);
        // What a person has set for drives of their own is not for this one.
        command.env("MTOOLSRC", "/dev/null").env("SOURCE_DATE_EPOCH", self.mtime.max(FIRST).to_string());
        // FAT has local time.
        command.env("TZ", "UTC0");
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_a_fat32_and_holds_what_it_is_for() {
        assert_eq!(room([("a", 1)]).unwrap(), SMALLEST);
        let many = (0..10_000).map(|_| ("phase/blobs/sha256/x", 1));
        assert_eq!(room(many).unwrap() % ALIGNMENT, 0);
        assert!(room([("a", 100 << 20)]).unwrap() >= (100 << 20) + FREE);
        let message = room([("phase/root", 4 << 30)]).unwrap_err().to_string();
        assert_eq!(message, "phase/root has 4294967296 bytes; FAT32 holds files below 4 GiB");
    }
}
