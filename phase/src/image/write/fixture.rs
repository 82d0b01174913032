//! A machine for the tests: the files of `/sys/block` as a laptop with two disks, a card and sticks has them.

use std::{fs, os::unix::fs::symlink, path::Path};

/// A tree with `sys/block` and `proc`.
pub(super) struct Machine(tempfile::TempDir);

impl Machine {
    /// An SSD with LVM (root, swap), SATA, eMMC, a card, a stick, a USB disk and a loop device over a file of the stick.
    pub(super) fn laptop() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let pci = "pci0000:00/0000:00:1d.0";
        machine.disk(&format!("{pci}/nvme/nvme0/nvme0n1"), "259:0", 1_000_215_216, &[("device/model", "Samsung 980")]);
        machine.part("nvme0n1", "nvme0n1p1", 1, "259:1");
        machine.part("nvme0n1", "nvme0n1p2", 2, "259:2");
        machine.disk(
            &format!("{pci}/ata1/host0/target0:0:0/0:0:0:0/block/sda"),
            "8:0",
            7_814_037_168,
            &[("device/vendor", "ATA     "), ("device/model", "WDC WD40")],
        );
        machine.part("sda", "sda1", 1, "8:1");
        let usb = format!("{pci}/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block");
        let stick =
            [("device/vendor", "SanDisk "), ("device/model", "Ultra   "), ("removable", "1"), ("diskseq", "11")];
        machine.disk(&format!("{usb}/sdb"), "8:16", 30_031_872, &stick);
        for (name, index, number) in [("sdb1", 1, "8:17"), ("sdb10", 10, "8:26"), ("sdb2", 2, "8:18")] {
            machine.part("sdb", name, index, number);
        }
        machine.disk(&format!("{usb}/sdc"), "8:32", 1_953_525_168, &[]);
        machine.disk("platform/mmc0/mmc0:0001/block/mmcblk0", "179:0", 61_071_360, &[("device/type", "MMC")]);
        let card = [("device/type", "SD"), ("device/name", "SC64G"), ("ro", "1")];
        machine.disk("platform/mmc1/mmc1:0001/block/mmcblk1", "179:8", 124_735_488, &card);
        machine.disk("virtual/block/loop0", "7:0", 2048, &[("loop/backing_file", "/media/my stick/x.squashfs")]);
        for (name, number, mapped) in [("dm-0", "254:0", "vg-root"), ("dm-1", "254:1", "vg-swap")] {
            let on = [("dm/name", mapped), ("slaves/nvme0n1p2", "")];
            machine.disk(&format!("virtual/block/{name}"), number, 2_000_000, &on);
            machine.file(&format!("sys/block/nvme0n1/nvme0n1p2/holders/{name}"), "");
        }
        machine.file("proc/swaps", "Filename\tType\n/dev/dm-1 partition 1 0 -2\n");
        machine.file("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw\n");
        machine
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of the tree.
    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn disk(&self, way: &str, number: &str, sectors: u64, more: &[(&str, &str)]) {
        let name = way.rsplit('/').next().unwrap();
        let folder = format!("sys/devices/{way}");
        for (file, text) in [("dev", number), ("size", &sectors.to_string()), ("removable", "0"), ("ro", "0")] {
            self.file(&format!("{folder}/{file}"), text);
        }
        self.file(&format!("{folder}/queue/logical_block_size"), "512");
        for (file, text) in more {
            self.file(&format!("{folder}/{file}"), text);
        }
        fs::create_dir_all(self.root().join("sys/block")).unwrap();
        symlink(format!("../devices/{way}"), self.root().join("sys/block").join(name)).unwrap();
    }

    fn part(&self, disk: &str, name: &str, index: u32, number: &str) {
        let folder = format!("sys/block/{disk}/{name}");
        for (file, text) in [("partition", index.to_string().as_str()), ("dev", number), ("size", "2048")] {
            self.file(&format!("{folder}/{file}"), text);
        }
    }
}
