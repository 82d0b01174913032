//! Which disks are not written to, and why: pure decisions over what was seen of the machine.

use std::{collections::BTreeSet, fmt, path::Path};

use indicatif::HumanBytes;

use super::{
    disks::Disk,
    picture::Picture,
    uses::{Purpose, Use},
};

/// Why a disk is not written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This system runs from it.
    CarriesRoot { disk: String, through: String },
    /// A file system of it is mounted.
    Mounted { disk: String, through: String, point: String },
    /// It holds swap space.
    Swap { disk: String, through: String },
    /// LVM, RAID, encryption or the like stands on it.
    Held { disk: String, part: String, holders: String },
    /// LVM, RAID, encryption or the like: it is made of other disks.
    MadeOf { disk: String, below: String },
    /// A drive for discs.
    Optical { disk: String },
    /// The kernel does not let it be written.
    ReadOnly { disk: String },
    /// A reader without a card.
    NoMedium { disk: String },
    /// The image does not fit.
    TooSmall { disk: String, size: u64, wanted: u64 },
    /// Its sectors are not those that the image was made for.
    Sectors { disk: String, sector: u64, wanted: u64 },
    /// Nobody carries it around.
    BuiltIn { disk: String, transport: &'static str },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CarriesRoot { disk, through } => {
                write!(f, "{disk} carries / of this system (mounted from {through})")
            }
            Self::Mounted { disk, through, point } => {
                write!(f, "{disk} is in use: {through} is mounted at {point}; `umount {point}` takes it away")
            }
            Self::Swap { disk, through } => write!(f, "{disk} is in use: {through} has swap space; see `swapoff`"),
            Self::Held { disk, part, holders } => write!(
                f,
                "{disk} is in use: {holders} (LVM, RAID or encryption) is made of {part}; see `lsblk {}`",
                Path::new("/dev").join(disk).display()
            ),
            Self::MadeOf { disk, below } => write!(f, "{disk} is not a whole disk: it is made of {below}"),
            Self::Optical { disk } => write!(f, "{disk} is a drive for discs; disc burners write those"),
            Self::ReadOnly { disk } => {
                write!(f, "{disk} is read-only; some cards and sticks have a switch for that at their side")
            }
            Self::NoMedium { disk } => write!(f, "{disk} has no medium in it"),
            Self::TooSmall { disk, size, wanted } => {
                write!(f, "{disk} has {size} bytes ({}) and the image needs {wanted}", HumanBytes(*size))
            }
            Self::Sectors { disk, sector, wanted } => write!(
                f,
                "{disk} has sectors of {sector} bytes and the image is made for sectors of {wanted}: nothing would start from it"
            ),
            Self::BuiltIn { disk, transport } => write!(
                f,
                "{disk} ({transport}) is neither removable nor a USB disk nor an SD card; --any-disk writes to it all the same"
            ),
        }
    }
}

/// What speaks against writing to `disk`, the worst first; `picture` if it is known what would be written.
pub(super) fn refusal(disk: &Disk, uses: &BTreeSet<Use>, picture: Option<&Picture>, any_disk: bool) -> Option<Refusal> {
    let name = || disk.name.clone();
    if let Some(used) = in_use(disk, uses) {
        return Some(used);
    }
    if !disk.made_of.is_empty() || disk.mapped_as.is_some() {
        return Some(Refusal::MadeOf { disk: name(), below: disk.made_of.join(" ") });
    }
    if disk.name.starts_with("sr") {
        return Some(Refusal::Optical { disk: name() });
    }
    if disk.size == 0 {
        return Some(Refusal::NoMedium { disk: name() });
    }
    if disk.read_only {
        return Some(Refusal::ReadOnly { disk: name() });
    }
    if let Some(picture) = picture {
        if picture.size > disk.size {
            return Some(Refusal::TooSmall { disk: name(), size: disk.size, wanted: picture.size });
        }
        let fits = picture.gpt_sector.is_none_or(|sector| sector == disk.sector);
        if !fits || !picture.size.is_multiple_of(disk.sector) {
            return Some(Refusal::Sectors {
                disk: name(),
                sector: disk.sector,
                wanted: picture.gpt_sector.unwrap_or(512),
            });
        }
    }
    let built_in = !any_disk && !disk.is_portable();
    built_in
        .then(|| Refusal::BuiltIn { disk: name(), transport: disk.transport.unwrap_or("attached in an unknown way") })
}

