//! UEFI: the firmware OVMF, and a guest that does what nothing in Phase Boot does, write a variable of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use initramfs::pack::{archive::Tree, modules::KernelTree};
use qemu::Machine;
use tempfile::TempDir;

use super::{Lab, run};

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

/// What most PCs are sold with: Secure Boot is on, and believes what Microsoft signed.
const MICROSOFT: Delivered = Delivered {
    code: "/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
    variables: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
    package: "ovmf",
    guarded: true,
};
/// Secure Boot is on, and believes the owner of one key alone, which the same package has for tests.
const OWN: Delivered = Delivered {
    code: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    variables: "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
    package: "ovmf",
    guarded: true,
};

/// A guest that says what the registers of its TPM hold, and switches off.
const READER: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /sys
$b mount -t sysfs sysfs /sys
printf '\nphase-test: registers {'
for pcr in 0 1 2 3 4 5 6 7 8 9 11 12 13 14; do
    printf '"%s":"%s",' $pcr $($b cat /sys/class/tpm/tpm0/pcr-sha256/$pcr)
done
printf '"end":""}\n'
exec $b poweroff -f
"#;

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

    /// Of 64 bits with Secure Boot, as most PCs are sold.
    pub(crate) fn with_microsofts_keys() -> Self {
        Self::of(MICROSOFT)
    }

    /// Of 64 bits with Secure Boot that believes [`own_key`] alone.
    pub(crate) fn with_own_key() -> Self {
        Self::of(OWN)
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

/// The key that [`Uefi::with_own_key`] believes, and its certificate; the key is written, without its passphrase, into `folder`.
pub(crate) fn own_key(folder: &Path) -> (PathBuf, PathBuf) {
    let (delivered, key) = (Path::new("/usr/share/ovmf/PkKek-1-snakeoil.key"), folder.join("own.key"));
    assert!(delivered.exists(), "{} is not there: apt-get install ovmf", delivered.display());
    let mut openssl = Command::new("openssl");
    run(openssl.args(["rsa", "-passin", "pass:snakeoil", "-in"]).arg(delivered).arg("-out").arg(&key));
    (key, delivered.with_extension("pem"))
}

/// Makes the initramfs of a guest that says `phase-test: registers ` with the registers of its TPM as JSON. (IMA extends
/// register 10 while the kernel runs, and it is left out.)
pub(crate) fn register_reader(initrd: &Path) {
    let mut tree = Tree::new();
    tree.file_from("bin/busybox", 0o755, Path::new("/bin/busybox")).unwrap();
    tree.file("init", 0o755, READER).unwrap();
    fs::write(initrd, tree.to_newc(0).unwrap()).unwrap();
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
