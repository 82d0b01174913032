//! Quick starts whose last step is a machine that starts from what they made.

use qemu::{Bus, Machine};

use crate::{
    arrival::Arrival,
    row::{Outcome, Row},
    scene::Mode,
    support::{Boot, QuickStart},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![Row::new("quick-start-usb", "docs/quick-start-usb.md boots as it stands, in private mode", usb)]
}

fn usb() -> Outcome {
    let followed = QuickStart::follow("docs/quick-start-usb.md");
    assert!(followed.said().contains("the same"), "cmp: {}", followed.said());
    let machine = Machine::from_firmware().memory_mib(1024).disk_on(Bus::Usb, &followed.stick());
    let mut boot = Boot::start(&machine);
    boot.shows("Phase Boot: Private");
    boot.types(Mode::Private.key());
    let arrival = Arrival { mode: Mode::Private, handoff: "kexec", source: "/dev/sd", login: false };
    arrival.of(&mut boot, &followed.file("build/stick/stick.img"))
}
