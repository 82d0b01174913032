//! UEFI: the firmware OVMF, and a guest that does what nothing in Phase Boot does, write a variable of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use initramfs::pack::{archive::Tree, modules::KernelTree};
use qemu::Machine;
use tempfile::TempDir;

use super::Lab;

/// A firmware: its code, its variables as they are delivered, and the package that has both.
struct Delivered {
    code: &'static str,
    variables: &'static str,
    package: &'static str,
    /// Whether it keeps its variables by system management mode.
    guarded: bool,
}

const X64: Delivered = Delivered {
    code: "/usr/share/OVMF/OVMF_CODE_4M.fd",
    variables: "/usr/share/OVMF/OVMF_VARS_4M.fd",
    package: "ovmf",
    guarded: false,
};
/// There is only that for Secure Boot, which is off as long as nobody enrols a key.
const IA32: Delivered = Delivered {
    code: "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd",
    variables: "/usr/share/OVMF/OVMF32_VARS_4M.fd",
    package: "ovmf-ia32",
    guarded: true,
};

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
pub(crate) struct Uefi {
    delivered: Delivered,
    directory: TempDir,
}

impl Uefi {
    /// Of 64 bits, as it is delivered: two of them that are switched on with the same devices write the same by themselves.
    pub(crate) fn new() -> Self {
        Self::of(X64)
    }

    /// Of 32 bits, as Macs of 2006 to 2009 have it.
    pub(crate) fn of_32_bits() -> Self {
        Self::of(IA32)
    }

    fn of(delivered: Delivered) -> Self {
        let firmware = Self { delivered, directory: tempfile::tempdir().unwrap() };
        let Delivered { code, variables, package, .. } = firmware.delivered;
        for file in [code, variables] {
            assert!(Path::new(file).exists(), "{file} is not there: apt-get install {package}");
        }
        fs::copy(variables, firmware.path()).unwrap();
        firmware
    }

    /// The machine with this firmware.
    pub(crate) fn plug(&self, machine: Machine) -> Machine {
        let code = Path::new(self.delivered.code);
        if self.delivered.guarded { machine.guarded_uefi(code, &self.path()) } else { machine.uefi(code, &self.path()) }
    }

    /// Every byte of the flash chip that has the variables, also while the machine runs.
    pub(crate) fn variables(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("variables")
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
