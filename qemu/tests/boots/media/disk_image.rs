//! The image of `phase image disk`: one and the same starts under every firmware, from every bus, to the release that it
//! carries, and private mode changes no byte of it.

use std::fs;

use qemu::{Bus, Machine};

use crate::support::{Boot, KERNEL_PARAMETERS, Lab, Release, Uefi, text};

/// Starts a machine with this image, and presses the key of private mode once the menu is there.
#[track_caller]
fn boots(bus: Bus, firmware: Option<&Uefi>, device: &str) {
    let (lab, folder) = (Lab::ready(), tempfile::tempdir().unwrap());
    let image = folder.path().join("stick.img");
    let release = Release::default().publish();
    let (kernel, initramfs) = lab.general_kernel_and_initramfs();
    let parameters = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff");
    let parts = ["--kernel", text(&kernel), "--initramfs", text(&initramfs), "--release", text(release.path())];
    let options = ["--parameters", &parameters, "--data", "8", "--out", text(&image)];
    lab.phase(&[&["image", "disk"], &parts[..], &options].concat());
    let before = fs::read(&image).unwrap();

    let machine = Machine::from_firmware().memory_mib(512).disk_on(bus, &image);
    let mut boot = Boot::start(&firmware.iter().fold(machine, |machine, uefi| uefi.plug(machine)));
    boot.shows("Phase Boot: Private");
    boot.types("p");
    // Under UEFI of 32 bits this works only because the menu says efi=noruntime.
    let receipt = boot.reaches_the_release("kexec");
    assert!(!boot.says("Press any key"), "the boot loader complains, and waits for somebody");
    assert_eq!(receipt["mode"], "private");
    assert!(receipt["source"].as_str().unwrap().starts_with(device), "{receipt}");
    assert!(fs::read(&image).unwrap() == before, "the image was written");
}

/// The rows of one firmware.
macro_rules! firmware {
    ($name:ident, $firmware:expr, $(#[$usb:meta])?) => {
        mod $name {
            use super::*;

            #[test]
            $(#[$usb])?
            fn usb() {
                boots(Bus::Usb, $firmware, "/dev/sd");
            }

            #[test]
            #[ignore = "one row of `make test-media`"]
            fn sata() {
                boots(Bus::Sata, $firmware, "/dev/sd");
            }

            #[test]
            #[ignore = "one row of `make test-media`"]
            fn virtio() {
                boots(Bus::VirtioBlk, $firmware, "/dev/vd");
            }
        }
    };
}

firmware!(bios, None,);
firmware!(uefi_x64, Some(&Uefi::new()), #[ignore = "one row of `make test-media`"]);
firmware!(uefi_ia32, Some(&Uefi::of_32_bits()), #[ignore = "one row of `make test-media`"]);
