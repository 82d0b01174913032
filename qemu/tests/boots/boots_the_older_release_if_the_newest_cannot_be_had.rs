//! A mirror that serves the newest envelope and keeps the release's files back does not keep a machine from booting:
//! whoever has the files is asked for them, and if nobody has, the next release that was verified is booted.

use crate::support::{Boot, Lab, Release, Serve, text};

#[test]
fn though_its_files_are_asked_of_everybody_first() {
    let lab = Lab::ready();
    let directory = tempfile::tempdir().unwrap();
    let rootfs = directory.path().join("root.squashfs");
    lab.phase(&["lab", "tiny-root", "--size", "2", "--out", text(&rootfs)]);
    let old = Release { version: 3, handoff: "direct", ..Release::default() }.publish();
    let new = Release { version: 4, handoff: "direct", rootfs: Some(rootfs), ..Release::default() }.publish();
    new.flip_bit_of_blob("root.squashfs");
    let [honest, broken] = [old, new].map(Serve::tree);
    let mut boot = Boot::start(&lab.machine().append(&broken.origin()).append(&honest.origin()));
    assert_eq!(boot.reaches_the_release("direct")["version"], 3);
    assert!(boot.says("release 4 cannot be had"), "nobody hears that the newest release was not booted");
    let address = honest.origin().replace("phase.origin=", "");
    assert!(boot.says(&format!("{address}: root.squashfs: ")), "the other origin was not asked");
}

#[test]
fn but_not_if_somebody_has_them_under_another_release() {
    let [old, new] = [3, 4].map(|version| Release { version, handoff: "direct", ..Release::default() }.publish());
    new.flip_bit_of_blob("tiny.squashfs");
    let [honest, broken] = [old, new].map(Serve::tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&broken.origin()).append(&honest.origin()));
    assert_eq!(boot.reaches_the_release("direct")["version"], 4, "both releases have the same root");
}
