//! The disks of this machine as `/sys/block` describes them (Documentation/ABI/stable/sysfs-block). Nothing is opened, so a
//! plain user sees the same as root, and tests read trees of their own.

use std::{fs, path::Path};

use anyhow::Context;

/// Linux counts the sectors of `size` and `start` in this many bytes, whatever the disk's own sectors are.
const SYSFS_SECTOR: u64 = 512;

/// What `/sys/block` lists: a disk, or something that looks like one (loop, device mapper, RAID).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// The kernel's name, `sdb`.
    pub(super) name: String,
    /// `MAJOR:MINOR`.
    pub(super) number: String,
    /// Bytes; 0 where no medium is in the reader.
    pub(super) size: u64,
    /// Bytes of its smallest unit, 512 or 4096.
    pub(super) sector: u64,
    /// Vendor and model.
    pub(super) model: Option<String>,
    /// What it is attached by.
    pub(super) transport: Option<&'static str>,
    /// The medium can be taken out.
    pub(super) removable: bool,
    /// The kernel refuses writes: a switch on the card, `blockdev --setro`.
    pub(super) read_only: bool,
    /// Counts up with every disk and medium that comes (since Linux 5.15): a stick that was exchanged has another one.
    pub(super) sequence: Option<String>,
    /// In the order of their numbers.
    pub(super) partitions: Vec<Partition>,
    /// Devices that stand on it, such as `dm-0`.
    pub(super) holders: Vec<String>,
    /// Devices that it stands on: disks or partitions.
    pub(super) made_of: Vec<String>,
    /// The name below `/dev/mapper`.
    pub(super) mapped_as: Option<String>,
    /// The file that a loop device shows.
    pub(super) backing_file: Option<String>,
}

/// A partition that the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// The kernel's name, `sdb1`.
    pub(super) name: String,
    /// Which one it is on its disk, from 1 on.
    pub(super) index: u32,
    /// `MAJOR:MINOR`.
    pub(super) number: String,
    /// Bytes.
    pub(super) size: u64,
    /// Devices that stand on it, such as `dm-0`.
    pub(super) holders: Vec<String>,
}

impl Disk {
    /// Whether it is meant to be carried around. (An eMMC is soldered to the board, so it is not.)
    pub(super) fn is_portable(&self) -> bool {
        self.removable || matches!(self.transport, Some("usb" | "sd"))
    }

    /// Its usual place; `!` stands for the slash of names such as `cciss/c0d0`.
    pub(super) fn path(&self) -> String {
        format!("/dev/{}", self.name.replace('!', "/"))
    }
}

/// All disks below `root`, in the order of their names.
///
/// # Errors
/// `/sys/block` cannot be listed. A disk that vanishes while it is read is left out.
pub(super) fn scan(root: &Path) -> anyhow::Result<Vec<Disk>> {
    let block = root.join("sys/block");
    let entries = fs::read_dir(&block).with_context(|| format!("cannot list the disks in {}", block.display()))?;
    let mut disks = Vec::new();
    for entry in entries {
        disks.extend(disk(&entry?.path()));
    }
    disks.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
    Ok(disks)
}

fn disk(folder: &Path) -> Option<Disk> {
    let name = folder.file_name()?.to_str()?.to_owned();
    let mut partitions: Vec<_> = names(folder).iter().filter_map(|name| partition(&folder.join(name))).collect();
    partitions.sort_by_key(|partition| partition.index);
    let model: Vec<_> = ["device/vendor", "device/model", "device/name"]
        .iter()
        .filter_map(|file| text(folder, file))
        // SATA disks all have the vendor `ATA`, and virtio gives a number.
        .filter(|word| word != "ATA" && !word.starts_with("0x"))
        .collect();
    Some(Disk {
        number: text(folder, "dev")?,
        size: text(folder, "size")?.parse::<u64>().ok()? * SYSFS_SECTOR,
        sector: text(folder, "queue/logical_block_size").and_then(|size| size.parse().ok()).unwrap_or(SYSFS_SECTOR),
        model: (!model.is_empty()).then(|| model.join(" ")),
        transport: transport(folder, &name),
        removable: text(folder, "removable").is_some_and(|flag| flag == "1"),
        read_only: text(folder, "ro").is_some_and(|flag| flag == "1"),
        sequence: text(folder, "diskseq"),
        partitions,
        holders: names(&folder.join("holders")),
        made_of: names(&folder.join("slaves")),
        mapped_as: text(folder, "dm/name"),
        backing_file: text(folder, "loop/backing_file"),
        name,
    })
}

