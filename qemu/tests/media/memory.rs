//! A machine that remembers on the disk that it is started from: the partition PHASE-DATA of the image is the one that its
//! initramfs names.

use std::process::Command;

use qemu::{Bus, Machine};

use crate::{
    arrival::Arrival,
    row::{Outcome, Row},
    scene::Mode,
    support::{Boot, KERNEL_PARAMETERS, Lab, Release, Serve, run, text},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![Row::new(
        "disk-remembers",
        "accepts nothing older than what was acknowledged, from the image's own PHASE-DATA",
        remembers,
    )]
}

fn remembers() -> Outcome {
    let (lab, folder) = (Lab::ready(), tempfile::tempdir().unwrap());
    // Entered without a kernel of its own, so that the drivers of the disk are there for the acknowledgement.
    let release = |version| Release { version, acknowledges: true, handoff: "direct", ..Release::default() }.publish();
    let (tree, older) = (release(7), release(6));
    let place = tree.path().to_owned();
    let server = Serve::tree(tree);
    let image = folder.path().join("disk.img");
    let parameters = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff {}", server.origin());
    let (kernel, initramfs) = (lab.kernel(), lab.part("disk.cpio.zst"));
    let parts = ["--kernel", text(&kernel), "--initramfs", text(&initramfs), "--parameters", &parameters];
    lab.phase(&[&["image", "disk", "--data", "8", "--out", text(&image)], &parts[..]].concat());
    let machine = Machine::from_firmware().memory_mib(512).disk_on(Bus::VirtioBlk, &image);
    let start = || {
        let mut boot = Boot::start(&machine);
        boot.shows("Phase Boot: Private");
        boot.types("i");
        boot
    };

    let mut first = start();
    let arrival = Arrival { mode: Mode::Internet, handoff: "direct", source: "http://10.0.2.2:", login: false };
    let outcome = arrival.of(&mut first, &image);
    assert!(first.says("phase-test: acknowledged release 7 of e2e"), "it did not acknowledge");

    let replace = r#"find "$1" -mindepth 1 -delete && cp -r "$0/." "$1""#;
    run(Command::new("sh").args(["-c", replace]).args([older.path(), &place]));
    let mut second = start();
    second.is_refused("verify", "rollback", &["has version 6, wanted at least 7"]);
    second.powers_off();
    outcome
}
