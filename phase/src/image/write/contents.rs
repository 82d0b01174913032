//! What is on a disk, for people to recognise it: from udev's database, which everybody may read, else from `blkid`
//! (util-linux), which reads the disk and so needs the right to. Nothing is decided by it.

use std::{fs, path::Path, process::Command};

use serde::Serialize;

/// What stands at the beginning of a disk or a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Contents {
    /// Kind of partition table, `gpt` or `dos`.
    pub(super) table: Option<String>,
    /// `vfat`, `ext4`, `crypto_LUKS`.
    pub(super) file_system: Option<String>,
    /// Of the file system.
    pub(super) label: Option<String>,
    /// Of the partition, in a GPT.
    pub(super) partition_label: Option<String>,
}

impl Contents {
    /// What `number` (`MAJOR:MINOR`) at `path` holds; `None` if nobody here can tell.
    pub(super) fn of(root: &Path, path: &str, number: &str) -> Option<Self> {
        let udev = fs::read_to_string(root.join(format!("run/udev/data/b{number}"))).ok();
        let known = udev.map(|text| Self::parse(&text)).filter(|contents| *contents != Self::default());
        known.or_else(|| Self::probe(path))
    }

    /// By `blkid`: status 2 means that it found nothing, or could not read.
    fn probe(path: &str) -> Option<Self> {
        fs::File::open(path).ok()?;
        let blkid = Command::new("blkid").args(["-p", "-o", "export", path]).output().ok()?;
        Some(Self::parse(&String::from_utf8_lossy(&blkid.stdout)))
    }

    /// Reads `E:ID_FS_TYPE=vfat` (udev's database) and `TYPE=vfat` (`blkid -o export`).
    fn parse(text: &str) -> Self {
        let value = |names: [&str; 2]| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            let found = pairs.find(|(name, value)| names.contains(name) && !value.is_empty());
            // What comes from a disk goes to a terminal: no control characters.
            found.map(|(_, value)| value.chars().filter(|letter| !letter.is_control()).collect())
        };
        Self {
            table: value(["E:ID_PART_TABLE_TYPE", "PTTYPE"]),
            file_system: value(["E:ID_FS_TYPE", "TYPE"]),
            label: value(["E:ID_FS_LABEL", "LABEL"]),
            partition_label: value(["E:ID_PART_ENTRY_NAME", "PART_ENTRY_NAME"]),
        }
    }

    /// In one line; empty if nothing was found.
    pub(super) fn describe(&self) -> String {
        let quoted = |label: &Option<String>| label.as_ref().map(|label| format!("{label:?}"));
        let table = self.table.as_ref().map(|table| format!("{table} partition table"));
        let parts = [table, quoted(&self.partition_label), self.file_system.clone(), quoted(&self.label)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udev_is_asked_first() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("run/udev/data");
        fs::create_dir_all(&data).unwrap();
        fs::write(
            data.join("b8:17"),
            "I:123\nE:ID_FS_TYPE=vfat\nE:ID_FS_LABEL=CAMERA\nE:ID_PART_ENTRY_NAME=EFI\x1b[2J\n",
        )
        .unwrap();
        let contents = Contents::of(root.path(), "/dev/none", "8:17").unwrap();
        assert_eq!(contents.describe(), r#""EFI[2J" vfat "CAMERA""#);
        assert_eq!(Contents::of(root.path(), "/dev/none", "8:18"), None);
    }

    #[test]
    fn what_blkid_says_is_read() {
        let contents = Contents::parse("DEVNAME=/dev/sdb\nPTUUID=6224\nPTTYPE=gpt\nLABEL=\n");
        assert_eq!(contents.describe(), "gpt partition table");
        assert_eq!(contents.label, None);
    }
}
