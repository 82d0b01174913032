//! The boot menu of grub/phase.cfg, in a GRUB as it is installed: each entry starts the mode that it names.

use std::{fs, path::PathBuf, process::Command};

use qemu::{Bus, Event, Machine, Optical};
use tempfile::TempDir;

use crate::support::{Boot, KERNEL_PARAMETERS, Lab, Release, Uefi, run, text};

/// The fragment that is shipped.
const ENTRIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../grub/phase.cfg");

/// An image with GRUB for BIOS and UEFI, the boot kernel with its initramfs, and a release: a disc, and a stick if it is
/// written to one.
struct Image(TempDir);

impl Image {
    fn new() -> Self {
        let (lab, image) = (Lab::ready(), Self(tempfile::tempdir().unwrap()));
        let content = image.0.path().join("content");
        let [loader, boot] = ["boot/grub", "boot/phase"].map(|directory| content.join(directory));
        for directory in [&loader, &boot] {
            fs::create_dir_all(directory).unwrap();
        }
        run(Command::new("grub-script-check").arg(ENTRIES));
        fs::copy(ENTRIES, loader.join("custom.cfg")).unwrap();
        let parameters = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff");
        let menu = format!(
            "serial --unit=0 --speed=115200\nterminal_input serial console\nterminal_output serial console\n\
             set timeout=3\nset phase_parameters=\"{parameters}\"\nsource /boot/grub/custom.cfg\n"
        );
        fs::write(loader.join("grub.cfg"), menu).unwrap();
        let (kernel, initramfs) = lab.general_kernel_and_initramfs();
        fs::copy(kernel, boot.join("vmlinuz")).unwrap();
        fs::copy(initramfs, boot.join("boot.cpio.zst")).unwrap();
        let release = Release { handoff: "direct", ..Release::default() }.publish();
        run(Command::new("cp").arg("-r").arg(release.path()).arg(content.join("phase")));
        let mut mkrescue = Command::new("grub-mkrescue");
        run(mkrescue.arg("-o").arg(image.path()).arg(text(&content)).args(["--", "-volid", "PHASE"]));
        image
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("disc.iso")
    }

    fn as_a_disc(&self) -> Machine {
        Machine::from_firmware().memory_mib(512).disc(Optical::Sata, &self.path())
    }

    fn as_a_stick(&self) -> Machine {
        Machine::from_firmware().memory_mib(512).disk_on(Bus::Usb, &self.path())
    }
}

/// Starts the machine, and presses this key once the menu is there.
fn at_the_menu(machine: &Machine, key: &str) -> Boot {
    let mut boot = Boot::start(machine);
    boot.shows("Phase Boot: Private");
    boot.types(key);
    boot
}

/// What the menu calls private is private, and the image that the machine was started from has a release.
#[track_caller]
fn boots_private(machine: &Machine, device: &str) {
    let mut boot = at_the_menu(machine, "p");
    let receipt = boot.reaches_the_release("direct");
    assert!(!boot.says("Press any key"), "the boot loader complains, and waits for somebody");
    assert_eq!(receipt["mode"], "private");
    assert!(receipt["source"].as_str().unwrap().starts_with(device), "{receipt}");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn starts_private_mode_by_its_key() {
    let image = Image::new();
    boots_private(&image.as_a_disc(), "/dev/sr");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn starts_private_mode_from_a_stick() {
    let image = Image::new();
    boots_private(&image.as_a_stick(), "/dev/sd");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn starts_private_mode_under_uefi() {
    let (image, firmware) = (Image::new(), Uefi::new());
    boots_private(&firmware.plug(image.as_a_disc()), "/dev/sr");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn starts_private_mode_from_a_stick_under_uefi() {
    let (image, firmware) = (Image::new(), Uefi::new());
    boots_private(&firmware.plug(image.as_a_stick()), "/dev/sd");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn starts_local_mode_by_its_key() {
    let image = Image::new();
    let mut boot = at_the_menu(&image.as_a_disc(), "l");
    assert_eq!(boot.reaches("mode", Event::End).field("mode"), Some("local"));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn starts_internet_mode_if_nobody_is_there() {
    let image = Image::new();
    let mut boot = Boot::start(&image.as_a_disc());
    assert_eq!(boot.reaches("mode", Event::End).field("mode"), Some("internet"));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn shows_the_messages_of_the_kernel_if_asked_to() {
    let image = Image::new();
    let mut boot = at_the_menu(&image.as_a_disc(), "m");
    boot.shows("Verbose: Private");
    boot.types("p");
    boot.shows("Kernel command line: ");
    assert_eq!(boot.reaches("mode", Event::End).field("mode"), Some("private"));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn opens_the_rescue_prompt_if_asked_to() {
    let image = Image::new();
    let mut boot = at_the_menu(&image.as_a_disc(), "r");
    boot.shows("Rescue prompt: Private");
    boot.types("p");
    boot.shows("Phase Boot rescue prompt");
}