fn partition(folder: &Path) -> Option<Partition> {
    Some(Partition {
        name: folder.file_name()?.to_str()?.to_owned(),
        index: text(folder, "partition")?.parse().ok()?,
        number: text(folder, "dev")?,
        size: text(folder, "size")?.parse::<u64>().ok()? * SYSFS_SECTOR,
        holders: names(&folder.join("holders")),
    })
}

/// The bus, from the way to the device (`/sys/block/sdb` is a link to it), or from the driver's name for it.
fn transport(folder: &Path, name: &str) -> Option<&'static str> {
    let way = fs::read_link(folder).ok()?;
    let way = way.to_str()?;
    if way.contains("/usb") {
        return Some("usb");
    }
    if name.starts_with("mmcblk") {
        return Some(if text(folder, "device/type").as_deref() == Some("SD") { "sd" } else { "mmc" });
    }
    let by_way = [("/nvme", "nvme"), ("/ata", "sata"), ("/virtio", "virtio")];
    let by_name = [("loop", "loop"), ("dm-", "device mapper"), ("md", "raid"), ("zram", "zram"), ("sd", "scsi")];
    let by_way = by_way.iter().find(|(part, _)| way.contains(part));
    by_way.or_else(|| by_name.iter().find(|(start, _)| name.starts_with(start))).map(|(_, transport)| *transport)
}

/// What a file of one line says; `None` if it is not there or empty.
fn text(folder: &Path, file: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(file)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The names in a folder, sorted; none if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Machine;
    use super::*;

    #[test]
    fn a_stick_is_described_with_its_partitions() {
        let machine = Machine::laptop();
        let disks = scan(machine.root()).unwrap();
        let stick = disks.iter().find(|disk| disk.name == "sdb").unwrap();
        assert_eq!(stick.size, 15_376_318_464);
        assert_eq!(stick.model.as_deref(), Some("SanDisk Ultra"));
        assert_eq!((stick.transport, stick.removable, stick.read_only), (Some("usb"), true, false));
        assert_eq!(stick.sequence.as_deref(), Some("11"));
        assert_eq!(stick.path(), "/dev/sdb");
        let names: Vec<_> = stick.partitions.iter().map(|part| (part.name.as_str(), part.index)).collect();
        assert_eq!(names, [("sdb1", 1), ("sdb2", 2), ("sdb10", 10)]);
        assert!(stick.is_portable());
    }

    #[test]
    fn what_is_built_in_is_not_portable() {
        let machine = Machine::laptop();
        let disks = scan(machine.root()).unwrap();
        let portable = |name: &str| {
            let disk = disks.iter().find(|disk| disk.name == name).unwrap();
            (disk.transport, disk.is_portable())
        };
        assert_eq!(portable("nvme0n1"), (Some("nvme"), false));
        assert_eq!(portable("sda"), (Some("sata"), false));
        assert_eq!(portable("mmcblk0"), (Some("mmc"), false), "an eMMC");
        assert_eq!(portable("mmcblk1"), (Some("sd"), true), "a card");
        assert_eq!(portable("sdc"), (Some("usb"), true), "a USB disk, which says that it is not removable");
        assert_eq!(portable("loop0"), (Some("loop"), false));
    }

    #[test]
    fn a_tree_without_disks_is_an_error_with_its_path() {
        let empty = tempfile::tempdir().unwrap();
        let message = format!("{:#}", scan(empty.path()).unwrap_err());
        assert!(message.contains("cannot list the disks in") && message.contains("sys/block"), "{message}");
    }
}
