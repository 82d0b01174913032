//! The image that is written: a raw one, looked at before anything else happens.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

use anyhow::{Context, bail, ensure};

/// The unit of every disk and of every image.
const SECTOR: u64 = 512;
/// What a GPT begins with (UEFI 2.10, section 5.3.2), in the second sector.
const GPT: &[u8] = b"EFI PART";
/// What people have at hand and what is no raw image: the first bytes, and what it is.
const NOT_RAW: [(&[u8], &str); 6] = [
    (b"QFI\xfb", "qcow2; `qemu-img convert -O raw` makes a raw image of it"),
    (b"\xfd7zXZ\0", "compressed with xz; `unxz` unpacks it"),
    (b"\x1f\x8b", "compressed with gzip; `gunzip` unpacks it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; `unzstd` unpacks it"),
    (b"BZh", "compressed with bzip2; `bunzip2` unpacks it"),
    (b"PK\x03\x04", "a zip archive; `unzip` unpacks it"),
];

/// What is known of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Bytes.
    pub(super) size: u64,
    /// Bytes of the sectors that its GPT counts in, if it has one.
    pub(super) gpt_sector: Option<u64>,
}

/// Opens an image and looks at its beginning.
///
/// # Errors
/// It cannot be read, is no file, is empty or cut off, or is not raw.
pub(super) fn open(path: &Path) -> anyhow::Result<(File, Picture)> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(metadata.is_file(), "{} is not a file; the image comes from one", path.display());
    // Two possible places of a GPT, and its signature.
    let mut head = Vec::new();
    (&file).take(4096 + 8).read_to_end(&mut head).with_context(|| format!("cannot read {}", path.display()))?;
    let picture = look(metadata.len(), &head).with_context(|| format!("{} is not written", path.display()))?;
    Ok((file, picture))
}

fn look(size: u64, head: &[u8]) -> anyhow::Result<Picture> {
    if let Some((_, what)) = NOT_RAW.iter().find(|(magic, _)| head.starts_with(magic)) {
        bail!("it is {what}");
    }
    ensure!(size > 0, "it is empty");
    ensure!(
        size.is_multiple_of(SECTOR),
        "it has {size} bytes, which is no multiple of {SECTOR}: it is cut off, or no image of a disk"
    );
    let has_gpt = |sector: &u64| usize::try_from(*sector).is_ok_and(|at| head.get(at..at + 8) == Some(GPT));
    Ok(Picture { size, gpt_sector: [SECTOR, 4096].into_iter().find(has_gpt) })
}

/// Fills `buffer` from `file`; fewer bytes only at its end.
pub(super) fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(size: u64, head: &[u8]) -> String {
        look(size, head).unwrap_err().to_string()
    }

    #[test]
    fn a_gpt_is_found_by_its_sectors() {
        let mut head = vec![0; 4104];
        assert_eq!(look(8192, &head).unwrap(), Picture { size: 8192, gpt_sector: None });
        head[4096..].copy_from_slice(GPT);
        assert_eq!(look(8192, &head).unwrap().gpt_sector, Some(4096));
        head[512..520].copy_from_slice(GPT);
        assert_eq!(look(8192, &head).unwrap().gpt_sector, Some(512));
        assert_eq!(look(512, &[0; 512]).unwrap().gpt_sector, None);
    }

    #[test]
    fn what_is_no_raw_image_is_named() {
        assert_eq!(refused(0, b""), "it is empty");
        assert!(refused(1000, &[0; 1000]).starts_with("it has 1000 bytes, which is no multiple of 512"));
        assert!(refused(512, b"QFI\xfb....").contains("qemu-img convert -O raw"));
        for (magic, what) in NOT_RAW {
            assert_eq!(refused(512, magic), format!("it is {what}"));
        }
    }
}
