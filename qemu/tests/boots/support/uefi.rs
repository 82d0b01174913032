//! UEFI: the firmware OVMF, and a guest that does what nothing in Phase Boot does, write a variable of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use initramfs::pack::{archive::Tree, modules::KernelTree};
use qemu::Machine;
use tempfile::TempDir;

use super::Lab;

/// The firmware's code, and its variables as they are delivered (package ovmf).
const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const DELIVERED: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// A guest that waits for Enter, then writes a variable and switches off.
const WRITER: &str = r"#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /sys
$b mount -t sysfs sysfs /sys
$b insmod /lib/modules/*/kernel/fs/efivarfs/efivarfs.ko
$b mount -t efivarfs efivarfs /sys/firmware/efi/efivars
printf 'guest login: '
read enter
printf '\007\000\000\000written' >/sys/firmware/efi/efivars/PhaseTest-0b7b5b4e-9a1c-4d7e-8f00-112233445566
exec $b poweroff -f
";

/// A board's UEFI with its variables.
pub(crate) struct Uefi(TempDir);

impl Uefi {
    /// As it is delivered: two of them that are switched on with the same devices write the same by themselves.
    pub(crate) fn new() -> Self {
        let firmware = Self(tempfile::tempdir().unwrap());
        for file in [CODE, DELIVERED] {
            assert!(Path::new(file).exists(), "{file} is not there: apt-get install ovmf");
        }
        fs::copy(DELIVERED, firmware.path()).unwrap();
        firmware
    }

    /// The machine with this firmware.
    pub(crate) fn plug(&self, machine: Machine) -> Machine {
        machine.uefi(Path::new(CODE), &self.path())
    }

    /// Every byte of the flash chip that has the variables, also while the machine runs.
    pub(crate) fn variables(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("variables")
    }
}

/// Makes the initramfs of a guest that waits at a login prompt for Enter, and then writes a variable.
pub(crate) fn variable_writer(initrd: &Path) {
    let mut tree = Tree::new();
    tree.file_from("bin/busybox", 0o755, Path::new("/bin/busybox")).unwrap();
    tree.file("init", 0o755, WRITER).unwrap();
    let kernel = KernelTree::open(Lab::ready().kernel_root()).unwrap();
    kernel.select(&["efivarfs".to_owned()]).unwrap().add_to(&mut tree, false).unwrap();
    fs::write(initrd, tree.to_newc(0).unwrap()).unwrap();
}
