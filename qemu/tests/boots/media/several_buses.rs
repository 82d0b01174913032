//! Media on several buses at once: the newest release of all of them is put together from whatever has its files.

use qemu::{Bus, Optical};

use crate::support::{Boot, Lab, Medium, Release};

#[test]
fn give_the_newest_release_together() {
    let lab = Lab::ready();
    let newest = Release { version: 9, ..Release::default() }.publish();
    let stick = Medium::fat("PHASE", &newest.copy_with(&["release"]));
    let nvme = Medium::ext4("PHASE", Some(&newest.copy_with(&["vmlinuz"])));
    let disc = Medium::iso("PHASE", &newest.copy_with(&["tiny"]));
    let older = Medium::ext4("PHASE", Some(&Release { version: 8, ..Release::default() }.publish()));
    let unlabelled = Medium::fat("DATA", &Release { version: 10, ..Release::default() }.publish());
    let media = [&stick, &nvme, &disc, &older, &unlabelled];
    let before = media.map(Medium::bytes);

    let machine = lab.general_machine().append("phase.mode=private");
    let machine = machine.disk_on(Bus::Usb, &stick.path()).disk_on(Bus::Nvme, &nvme.path());
    let machine = machine.disc(Optical::Sata, &disc.path()).disk_on(Bus::Sata, &older.path());
    let mut boot = Boot::start(&machine.disk_on(Bus::VirtioScsi, &unlabelled.path()));
    let receipt = boot.reaches_the_release("kexec");
    assert_eq!((&receipt["version"], &receipt["mode"]), (&9.into(), &"private".into()));
    assert!(media.map(Medium::bytes) == before, "a medium was written");
}
