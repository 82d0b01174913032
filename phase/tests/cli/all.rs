//! `phase image all`: every way in at once, the same in every folder, and a list of digests that holds.

use std::fs;

use crate::{
    common::{efi_kernel, fails, json, program, text},
    disk::remembering,
};

const ALL: [&str; 8] = ["image", "all", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "images"];

#[test]
fn two_builds_in_different_folders_are_equal_and_their_digests_hold() {
    let (one, other) = (remembering(), remembering());
    for home in [&one, &other] {
        fs::write(home.path().join("vmlinuz"), efi_kernel(0x0020_f000)).unwrap();
    }
    let options = [&ALL[..], &["--data", "8", "--mtime", "1700000000", "--json"]].concat();
    let reports = [&one, &other].map(|home| json(home.path(), &options));
    assert_eq!(reports[0], reports[1]);
    let paths: Vec<&str> =
        reports[0]["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    for path in
        ["phase.efi", "phase.img", "phase.iso", "phase.qcow2", "pxe/boot.ipxe", "pxe/grub/i386-pc.0", "pxe/vmlinuz"]
    {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    // Byte by byte, the list included.
    let here = other.path().join("images");
    program(one.path(), "diff", &["-r", "images", here.to_str().unwrap()]);
    let images = one.path().join("images");
    let checked = text(&program(&images, "sha256sum", &["--check", "--strict", "SHA256SUMS"]));
    assert_eq!(checked.lines().count(), paths.len());
    let found = text(&program(&images, "find", &[".", "-type", "f"]));
    assert_eq!(found.lines().count(), paths.len() + 1, "{found}");

    // The qcow2 is the disk.
    program(&images, "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", "phase.qcow2", "again.img"]);
    assert!(fs::read(images.join("again.img")).unwrap() == fs::read(images.join("phase.img")).unwrap());
    program(&images, "qemu-img", &["check", "-q", "-f", "qcow2", "phase.qcow2"]);
}

#[test]
fn a_folder_with_files_stays_and_a_failure_changes_nothing() {
    let home = remembering();
    // Disks and disc take any kernel, so that it is the UKI that fails, when they are made.
    let failure = |more: &[&str]| {
        let error = fails(home.path(), &[&ALL[..], more].concat(), 1);
        assert!(error.contains("phase.efi: the kernel is no UEFI program"), "{error}");
    };
    failure(&[]);
    let images = home.path().join("images");
    assert!(!images.exists(), "a part of the artefacts stayed behind");

    fs::create_dir(&images).unwrap();
    fs::write(images.join("SHA256SUMS"), "of before\n").unwrap();
    let error = fails(home.path(), &ALL, 1);
    assert!(error.contains("images exists already and has files; --force replaces those"), "{error}");
    failure(&["--force"]);
    assert_eq!(fs::read(images.join("SHA256SUMS")).unwrap(), b"of before\n");
    assert_eq!(fs::read_dir(&images).unwrap().count(), 1, "a part of the artefacts stayed behind");

    fs::write(home.path().join("vmlinuz"), efi_kernel(0x0020_f000)).unwrap();
    fs::create_dir_all(images.join("pxe/vmlinuz")).unwrap();
    let error = fails(home.path(), &[&ALL[..], &["--force"]].concat(), 1);
    assert!(error.contains("images/pxe/vmlinuz is a folder; wanted a file of this name, or none"), "{error}");
    assert_eq!(fs::read(images.join("SHA256SUMS")).unwrap(), b"of before\n");
    fs::remove_dir(images.join("pxe/vmlinuz")).unwrap();
    let report = json(home.path(), &[&ALL[..], &["--force", "--json"]].concat());
    program(&images, "sha256sum", &["--check", "--strict", "--quiet", "SHA256SUMS"]);
    for (artefact, path) in [("disk", "images/phase.img"), ("uki", "images/phase.efi"), ("pxe", "images/pxe")] {
        assert_eq!(report[artefact]["out"], path);
    }
}
