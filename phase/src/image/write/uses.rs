//! What the disks are used for now: mounted file systems and swap, followed down to the disk through partitions, device
//! mapper and RAID (`slaves`), and the files of loop devices. Pure functions over the text of `/proc`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::disks::Disk;

/// A disk is in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use {
    /// The disk, `sdb`.
    pub(super) disk: String,
    /// The device that is mounted or swapped to: `sdb1`, `dm-0`, or the disk itself.
    pub(super) through: String,
    /// What for.
    pub(super) purpose: Purpose,
}

/// What a device is used for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Mounted here.
    Mounted(PathBuf),
    /// Swap space, or a swap file is on it.
    Swap,
}

/// A line of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    number: String,
    point: PathBuf,
    source: String,
}

/// All uses of `disks`, sorted.
///
/// `mountinfo` is the text of one mount namespace, `swaps` that of `/proc/swaps`.
pub(super) fn find(disks: &[Disk], mountinfo: &str, swaps: &str) -> BTreeSet<Use> {
    let mounts: Vec<_> = mountinfo.lines().filter_map(mount).collect();
    let table = Table { disks, mounts: &mounts };
    let mut uses = BTreeSet::new();
    for mount in &mounts {
        if let Some(node) = table.node_of(mount) {
            uses.extend(table.uses(&node, &Purpose::Mounted(mount.point.clone())));
        }
    }
    // The first line is a heading.
    for line in swaps.lines().skip(1) {
        let file = unescape(line.split_whitespace().next().unwrap_or_default());
        if let Some(node) = table.node_named(&file).or_else(|| table.node_below(Path::new(&file))) {
            uses.extend(table.uses(&node, &Purpose::Swap));
        }
    }
    uses
}

/// The disks and mounts of one moment.
struct Table<'a> {
    disks: &'a [Disk],
    mounts: &'a [Mount],
}

impl Table<'_> {
    /// The kernel's name of what is mounted: by its number, or, for file systems of several devices such as btrfs, whose
    /// number is nobody's, by the name of the source.
    fn node_of(&self, mount: &Mount) -> Option<String> {
        let numbers = self.disks.iter().flat_map(|disk| {
            let partitions = disk.partitions.iter().map(|part| (&part.number, &part.name));
            partitions.chain([(&disk.number, &disk.name)])
        });
        let by_number = numbers.into_iter().find(|(number, _)| **number == mount.number).map(|(_, name)| name.clone());
        by_number.or_else(|| self.node_named(&mount.source))
    }

    /// The kernel's name of `/dev/sda2` or `/dev/mapper/root`.
    fn node_named(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix("/dev/")?;
        let mapped = name.strip_prefix("mapper/");
        let is_it = |disk: &&Disk| match mapped {
            Some(mapped) => disk.mapped_as.as_deref() == Some(mapped),
            None => disk.name == name || disk.partitions.iter().any(|part| part.name == name),
        };
        let disk = self.disks.iter().find(is_it)?;
        Some(if mapped.is_some() { disk.name.clone() } else { name.to_owned() })
    }

    /// The kernel's name of the device whose file system `file` is on. (Of mounts at one place the last one is seen.)
    fn node_below(&self, file: &Path) -> Option<String> {
        let below = self.mounts.iter().filter(|mount| file.starts_with(&mount.point));
        self.node_of(below.max_by_key(|mount| mount.point.components().count())?)
    }

    fn uses(&self, through: &str, purpose: &Purpose) -> Vec<Use> {
        let mut disks = BTreeSet::new();
        self.descend(through, &mut disks);
        let one = |disk| Use { disk, through: through.to_owned(), purpose: purpose.clone() };
        disks.into_iter().map(one).collect()
    }

    /// Collects the disk of `node` and all that it stands on; what is known already is not visited again.
    fn descend(&self, node: &str, found: &mut BTreeSet<String>) {
        let has = |disk: &&Disk| disk.name == node || disk.partitions.iter().any(|part| part.name == node);
        let Some(disk) = self.disks.iter().find(has) else { return };
        if !found.insert(disk.name.clone()) {
            return;
        }
        for below in &disk.made_of {
            self.descend(below, found);
        }
        if let Some(below) = disk.backing_file.as_ref().and_then(|file| self.node_below(Path::new(file))) {
            self.descend(&below, found);
        }
    }
}

fn mount(line: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let number = fields.next()?.to_owned();
    let point = PathBuf::from(unescape(fields.nth(1)?));
    Some(Mount { number, point, source: unescape(rest.split(' ').nth(1)?) })
}

/// Blanks, tabs, line ends and backslashes stand as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::{disks, fixture::Machine};
    use super::*;

    fn mounted(machine: &Machine, mountinfo: &str) -> Vec<String> {
        let disks = disks::scan(machine.root()).unwrap();
        let swaps = "Filename\tType\n/dev/dm-1 partition 1 0 -2\n/home/swap\\040file file 1 0 -3\n";
        let show = |found: Use| match found.purpose {
            Purpose::Mounted(point) => format!("{} {} {}", found.disk, found.through, point.display()),
            Purpose::Swap => format!("{} {} swap", found.disk, found.through),
        };
        find(&disks, mountinfo, swaps).into_iter().map(show).collect()
    }

    #[test]
    fn mounts_are_followed_to_the_disk() {
        let machine = Machine::laptop();
        let mountinfo = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw
23 22 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw
24 22 0:50 /@home /home rw - btrfs /dev/sda1 rw
25 22 8:17 / /media/my\\040stick rw - vfat /dev/sdb1 rw
26 22 7:0 / /mnt/image ro - squashfs /dev/loop0 ro
27 22 0:21 / /proc rw - proc proc rw
28 22 8:17 /sub /srv/bound rw - vfat /dev/sdb1 rw
";
        let expected = [
            "dm-0 dm-0 /",
            "dm-1 dm-1 swap",
            "loop0 loop0 /mnt/image",
            "nvme0n1 dm-0 /",
            "nvme0n1 dm-1 swap",
            "nvme0n1 nvme0n1p1 /boot/efi",
            "sda sda1 /home",
            "sda sda1 swap",
            "sdb loop0 /mnt/image",
            "sdb sdb1 /media/my stick",
            "sdb sdb1 /srv/bound",
        ];
        // `Ord` of the purpose puts mounts before swap; the names above are sorted the same way.
        assert_eq!(mounted(&machine, mountinfo), expected);
    }

    #[test]
    fn lines_that_are_no_mounts_and_odd_escapes_are_left_alone() {
        assert_eq!(mount("nonsense"), None);
        assert_eq!(mount("1 2 8:1 / /x rw - ext4"), None);
        assert_eq!(unescape("a\\040b\\134c\\9\\"), "a b\\c\\9\\");
    }
}
