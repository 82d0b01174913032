//! The disk image as qcow2, which virtual machines start from as it is.

use qemu::Bus;

use crate::{
    row::{Outcome, Row},
    scene::{Firmware, Mode, Scene},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new("qcow2", "boots in local mode under UEFI", || boots(Firmware::X64, Mode::Local)),
        Row::new("qcow2-BIOS", "boots in private mode", || boots(Firmware::Bios, Mode::Private)),
    ]
}

fn boots(firmware: Firmware, mode: Mode) -> Outcome {
    let scene = Scene::tiny(mode);
    let options = [&scene.carries()[..], &["--data", "8", "--format", "qcow2"]].concat();
    let image = scene.image("disk", &options, "phase.qcow2");
    let (machine, _chips) = firmware.machine();
    scene.boots_by_the_menu(machine.disk_on(Bus::VirtioBlk, &image), &image, "/dev/vd")
}
