//! `phase image disk --secure-boot` on a machine as it is sold: shim, the signed GRUB, a signed kernel under lockdown, and the kexec
//! of a release whose kernel is signed. What is refused there is in boots/media.

use qemu::{Bus, Machine};

use crate::{
    row::{Outcome, Row},
    scene::{Mode, Scene},
    support::Uefi,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new("secureboot-x64", "boots to Debian's login with Microsoft's keys", || {
            boots(&Scene::debian(Mode::Internet))
        }),
        Row::new("secureboot-usb", "boots in private mode from a stick", || boots(&Scene::tiny(Mode::Private))),
    ]
}

fn boots(scene: &Scene) -> Outcome {
    let image = scene.image("disk", &[&["--secure-boot"], &scene.carries()[..]].concat(), "stick.img");
    let firmware = Uefi::with_microsofts_keys();
    let bus = if scene.mode() == Mode::Private { Bus::Usb } else { Bus::VirtioBlk };
    scene.boots_by_the_menu(firmware.plug(Machine::from_firmware().disk_on(bus, &image)), &image, "/dev/sd")
}
