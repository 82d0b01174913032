//! What nobody verifies on shim's route, everybody can see who has a TPM: GRUB measures what it reads and does. And what the
//! firmware verifies on the route of a UKI, it measures as well (docs/secure-boot.md).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use qemu::Machine;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Boot, KERNEL_PARAMETERS, Lab, Medium, Tpm, Uefi, own_key, register_reader, run, text};

/// The boot partition of `phase image disk`, for mtools.
fn boot_partition(disk: &Path) -> String {
    format!("{}@@2M", text(disk))
}

/// A disk that the platform trusts, in which somebody has put an initramfs of theirs: it says what the TPM's registers hold.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [disk, guest] = ["disk", "guest"].map(|name| folder.path().join(name));
        image("disk", "", &["--secure-boot"], &Lab::ready().general_kernel_and_initramfs().1, &disk);
        register_reader(&guest);
        let disk = Self(folder);
        disk.replace("boot/phase/boot.cpio.zst", &fs::read(guest).unwrap());
        disk
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    fn read(&self, file: &str) -> String {
        run(Command::new("mtype").args(["-i", &boot_partition(&self.path()), &format!("::{file}")]))
    }

    fn replace(&self, file: &str, content: &[u8]) {
        let copy = self.0.path().join("content");
        fs::write(&copy, content).unwrap();
        let place = format!("::{file}");
        run(Command::new("mcopy").args(["-o", "-i", &boot_partition(&self.path()), text(&copy), &place]));
    }

    /// The registers after the menu's own choice.
    fn registers(&self) -> Value {
        registers(&Uefi::with_microsofts_keys(), &self.path())
    }
}

/// `phase image WHAT`.
fn image(what: &str, parameters: &str, options: &[&str], initramfs: &Path, out: &Path) {
    let (kernel, _) = Lab::ready().general_kernel_and_initramfs();
    let parameters = format!("console=ttyS0 {KERNEL_PARAMETERS} {parameters}");
    let arguments = ["image", what, "--kernel", text(&kernel), "--initramfs", text(initramfs), "--force"];
    Lab::ready().phase(&[&arguments[..], &["--out", text(out), "--parameters", &parameters], options].concat());
}

/// What the registers of a new TPM hold once the kernel runs.
fn registers(firmware: &Uefi, disk: &Path) -> Value {
    let tpm = Tpm::new();
    let powered = tpm.powered();
    let machine = Machine::from_firmware().memory_mib(768).disk(disk).tpm(powered.socket());
    let mut boot = Boot::start(&firmware.plug(machine));
    boot.powers_off();
    boot.json_after("phase-test: registers ")
}

/// The names of the registers that differ.
fn changed(one: &Value, other: &Value) -> Vec<String> {
    let (one, other) = (one.as_object().unwrap(), other.as_object().unwrap());
    one.iter().filter(|(name, value)| other[*name] != **value).map(|(name, _)| name.clone()).collect()
}

#[test]
#[ignore = "one row of `make test-media`"]
fn what_shims_route_does_not_verify_is_measured() {
    let disk = Disk::new();
    let first = disk.registers();
    assert_eq!(changed(&first, &disk.registers()), [""; 0], "the same measures the same");

    let menu = disk.read("boot/grub/phase.cfg");
    disk.replace("boot/grub/phase.cfg", format!("{menu}# somebody was here\n").as_bytes());
    let commented = disk.registers();
    assert_eq!(changed(&first, &commented), ["9"], "files that were read");

    disk.replace("boot/grub/phase.cfg", menu.replace("phase.mode=$1", "phase.mode=$1 rdinit=/init").as_bytes());
    let told = disk.registers();
    assert_eq!(changed(&first, &told), ["8", "9"], "what was done, and files");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_uki_is_measured_as_a_whole_and_by_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let [guest, uki] = ["guest", "uki"].map(|name| folder.path().join(name));
    let (key, certificate) = own_key(folder.path());
    register_reader(&guest);
    let mut measured = ["", "phase.quiet"].into_iter().map(|parameters| {
        // `phase image uki` takes no foreign initramfs; objcopy puts one in as anybody would, before it is signed.
        let genuine = folder.path().join("genuine");
        image("uki", parameters, &[], &Lab::ready().general_kernel_and_initramfs().1, &genuine);
        let section = format!(".initrd={}", text(&guest));
        run(Command::new("objcopy").args(["--update-section", &section]).arg(genuine).arg(&uki));
        let mut sbsign = Command::new("sbsign");
        run(sbsign.arg("--key").arg(&key).arg("--cert").arg(&certificate).arg("--output").args([&uki; 2]));
        registers(&Uefi::with_own_key(), &Medium::uefi(&uki).path())
    });
    let (one, other) = (measured.next().unwrap(), measured.next().unwrap());
    // Register 9 is Linux's own doing: its EFI stub measures the command line and the initramfs that it is given.
    assert_eq!(changed(&one, &other), ["11", "4", "9"], "the parts, the program, and what the kernel got");
}
