//! `phase image disk`: the same in every folder, what other tools take for a disk, and nothing that a machine would refuse.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crate::common::{
    arm64_kernel, directory, fails, initramfs, json, kernel, program, publish, release_files, succeeds, text,
};

/// A PARTUUID that somebody thought of.
const PARTUUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";
const DISK: [&str; 8] = ["image", "disk", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "stick.img"];

/// A folder with a kernel and a boot initramfs that has this config.json.
pub(crate) fn home(stage: &str, config: &str) -> tempfile::TempDir {
    let home = directory();
    fs::write(home.path().join("vmlinuz"), kernel(0x0020_f000)).unwrap();
    let files = [("etc/phase/stage", stage.as_bytes()), ("etc/phase/config.json", config.as_bytes())];
    fs::write(home.path().join("boot.cpio"), initramfs(&files)).unwrap();
    program(home.path(), "zstd", &["-q", "boot.cpio", "-o", "boot.zst"]);
    home
}

pub(crate) fn remembering() -> tempfile::TempDir {
    let state = format!(r#"{{"store": "disk", "partuuid": "{PARTUUID}"}}"#);
    home("boot\n", &format!(r#"{{"schema": "phase.config/1", "state": {state}}}"#))
}

pub(crate) fn plain() -> tempfile::TempDir {
    home("boot\n", r#"{"schema": "phase.config/1"}"#)
}

/// The content of a file in the boot partition, which begins behind 2 MiB.
fn in_boot_partition(home: &Path, path: &str) -> Vec<u8> {
    program(home, "mtype", &["-i", "stick.img@@2M", path])
}

#[test]
fn two_builds_in_different_folders_are_equal() {
    let (one, other) = (remembering(), remembering());
    let options = [&DISK[..], &["--data", "8", "--mtime", "1700000000"]].concat();
    let reports = [&one, &other].map(|home| json(home.path(), &[&options[..], &["--json"]].concat()));
    assert_eq!(reports[0], reports[1]);
    let image = |home: &tempfile::TempDir| fs::read(home.path().join("stick.img")).unwrap();
    assert!(image(&one) == image(&other), "the images differ");
    // FAT and ext4 alike: not the time of the build.
    let listing = text(&program(one.path(), "mdir", &["-/", "-i", "stick.img@@2M", "::"]));
    let dates: Vec<&str> =
        listing.split_whitespace().filter(|word| word.len() == 10 && word.starts_with("20")).collect();
    assert!(dates.len() > 10 && dates.iter().all(|date| *date == "2023-11-14"), "{listing}");
    fs::write(one.path().join("data"), &image(&one)[42 << 20..50 << 20]).unwrap();
    let data = text(&program(one.path(), "/usr/sbin/dumpe2fs", &["-h", "data"]));
    let created = data.lines().find(|line| line.starts_with("Filesystem created:")).unwrap();
    assert!(created.ends_with(" 2023"), "{created}");

    // Other content has another identity.
    fs::write(other.path().join("vmlinuz"), kernel(0x0021_0000)).unwrap();
    let changed = json(other.path(), &[&options[..], &["--json", "--force"]].concat());
    assert_ne!(changed["guid"], reports[0]["guid"]);
    assert_ne!(changed["boot_serial"], reports[0]["boot_serial"]);
}

#[test]
fn other_tools_take_it_for_a_disk() {
    let home = remembering();
    let report = json(home.path(), &[&DISK[..], &["--data", "8", "--json"]].concat());
    let image = fs::metadata(home.path().join("stick.img")).unwrap();
    assert_eq!(report["size"], image.size());
    assert_eq!(image.mode() & 0o777, 0o644);

    let verified = text(&program(home.path(), "/usr/sbin/sgdisk", &["--verify", "stick.img"]));
    assert!(verified.contains("No problems found"), "{verified}");
    let table = text(&program(home.path(), "/usr/sbin/fdisk", &["-l", "stick.img"]));
    for words in ["Disklabel type: gpt", "BIOS boot", "EFI System", "Linux filesystem"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let table = text(&program(home.path(), "/usr/sbin/sfdisk", &["--json", "stick.img"]));
    let table = &serde_json::from_str::<serde_json::Value>(&table).unwrap()["partitiontable"];
    let lower = |value: &serde_json::Value| value.as_str().unwrap().to_lowercase();
    assert_eq!(lower(&table["id"]), report["guid"].as_str().unwrap());
    assert_eq!(table["partitions"][2]["name"], "PHASE-DATA");
    // The partition is the one that the initramfs names.
    assert_eq!(lower(&table["partitions"][2]["uuid"]), PARTUUID);
    assert_eq!(report["data_partuuid"], PARTUUID);

    let bytes = fs::read(home.path().join("stick.img")).unwrap();
    let parts = [("boot", 2, 42, "/usr/sbin/fsck.vfat"), ("data", 42, 50, "/usr/sbin/e2fsck")];
    for (name, start, end, check) in parts {
        fs::write(home.path().join(name), &bytes[start << 20..end << 20]).unwrap();
        let options: &[&str] = if name == "data" { &["-f", "-n", name] } else { &["-n", name] };
        program(home.path(), check, options);
    }
    // Something that a BIOS starts, and its core where the boot code says that it is.
    assert_eq!((&bytes[510..512], &bytes[0x5c..0x64]), (&[0x55, 0xaa][..], &2048_u64.to_le_bytes()[..]));
    assert!(bytes[1 << 20..][..512].iter().any(|byte| *byte != 0));
    for loader in ["::/EFI/BOOT/BOOTX64.EFI", "::/EFI/BOOT/BOOTIA32.EFI"] {
        assert!(in_boot_partition(home.path(), loader).starts_with(b"MZ"), "{loader}");
    }
    assert_eq!(in_boot_partition(home.path(), "::/boot/phase/vmlinuz"), kernel(0x0020_f000));
    assert_eq!(
        in_boot_partition(home.path(), "::/boot/phase/boot.cpio.zst"),
        fs::read(home.path().join("boot.zst")).unwrap()
    );
}

#[test]
fn a_release_is_carried_where_private_mode_looks() {
    let home = plain();
    release_files(home.path());
    crate::common::keys_and_trust(home.path());
    succeeds(home.path(), &publish("7", &[]));
    succeeds(home.path(), &[&DISK[..], &["--release", "tree"]].concat());
    let label = text(&program(home.path(), "/usr/sbin/blkid", &["-p", "-O", "2M", "stick.img"]));
    assert!(label.contains(r#" LABEL="PHASE" "#), "{label}");
    let manifest = in_boot_partition(home.path(), "::/phase/demo/x86_64/manifest.dsse.json");
    assert_eq!(manifest, fs::read(crate::common::envelope(home.path())).unwrap());

    fs::create_dir(home.path().join("above")).unwrap();
    fs::rename(home.path().join("tree"), home.path().join("above/tree")).unwrap();
    let error = fails(home.path(), &[&DISK[..], &["--force", "--release", "above"]].concat(), 1);
    assert!(
        error.contains("above has no CHANNEL/ARCH/manifest.dsse.json in it: wanted a tree of `phase pub"),
        "{error}"
    );
}

#[test]
fn parameters_reach_the_menu() {
    let home = plain();
    succeeds(home.path(), &[&DISK[..], &["--parameters", "console=ttyS1 ip=[fe80::1]"]].concat());
    let menu = text(&in_boot_partition(home.path(), "::/boot/grub/grub.cfg"));
    assert!(menu.starts_with("set phase_parameters='console=ttyS1 ip=[fe80::1]'\n"), "{menu}");
    for wrong in ["", "a'b", "a\nb", "$prefix", &"a".repeat(1025)] {
        let error = fails(home.path(), &[&DISK[..], &["--force", "--parameters", wrong]].concat(), 2);
        assert!(error.contains("wanted a word or more, of at most 1024 printable ASCII characters without"), "{error}");
    }
}

#[test]
fn what_a_machine_would_refuse_is_refused_and_nothing_is_written() {
    let refused = |home: &tempfile::TempDir, more: &[&str], words: &str| {
        let error = fails(home.path(), &[&DISK[..], more].concat(), 1);
        assert!(error.contains(words), "{error}");
        assert!(!home.path().join("stick.img").exists());
        let left = fs::read_dir(home.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".phase-")
        });
        assert_eq!(left.count(), 0, "a temporary file stayed behind");
    };
    let stage_two = home("root\n", "{}");
    refused(&stage_two, &[], "no boot initramfs: its etc/phase/stage is \"root\", wanted \"boot\"");
    refused(&home("boot\n", r#"{"schema": "phase.config/9"}"#), &[], "phase.config/9");
    let wrong_kernel = plain();
    fs::write(wrong_kernel.path().join("vmlinuz"), "MZ").unwrap();
    refused(&wrong_kernel, &[], "vmlinuz: not a kernel image");
    let without_grub = plain();
    refused(&without_grub, &["--grub", "."], "GRUB for BIOS: apt-get install grub-pc-bin");
    let platform = |name: &str| {
        fs::create_dir(without_grub.path().join(name)).unwrap();
        fs::write(without_grub.path().join(name).join("kernel.img"), "").unwrap();
    };
    platform("i386-pc");
    refused(&without_grub, &["--grub", "."], "GRUB for 64-bit UEFI: apt-get install grub-efi-amd64-bin");
    platform("x86_64-efi");
    refused(&without_grub, &["--grub", "."], "GRUB for 32-bit UEFI: apt-get install grub-efi-ia32-bin");
    // arm64's GRUB is another one, which Debian has for arm64 alone.
    fs::write(without_grub.path().join("vmlinuz"), arm64_kernel()).unwrap();
    refused(
        &without_grub,
        &["--grub", "."],
        "GRUB for UEFI of arm64: phase lab package grub-efi-arm64-bin --arch aarch64",
    );
}

#[test]
fn an_image_that_is_there_stays() {
    let home = plain();
    fs::write(home.path().join("stick.img"), "mine").unwrap();
    let error = fails(home.path(), &DISK, 1);
    assert!(error.contains("stick.img exists already"), "{error}");
    assert_eq!(fs::read(home.path().join("stick.img")).unwrap(), b"mine");
    succeeds(home.path(), &[&DISK[..], &["--force"]].concat());
}
