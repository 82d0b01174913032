//! The disc of `phase image iso`: one and the same starts under every firmware, from a drive and from a stick, and private mode
//! boots from the disc itself.

use std::{fs, path::Path};

use qemu::{Bus, Machine, Optical};

use crate::{
    row::{Outcome, Row},
    scene::{Firmware, Mode, Scene},
};

pub(crate) fn rows() -> Vec<Row> {
    use Firmware::{Bios, Ia32, X64};
    vec![
        Row::new("ISO-BIOS", "boots in private mode from the disc", || from_a_drive(Bios, Mode::Private)).quick(),
        Row::new("ISO-x64", "boots in internet mode", || from_a_drive(X64, Mode::Internet)),
        Row::new("ISO-ia32", "boots in private mode from the disc", || from_a_drive(Ia32, Mode::Private)),
        Row::new("ISO-stick-BIOS", "boots in local mode", || from_a_stick(Bios, Mode::Local)),
        Row::new("ISO-stick-x64", "boots in private mode from the stick", || from_a_stick(X64, Mode::Private)),
        Row::new("ISO-stick-ia32", "boots in private mode from the stick", || from_a_stick(Ia32, Mode::Private)),
    ]
}

fn from_a_drive(firmware: Firmware, mode: Mode) -> Outcome {
    boots(firmware, mode, "/dev/sr", |machine, image| machine.disc(Optical::Sata, image))
}

/// What dd makes of a stick.
fn from_a_stick(firmware: Firmware, mode: Mode) -> Outcome {
    boots(firmware, mode, "/dev/sd", |machine, image| machine.disk_on(Bus::Usb, image))
}

fn boots(firmware: Firmware, mode: Mode, device: &str, plug: impl Fn(Machine, &Path) -> Machine) -> Outcome {
    let scene = Scene::tiny(mode);
    let image = scene.image("iso", &scene.carries(), "phase.iso");
    let before = fs::read(&image).unwrap();
    let (machine, _chips) = firmware.machine();
    let outcome = scene.boots_by_the_menu(plug(machine, &image), &image, device);
    assert!(fs::read(&image).unwrap() == before, "the image was written");
    outcome
}
