//! Finds the block device of a partition by its unique GUID, among all disks and without udev.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use verify::PartUuid;

use super::gpt;
use crate::block_devices::{Device, disks};

/// How often the disks are looked through while one is waited for.
const TICK: Duration = Duration::from_millis(50);
/// Bytes of a sector, whatever the disk's blocks are: what sysfs counts in (`SECTOR_SIZE` of Linux).
const SECTOR: u64 = 512;

/// Why there is no such partition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPartition {
    /// No disk has it.
    #[error(
        "no disk has a partition with PARTUUID {wanted} (after {waited} s; disks: {disks}); is it plugged in, is its driver in the initramfs (--modules disk)?"
    )]
    Missing {
        /// The GUID.
        wanted: PartUuid,
        /// Seconds.
        waited: u64,
        /// The disks that are there.
        disks: String,
    },
    /// Two have it: one is a copy, and nothing says which.
    #[error("{first} and {second} both have PARTUUID {wanted}; unplug the copy")]
    Ambiguous {
        /// The GUID.
        wanted: PartUuid,
        /// One.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
}

/// Waits for the partition until `patience` ends: a USB stick may take seconds to be there.
pub(crate) fn find(root: &Path, wanted: &PartUuid, patience: Duration) -> Result<PathBuf, NoPartition> {
    let begun = Instant::now();
    loop {
        let mut found = look(root, wanted);
        found.dedup();
        match (found.first(), found.get(1)) {
            (Some(only), None) => return Ok(only.clone()),
            (Some(first), Some(second)) => {
                return Err(NoPartition::Ambiguous {
                    wanted: wanted.clone(),
                    first: first.clone(),
                    second: second.clone(),
                });
            }
            (None, _) if begun.elapsed() < patience => std::thread::sleep(TICK),
            (None, _) => return Err(missing(root, wanted, patience)),
        }
    }
}

fn missing(root: &Path, wanted: &PartUuid, patience: Duration) -> NoPartition {
    let disks: Vec<String> = disks(root).map(|disk| disk.node.display().to_string()).collect();
    let disks = if disks.is_empty() { "none".to_owned() } else { disks.join(", ") };
    NoPartition::Missing { wanted: wanted.clone(), waited: patience.as_secs(), disks }
}

/// The device files of all partitions with this GUID, sorted.
fn look(root: &Path, wanted: &PartUuid) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = disks(root)
        .filter_map(|disk| {
            let partitions: Vec<Device> = disk.partitions(root).collect();
            named_by_the_kernel(&partitions, wanted).or_else(|| named_by_the_table(&disk, &partitions, wanted))
        })
        .collect();
    found.sort();
    found
}

/// Linux 6.9 and later say the GUID themselves (`PARTUUID=`, `part_uevent` of block/partitions/core.c).
fn named_by_the_kernel(partitions: &[Device], wanted: &PartUuid) -> Option<PathBuf> {
    let says = |device: &&Device| {
        let uevent = fs::read_to_string(device.sysfs.join("uevent")).unwrap_or_default();
        let mut uuids = uevent.lines().filter_map(|line| line.strip_prefix("PARTUUID="));
        uuids.any(|uuid| uuid.eq_ignore_ascii_case(wanted.as_str()))
    };
    partitions.iter().find(says).map(|device| device.node.clone())
}

