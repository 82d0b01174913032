//! Writing an image to a disk and reading it back.
//!
//! The disk is opened with `O_EXCL`, so the kernel itself refuses it while anything in any mount namespace uses it, and
//! nothing can mount it until it is closed. `O_DIRECT` writes and reads the disk, not the kernel's memory of it: progress is
//! that of the disk, and what is compared was read from it.

use std::{
    fs::File,
    io::{Seek, Write},
    path::Path,
    process::Command,
};

use anyhow::{Context, anyhow, bail, ensure};
use data_encoding::HEXLOWER;
use indicatif::ProgressBar;
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, major, minor, open},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{disks::Disk, picture::fill};
use crate::progress;

/// Bytes of one request, and of one compared piece.
const PIECE: usize = 4 << 20;
/// `O_DIRECT` wants memory that begins at a multiple of the disk's sectors.
const ALIGNMENT: usize = 4096;

/// The SHA-256 of an image, and of each [`PIECE`] of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests {
    /// In hexadecimal.
    pub(super) whole: String,
    pieces: Vec<[u8; 32]>,
}

/// Opens `disk` at `path` for this program alone.
///
/// # Errors
/// It is in use, this user may not write to it, or it is not that disk any more.
pub(super) fn open_alone(path: &Path, disk: &Disk) -> anyhow::Result<File> {
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::BUSY => anyhow!(
            "{} is in use, says the kernel: something has it mounted, in another mount namespace (a container) too, or holds it \
             (LVM, RAID, encryption)",
            path.display()
        ),
        Errno::ACCESS | Errno::PERM => {
            anyhow!("{} may be written only by root (and the group `disk`); see `sudo`", path.display())
        }
        Errno::ROFS => anyhow!("{} is read-only", path.display()),
        Errno::NOMEDIUM => anyhow!("{} has no medium in it", path.display()),
        error => anyhow::Error::new(error).context(format!("cannot open {}", path.display())),
    })?;
    let status = fstat(&file).with_context(|| format!("cannot look at {}", path.display()))?;
    let number = format!("{}:{}", major(status.st_rdev), minor(status.st_rdev));
    let is_disk = FileType::from_raw_mode(status.st_mode) == FileType::BlockDevice;
    ensure!(is_disk && number == disk.number, "{} is not the disk {} any more", path.display(), disk.name);
    Ok(File::from(file))
}

/// Writes `size` bytes of `image` to the beginning of `disk`, and waits until the disk has them in its keeping.
///
/// # Errors
/// Either of them fails, or the image has become shorter: the disk then holds a part of the image.
pub(super) fn write(image: &mut File, disk: &mut File, size: u64) -> anyhow::Result<Digests> {
    let bar = progress::bytes("writing", size);
    image.rewind().context("cannot read the image")?;
    disk.rewind().context("cannot write to the disk")?;
    let digests = pieces(image, size, &bar, |piece, at| {
        disk.write_all(piece).with_context(|| format!("cannot write to the disk after {at} bytes"))
    })
    .context("the image was not written as a whole")?;
    bar.set_prefix("waiting for the disk");
    disk.sync_all().context("the disk did not confirm what was written")?;
    bar.finish_and_clear();
    Ok(digests)
}

/// Reads `size` bytes of `disk` again and compares them with what was written.
///
/// # Errors
/// It cannot be read, or it has other bytes; where they begin is said.
pub(super) fn read_back(disk: &mut File, size: u64, written: &Digests) -> anyhow::Result<()> {
    let bar = progress::bytes("reading back", size);
    disk.rewind().context("cannot read the disk")?;
    let read = pieces(disk, size, &bar, |_, _| Ok(())).context("the disk cannot be read back")?;
    bar.finish_and_clear();
    if let Some(index) = read.pieces.iter().zip(&written.pieces).position(|(read, written)| read != written) {
        let from = index * PIECE;
        bail!(
            "the disk does not hold what was written: SHA-256 {} was written and {} read back; the first difference is in the {} MiB \
             from byte {from} on. It is worn out, or smaller than it says",
            written.whole,
            read.whole,
            PIECE >> 20
        );
    }
    ensure!(
        read == *written,
        "the disk was compared with something else than what was written; this is a mistake of `phase`"
    );
    Ok(())
}

