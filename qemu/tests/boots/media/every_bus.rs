//! A medium labelled PHASE is found on every bus, with every file system, and not one byte of it changes.

use qemu::{Bus, Machine, Optical};

use crate::support::{Boot, Lab, Medium, Release, Tree};

/// Boots from this one medium. `device` is what its device files begin with.
#[track_caller]
fn boots(make: impl Fn(&Tree) -> Medium, plug: impl Fn(Machine, &Medium) -> Machine, device: &str) {
    let medium = make(&Release { handoff: "direct", ..Release::default() }.publish());
    let before = medium.bytes();
    let mut boot = Boot::start(&plug(Lab::ready().general_machine().append("phase.mode=private"), &medium));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["mode"], "private");
    assert!(receipt["source"].as_str().unwrap().starts_with(device), "{receipt}");
    assert!(medium.bytes() == before, "the medium was written");
}

/// A disk on a bus, once with each file system. The journal of the ext4 waits to be replayed.
macro_rules! disk {
    ($name:ident, $bus:ident, $device:literal) => {
        mod $name {
            use super::*;

            fn boots(make: impl Fn(&Tree) -> Medium) {
                super::boots(make, |machine, medium| machine.disk_on(Bus::$bus, &medium.path()), $device);
            }

            #[test]
            #[ignore = "one row of `make test-media`"]
            fn fat() {
                boots(|tree| Medium::fat("PHASE", tree));
            }

            #[test]
            #[ignore = "one row of `make test-media`"]
            fn ext4() {
                boots(|tree| Medium::ext4("PHASE", Some(tree)));
            }

            #[test]
            #[ignore = "one row of `make test-media`"]
            fn iso9660() {
                boots(|tree| Medium::iso("PHASE", tree));
            }
        }
    };
}

/// A disc in a drive.
macro_rules! disc {
    ($name:ident, $drive:ident) => {
        #[test]
        #[ignore = "one row of `make test-media`"]
        fn $name() {
            let plug = |machine: Machine, medium: &Medium| machine.disc(Optical::$drive, &medium.path());
            boots(|tree| Medium::iso("PHASE", tree), plug, "/dev/sr");
        }
    };
}

disk!(usb, Usb, "/dev/sd");
disk!(usb_attached_scsi, UsbAttachedScsi, "/dev/sd");
disk!(nvme, Nvme, "/dev/nvme");
disk!(sata, Sata, "/dev/sd");
disk!(virtio_blk, VirtioBlk, "/dev/vd");
disk!(virtio_scsi, VirtioScsi, "/dev/sd");
disk!(sd_card, Sd, "/dev/mmcblk");

disc!(optical_on_sata, Sata);
disc!(optical_on_virtio_scsi, VirtioScsi);
disc!(optical_on_usb, Usb);