/// Reads the disk's own table. What it says counts only if the kernel has made the same partition of it.
fn named_by_the_table(disk: &Device, partitions: &[Device], wanted: &PartUuid) -> Option<PathBuf> {
    if partitions.is_empty() {
        return None;
    }
    let size = disk.number("size")?.saturating_mul(SECTOR);
    let block = usize::try_from(disk.number("queue/logical_block_size")?).ok()?;
    let found = gpt::find(&mut File::open(&disk.node).ok()?, size, block, wanted).ok()??;
    let same = |device: &&Device| {
        device.number("partition") == Some(found.number.into())
            && device.number("start").and_then(|start| start.checked_mul(SECTOR)) == Some(found.start)
    };
    partitions.iter().find(same).map(|device| device.node.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const GUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";

    fn wanted() -> PartUuid {
        GUID.parse().unwrap()
    }

    /// A machine with disks, each with one partition of 1 MiB from 1 MiB on.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            for directory in ["sys/block/loop0", "dev"] {
                fs::create_dir_all(machine.root().join(directory)).unwrap();
            }
            machine
        }

        fn root(&self) -> &Path {
            self.0.path()
        }

        /// Plugs in a disk whose partition has `guid`; `uevent` is what the kernel says of the partition.
        fn disk(&self, name: &str, guid: &str, uevent: &str) {
            let partition = self.root().join(format!("sys/block/{name}/{name}1"));
            fs::create_dir_all(&partition).unwrap();
            fs::create_dir_all(self.root().join(format!("sys/block/{name}/queue"))).unwrap();
            let image = self.root().join("dev").join(name);
            File::create(&image).unwrap().set_len(4 << 20).unwrap();
            let made =
                Command::new("sgdisk").args(["-n", "1:2048:4095", "-u", &format!("1:{guid}")]).arg(image).output();
            assert!(made.expect("sgdisk (package gdisk) has to be installed").status.success());
            for (file, text) in [
                (format!("{name}/size"), "8192\n"),
                (format!("{name}/queue/logical_block_size"), "512\n"),
                (format!("{name}/{name}1/partition"), "1\n"),
                (format!("{name}/{name}1/start"), "2048\n"),
                (format!("{name}/{name}1/uevent"), uevent),
            ] {
                fs::write(self.root().join("sys/block").join(file), text).unwrap();
            }
        }

        fn find(&self) -> Result<PathBuf, NoPartition> {
            find(self.root(), &wanted(), Duration::ZERO)
        }
    }

    #[test]
    fn a_partition_is_found_by_the_disks_own_table() {
        let machine = Machine::new();
        machine.disk("sda", "11111111-2222-3333-4444-555555555555", "");
        machine.disk("vda", GUID, "DEVNAME=vda1\n");
        assert_eq!(machine.find().unwrap(), machine.root().join("dev/vda1"));
    }

    #[test]
    fn a_partition_that_the_kernel_names_needs_no_table() {
        let machine = Machine::new();
        machine.disk("vda", GUID, &format!("DEVNAME=vda1\nPARTUUID={GUID}\n"));
        fs::remove_file(machine.root().join("dev/vda")).unwrap();
        assert_eq!(machine.find().unwrap(), machine.root().join("dev/vda1"));
    }

    #[test]
    fn a_table_that_the_kernel_made_no_partition_of_does_not_count() {
        let machine = Machine::new();
        machine.disk("vda", GUID, "");
        fs::write(machine.root().join("sys/block/vda/vda1/start"), "4096\n").unwrap();
        assert!(matches!(machine.find(), Err(NoPartition::Missing { .. })));
    }

    #[test]
    fn a_missing_partition_is_named_with_the_disks_that_are_there() {
        let machine = Machine::new();
        machine.disk("sda", "11111111-2222-3333-4444-555555555555", "");
        let error = machine.find().unwrap_err().to_string();
        assert!(error.contains(GUID) && error.contains("dev/sda"), "{error}");
    }

    #[test]
    fn a_copy_is_not_taken_for_the_one() {
        let machine = Machine::new();
        machine.disk("sda", GUID, "");
        machine.disk("sdb", GUID, "");
        let error = machine.find().unwrap_err().to_string();
        assert!(error.contains("dev/sda1") && error.contains("dev/sdb1 both have"), "{error}");
    }

    #[test]
    fn a_disk_that_is_late_is_waited_for() {
        let machine = Machine::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                machine.disk("sda", GUID, "");
            });
            let found = find(machine.root(), &wanted(), Duration::from_secs(20));
            assert_eq!(found.unwrap(), machine.root().join("dev/sda1"));
        });
    }
}