/// Reads `size` bytes, hashes them and hands them on piece by piece, each with its place.
fn pieces(
    from: &mut File,
    size: u64,
    bar: &ProgressBar,
    mut each: impl FnMut(&[u8], u64) -> anyhow::Result<()>,
) -> anyhow::Result<Digests> {
    let mut memory = vec![0; PIECE + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let buffer = &mut memory[start..start + PIECE];
    let mut whole = Sha256::new();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let read = fill(from, &mut buffer[..wanted]).with_context(|| format!("cannot read after {at} bytes"))?;
        ensure!(read == wanted, "there are only {} bytes, and there were {size}", at + read as u64);
        let piece = &buffer[..wanted];
        whole.update(piece);
        pieces.push(Sha256::digest(piece).into());
        each(piece, at)?;
        at += wanted as u64;
        bar.set_position(at);
    }
    Ok(Digests { whole: HEXLOWER.encode(&whole.finalize()), pieces })
}

/// Has the kernel read the partition table again, by `blockdev` (util-linux). The disk has to be closed.
///
/// # Errors
/// It does not: somebody was faster and uses the disk, or the kernel has no partitions on disks of this kind.
pub(super) fn reread_table(path: &Path) -> anyhow::Result<()> {
    let output =
        Command::new("blockdev").arg("--rereadpt").arg(path).output().context("blockdev (util-linux) is not here")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim().trim_start_matches("blockdev: "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt};

    use super::*;

    const LENGTH: usize = 2 * PIECE + 1024;
    const SIZE: u64 = LENGTH as u64;

    /// An image and a larger "disk", both files that are open for both.
    fn image_and_disk() -> (File, File) {
        let (image, disk) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
        image.write_all_at(&bytes, 0).unwrap();
        disk.write_all_at(&vec![0xaa; LENGTH + 4096], 0).unwrap();
        (image, disk)
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_behind_it_is_touched() {
        let (mut image, mut disk) = image_and_disk();
        let digests = write(&mut image, &mut disk, SIZE).unwrap();
        read_back(&mut disk, SIZE, &digests).unwrap();
        let (mut expected, mut found) = (vec![0; LENGTH], vec![0; LENGTH]);
        image.read_exact_at(&mut expected, 0).unwrap();
        disk.read_exact_at(&mut found, 0).unwrap();
        assert!(expected == found);
        assert_eq!(digests.whole, HEXLOWER.encode(&Sha256::digest(&expected)));
        let mut behind = [0; 4096];
        disk.read_exact_at(&mut behind, SIZE).unwrap();
        assert_eq!(behind, [0xaa; 4096]);
    }

    #[test]
    fn one_wrong_byte_is_found_and_its_place_said() {
        let (mut image, mut disk) = image_and_disk();
        let digests = write(&mut image, &mut disk, SIZE).unwrap();
        disk.write_all_at(&[0xff], PIECE as u64 + 77).unwrap();
        let message = read_back(&mut disk, SIZE, &digests).unwrap_err().to_string();
        assert!(message.contains("does not hold what was written"), "{message}");
        assert!(message.contains("in the 4 MiB from byte 4194304 on"), "{message}");
    }

    #[test]
    fn a_disk_that_ends_early_is_not_verified() {
        let (mut image, mut disk) = image_and_disk();
        let digests = write(&mut image, &mut disk, SIZE).unwrap();
        disk.set_len(SIZE - 512).unwrap();
        let message = format!("{:#}", read_back(&mut disk, SIZE, &digests).unwrap_err());
        assert!(message.contains("there are only 8389120 bytes, and there were 8389632"), "{message}");
    }

    #[test]
    fn a_full_disk_and_an_image_that_shrinks_are_errors() {
        let (mut image, mut disk) = image_and_disk();
        let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let message = format!("{:#}", write(&mut image, &mut full, SIZE).unwrap_err());
        assert!(
            message.contains("not written as a whole: cannot write to the disk after 0 bytes: No space"),
            "{message}"
        );
        image.set_len(PIECE as u64).unwrap();
        let message = format!("{:#}", write(&mut image, &mut disk, SIZE).unwrap_err());
        assert!(message.contains("there are only 4194304 bytes"), "{message}");
    }
}
