//! The block devices that the machine has, as sysfs shows them: found without udev.

use std::fs;
use std::path::{Path, PathBuf};

/// A disk or a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its directory in sysfs.
    pub sysfs: PathBuf,
    /// The device file.
    pub node: PathBuf,
}

/// All whole disks. Memory and images that are disks (ram, zram, loop) hold nothing from one boot to the next, but for an
/// image that somebody attached as a loop device with partitions, which is as good as any.
pub fn disks(root: &Path) -> impl Iterator<Item = Device> + use<> {
    devices(&root.join("sys/block"), root)
}

impl Device {
    /// The partitions that the kernel has made of it. `root` is the same as that of [`disks`].
    pub fn partitions(&self, root: &Path) -> impl Iterator<Item = Self> + use<> {
        devices(&self.sysfs, root).filter(|device| device.sysfs.join("partition").exists())
    }

    /// A number that sysfs has of it.
    pub fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.sysfs.join(file)).ok()?.trim_end().parse().ok()
    }
}

fn devices(directory: &Path, root: &Path) -> impl Iterator<Item = Device> + use<> {
    let dev = root.join("dev");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        // A slash in a device's name is an exclamation mark in sysfs (`kobject_set_name_vargs`).
        let node = dev.join(entry.file_name().to_str()?.replace('!', "/"));
        Some(Device { sysfs: entry.path(), node })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_partitions_have_the_names_of_their_device_files() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["sda/sda1", "sda/queue", "cciss!c0d0"] {
            fs::create_dir_all(root.path().join("sys/block").join(directory)).unwrap();
        }
        fs::write(root.path().join("sys/block/sda/sda1/partition"), "1\n").unwrap();
        fs::write(root.path().join("sys/block/sda/size"), "8192\n").unwrap();
        let mut disks: Vec<Device> = disks(root.path()).collect();
        disks.sort_by(|one, other| one.node.cmp(&other.node));
        let dev = root.path().join("dev");
        assert_eq!(
            disks.iter().map(|disk| disk.node.clone()).collect::<Vec<_>>(),
            [dev.join("cciss/c0d0"), dev.join("sda")]
        );
        assert_eq!(disks[1].number("size"), Some(8192));
        assert_eq!(disks[1].partitions(root.path()).map(|part| part.node).collect::<Vec<_>>(), [dev.join("sda1")]);
    }
}
