//! The image of `phase image disk`: one and the same starts under every firmware, from every bus, and private mode changes no
//! byte of it.

use std::fs;

use qemu::Bus;

use crate::{
    row::{Outcome, Row},
    scene::{Firmware, Mode, Scene},
};

pub(crate) fn rows() -> Vec<Row> {
    use Bus::{Sata, Usb, VirtioBlk};
    use Firmware::{Bios, Ia32, X64};
    vec![
        Row::new("disk-BIOS", "boots in local mode", || boots(VirtioBlk, Bios, &Scene::tiny(Mode::Local))),
        Row::new("disk-x64", "boots in internet mode to Debian's login", || {
            boots(VirtioBlk, X64, &Scene::debian(Mode::Internet))
        }),
        // Under UEFI of 32 bits all of them boot only because the menu says efi=noruntime.
        Row::new("disk-ia32", "boots in private mode", || boots(VirtioBlk, Ia32, &Scene::tiny(Mode::Private))),
        Row::new("usb-BIOS", "boots in private mode", || boots(Usb, Bios, &Scene::tiny(Mode::Private))).quick(),
        Row::new("usb-x64", "boots in local mode", || boots(Usb, X64, &Scene::tiny(Mode::Local))),
        Row::new("usb-ia32", "boots in internet mode", || boots(Usb, Ia32, &Scene::tiny(Mode::Internet))),
        Row::new("sata-BIOS", "boots in private mode", || boots(Sata, Bios, &Scene::tiny(Mode::Private))),
        Row::new("sata-x64", "boots in private mode", || boots(Sata, X64, &Scene::tiny(Mode::Private))),
        Row::new("sata-ia32", "boots in internet mode", || boots(Sata, Ia32, &Scene::tiny(Mode::Internet))),
    ]
}

fn boots(bus: Bus, firmware: Firmware, scene: &Scene) -> Outcome {
    let image = scene.image("disk", &[&scene.carries()[..], &["--data", "8"]].concat(), "stick.img");
    let before = fs::read(&image).unwrap();
    let (machine, _chips) = firmware.machine();
    let device = if bus == Bus::VirtioBlk { "/dev/vd" } else { "/dev/sd" };
    let outcome = scene.boots_by_the_menu(machine.disk_on(bus, &image), &image, device);
    // Nothing was acknowledged: in the other modes, too, nobody had a reason to write.
    assert!(fs::read(&image).unwrap() == before, "the image was written");
    outcome
}
