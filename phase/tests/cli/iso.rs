//! `phase image iso`: the same in every folder, what other tools take for a disc and for a stick, and nothing that a machine
//! would refuse.

use std::{fs, path::Path};

use crate::{
    common::{fails, json, kernel, program, publish, release_files, succeeds, text},
    disk::{home, plain},
};

const ISO: [&str; 8] = ["image", "iso", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "phase.iso"];

/// What is in the disc: a line for each file, with its mode, owner, size, date and name.
fn listing(home: &Path) -> String {
    text(&program(home, "xorriso", &["-indev", "phase.iso", "-find", "/", "-exec", "lsdl"]))
}

/// The content of a file of the disc.
fn on_disc(home: &Path, path: &str) -> Vec<u8> {
    let copy = home.join("extracted");
    program(home, "xorriso", &["-osirrox", "on", "-indev", "phase.iso", "-extract", path, "extracted"]);
    let bytes = fs::read(&copy).unwrap();
    fs::remove_file(copy).unwrap();
    bytes
}

#[test]
fn two_builds_in_different_folders_are_equal() {
    let (one, other) = (plain(), plain());
    for home in [&one, &other] {
        release_files(home.path());
        crate::common::keys_and_trust(home.path());
    }
    succeeds(one.path(), &publish("7", &[]));
    // The same tree, whose files were made in another order, by somebody else, and are nobody else's business.
    program(one.path(), "sh", &["-c", &format!("cp -r tree {}", other.path().join("tree").display())]);
    let blobs = "cd tree/blobs/sha256 && for blob in $(ls -r); do cp $blob x && mv x $blob && chmod 600 $blob; done";
    program(other.path(), "sh", &["-c", blobs]);
    let options = [&ISO[..], &["--release", "tree", "--mtime", "1700000000", "--json"]].concat();
    let reports = [&one, &other].map(|home| json(home.path(), &options));
    assert_eq!(reports[0], reports[1]);
    let image = |home: &tempfile::TempDir| fs::read(home.path().join("phase.iso")).unwrap();
    assert!(image(&one) == image(&other), "the images differ");
    let listing = listing(one.path());
    assert!(listing.lines().count() > 10, "{listing}");
    assert!(listing.lines().all(|line| line.contains(" Nov 14  2023 ")), "{listing}");

    // Other content has another identity, and its file has another name.
    fs::write(other.path().join("vmlinuz"), kernel(0x0021_0000)).unwrap();
    let changed = json(other.path(), &[&options[..], &["--force"]].concat());
    assert_ne!(changed["guid"], reports[0]["guid"]);
    assert!(listing.contains(&format!("/boot/grub/{}.id'", reports[0]["guid"].as_str().unwrap())), "{listing}");
}

#[test]
fn other_tools_take_it_for_a_disc_and_for_a_stick() {
    let home = plain();
    let report = json(home.path(), &[&ISO[..], &["--json"]].concat());
    let bytes = fs::read(home.path().join("phase.iso")).unwrap();
    assert_eq!(report["size"], bytes.len());
    // A disc: its label, what BIOS and UEFI load, its files.
    let label = text(&program(home.path(), "/usr/sbin/blkid", &["-p", "phase.iso"]));
    assert!(label.contains(r#" LABEL="PHASE-BOOT" "#) && label.contains(r#" TYPE="iso9660" "#), "{label}");
    let start = text(&program(home.path(), "xorriso", &["-indev", "phase.iso", "-report_el_torito", "plain"]));
    for words in ["1  BIOS  y   none", "2  UEFI  y   none", "grub2-boot-info"] {
        assert!(start.contains(words), "{words}: {start}");
    }
    assert_eq!(on_disc(home.path(), "/boot/phase/vmlinuz"), kernel(0x0020_f000));
    assert_eq!(on_disc(home.path(), "/boot/phase/boot.cpio.zst"), fs::read(home.path().join("boot.zst")).unwrap());
    assert!(!listing(home.path()).contains("'/phase'"));
    // A font of GRUB's format, which begins with a section of this name.
    assert!(on_disc(home.path(), "/boot/grub/ascii.pf2").starts_with(b"FILE"));

    // A stick: code for the BIOS, a table, and a partition for UEFI.
    assert_eq!(bytes[510..512], [0x55, 0xaa]);
    let verified = text(&program(home.path(), "/usr/sbin/sgdisk", &["--verify", "phase.iso"]));
    assert!(verified.contains("No problems found"), "{verified}");
    let table = text(&program(home.path(), "/usr/sbin/sfdisk", &["--json", "phase.iso"]));
    let table = &serde_json::from_str::<serde_json::Value>(&table).unwrap()["partitiontable"];
    assert_eq!(table["id"].as_str().unwrap().to_lowercase(), report["guid"].as_str().unwrap());
    let partition = &table["partitions"][1];
    assert_eq!(partition["type"], "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
    let [start, size] =
        ["start", "size"].map(|field| usize::try_from(partition[field].as_u64().unwrap() * 512).unwrap());
    fs::write(home.path().join("efi"), &bytes[start..start + size]).unwrap();
    program(home.path(), "/usr/sbin/fsck.vfat", &["-n", "efi"]);
    for loader in ["::/EFI/BOOT/BOOTX64.EFI", "::/EFI/BOOT/BOOTIA32.EFI"] {
        assert!(program(home.path(), "mtype", &["-i", "efi", loader]).starts_with(b"MZ"), "{loader}");
    }
}

#[test]
fn a_release_is_carried_where_private_mode_looks() {
    let home = plain();
    release_files(home.path());
    crate::common::keys_and_trust(home.path());
    succeeds(home.path(), &publish("7", &[]));
    let report = json(home.path(), &[&ISO[..], &["--release", "tree", "--json"]].concat());
    assert_eq!(report["label"], "PHASE");
    let label = text(&program(home.path(), "/usr/sbin/blkid", &["-p", "phase.iso"]));
    assert!(label.contains(r#" LABEL="PHASE" "#), "{label}");
    let manifest = on_disc(home.path(), "/phase/demo/x86_64/manifest.dsse.json");
    assert_eq!(manifest, fs::read(crate::common::envelope(home.path())).unwrap());
}

#[test]
fn what_a_machine_would_refuse_is_refused_and_nothing_is_written() {
    let refused = |home: &tempfile::TempDir, more: &[&str], words: &str| {
        let error = fails(home.path(), &[&ISO[..], more].concat(), 1);
        assert!(error.contains(words), "{error}");
        let names = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let made: Vec<String> = names.filter(|name| name.starts_with(".phase-") || name.contains(".iso")).collect();
        assert!(made.is_empty(), "{made:?}");
    };
    let stage_two = home("root\n", "{}");
    refused(&stage_two, &[], "no boot initramfs: its etc/phase/stage is \"root\", wanted \"boot\"");
    let home = plain();
    refused(&home, &["--grub", "."], "GRUB for BIOS: apt-get install grub-pc-bin");
    refused(&home, &["--release", "nowhere"], "cannot read nowhere");
    fs::write(home.path().join("vmlinuz"), "MZ").unwrap();
    refused(&home, &[], "vmlinuz: not a kernel image");
    // Without programs, the one that is missing is named.
    let error = crate::common::command(plain().path(), &ISO).env("PATH", "").output().unwrap();
    assert!(text(&error.stderr).contains("is not installed: apt-get install"), "{}", text(&error.stderr));
}