fn in_use(disk: &Disk, uses: &BTreeSet<Use>) -> Option<Refusal> {
    let name = || disk.name.clone();
    let own = || uses.iter().filter(|found| found.disk == disk.name);
    let is_root = |found: &&Use| found.purpose == Purpose::Mounted("/".into());
    if let Some(root) = own().find(is_root) {
        return Some(Refusal::CarriesRoot { disk: name(), through: root.through.clone() });
    }
    if let Some(Use { through, purpose, .. }) = own().next() {
        let through = through.clone();
        return Some(match purpose {
            Purpose::Mounted(point) => Refusal::Mounted { disk: name(), through, point: point.display().to_string() },
            Purpose::Swap => Refusal::Swap { disk: name(), through },
        });
    }
    let parts = disk.partitions.iter().map(|part| (&part.name, &part.holders));
    let (part, holders) = parts.chain([(&disk.name, &disk.holders)]).find(|(_, holders)| !holders.is_empty())?;
    Some(Refusal::Held { disk: name(), part: part.clone(), holders: holders.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::super::{disks, fixture::Machine, uses};
    use super::*;

    const IMAGE: Picture = Picture { size: 64 << 20, gpt_sector: Some(512) };

    /// What is said against a disk of the laptop, where its swap is on, its root mounted and nothing else.
    fn said(name: &str, any_disk: bool, change: impl FnOnce(&mut Disk)) -> String {
        let machine = Machine::laptop();
        let mut disks = disks::scan(machine.root()).unwrap();
        change(disks.iter_mut().find(|disk| disk.name == name).unwrap());
        let mountinfo = "22 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw\n";
        let uses = uses::find(&disks, mountinfo, "");
        let disk = disks.iter().find(|disk| disk.name == name).unwrap();
        refusal(disk, &uses, Some(&IMAGE), any_disk).map_or_else(String::new, |refusal| refusal.to_string())
    }

    #[test]
    fn a_stick_is_written_to() {
        assert_eq!(said("sdb", false, |_| ()), "");
        assert_eq!(said("sdc", false, |_| ()), "");
    }

    #[test]
    fn the_disk_below_the_root_is_never_written_to() {
        for any_disk in [false, true] {
            assert_eq!(said("nvme0n1", any_disk, |_| ()), "nvme0n1 carries / of this system (mounted from dm-0)");
        }
    }

    #[test]
    fn what_is_built_in_is_written_to_only_on_request() {
        let built_in =
            "sda (sata) is neither removable nor a USB disk nor an SD card; --any-disk writes to it all the same";
        assert_eq!(said("sda", false, |_| ()), built_in);
        assert_eq!(said("sda", true, |_| ()), "");
        assert!(said("mmcblk0", false, |_| ()).starts_with("mmcblk0 (mmc) is neither"));
    }

    #[test]
    fn what_cannot_hold_the_image_is_refused() {
        assert!(said("mmcblk1", true, |_| ()).starts_with("mmcblk1 is read-only"));
        assert_eq!(said("sdb", true, |disk| disk.size = 0), "sdb has no medium in it");
        let small = said("sdb", true, |disk| disk.size = (64 << 20) - 512);
        assert_eq!(small, "sdb has 67108352 bytes (64.00 MiB) and the image needs 67108864");
        let sectors = said("sdb", true, |disk| disk.sector = 4096);
        assert!(sectors.contains("sectors of 4096 bytes and the image is made for sectors of 512"), "{sectors}");
    }

    #[test]
    fn what_others_stand_on_is_refused() {
        let held = said("sdb", true, |disk| disk.partitions[1].holders = vec!["md0".to_owned()]);
        assert_eq!(held, "sdb is in use: md0 (LVM, RAID or encryption) is made of sdb2; see `lsblk /dev/sdb`");
        let held = said("sdb", true, |disk| disk.holders = vec!["dm-7".to_owned()]);
        assert!(held.contains("dm-7 (LVM, RAID or encryption) is made of sdb;"), "{held}");
        assert_eq!(said("dm-1", true, |_| ()), "dm-1 is not a whole disk: it is made of nvme0n1p2");
    }

    #[test]
    fn mounts_and_swap_are_named() {
        let machine = Machine::laptop();
        let disks = disks::scan(machine.root()).unwrap();
        let said = |name: &str, mountinfo: &str, swaps: &str| {
            let disk = disks.iter().find(|disk| disk.name == name).unwrap();
            refusal(disk, &uses::find(&disks, mountinfo, swaps), None, true).unwrap().to_string()
        };
        let mounted = said("sdb", "25 22 8:17 / /media/x rw - vfat /dev/sdb1 rw\n", "");
        assert_eq!(mounted, "sdb is in use: sdb1 is mounted at /media/x; `umount /media/x` takes it away");
        let swap = said("sdb", "", "Filename\n/dev/sdb2 partition\n");
        assert_eq!(swap, "sdb is in use: sdb2 has swap space; see `swapoff`");
        let live =
            said("sdb", "1 0 7:0 / / ro - squashfs /dev/loop0 ro\n2 1 8:17 / /media/my\\040stick rw - vfat x rw\n", "");
        assert_eq!(live, "sdb carries / of this system (mounted from loop0)", "the root is a file on the stick");
    }
}
