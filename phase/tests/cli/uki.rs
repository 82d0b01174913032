//! `phase image uki`: the same in every folder, every part as it was given, signed by whom it says; and the disk that Debian's shim
//! starts.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use crate::common::{directory, efi_kernel, fails, initramfs, json, program, succeeds, text};

const UKI: [&str; 8] = ["image", "uki", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "phase.efi"];
const DISK: [&str; 9] =
    ["image", "disk", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "stick.img", "--secure-boot"];

/// A folder with a kernel, a boot initramfs, and two people's keys with their certificates.
fn home() -> tempfile::TempDir {
    let home = directory();
    fs::write(home.path().join("vmlinuz"), efi_kernel(0x0020_f000)).unwrap();
    let files = [("etc/phase/stage", &b"boot\n"[..]), ("etc/phase/config.json", br#"{"schema": "phase.config/1"}"#)];
    fs::write(home.path().join("boot.cpio"), initramfs(&files)).unwrap();
    program(home.path(), "zstd", &["-q", "boot.cpio", "-o", "boot.zst"]);
    for name in ["own", "other"] {
        let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}/"));
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", &subject];
        program(home.path(), "openssl", &[&new[..], &["-keyout", &key, "-out", &certificate]].concat());
    }
    home
}

/// What is in a section, by a tool that is not ours.
fn section(home: &Path, name: &str) -> Vec<u8> {
    program(home, "objcopy", &["--dump-section", &format!("{name}=out"), "phase.efi", "copy.efi"]);
    fs::read(home.join("out")).unwrap()
}

#[test]
fn two_builds_in_different_folders_are_equal_and_have_every_part_as_it_was_given() {
    let (one, other) = (home(), home());
    let options =
        [&UKI[..], &["--mode", "private", "--parameters", "quiet", "--mtime", "1700000000", "--json"]].concat();
    let reports = [&one, &other].map(|home| {
        // The seconds of the clock are in what objcopy writes.
        thread::sleep(Duration::from_millis(1100));
        json(home.path(), &options)
    });
    assert_eq!(reports[0], reports[1]);
    let bytes = [&one, &other].map(|home| fs::read(home.path().join("phase.efi")).unwrap());
    assert!(bytes[0] == bytes[1], "they differ");
    assert_eq!((&reports[0]["size"], &reports[0]["signed_by"]), (&bytes[0].len().into(), &serde_json::Value::Null));

    for (name, file) in [(".linux", "vmlinuz"), (".initrd", "boot.zst")] {
        assert_eq!(section(one.path(), name), fs::read(one.path().join(file)).unwrap(), "{name}");
    }
    assert_eq!(text(&section(one.path(), ".cmdline")), "phase.mode=private quiet");
    assert!(text(&section(one.path(), ".osrel")).contains("ID=phase-boot\n"));
    let headers = text(&program(one.path(), "objdump", &["-x", "phase.efi"]));
    let time = headers.lines().find(|line| line.starts_with("Time/Date")).unwrap();
    assert!(time.contains("2023"), "not the time of the build: {time}");

    succeeds(other.path(), &[&UKI[..], &["--force", "--parameters", "quiet"]].concat());
    assert_eq!(text(&section(other.path(), ".cmdline")), "quiet", "without --mode the machine asks");
}

#[test]
fn it_is_signed_by_whom_it_says() {
    let home = home();
    let report =
        json(home.path(), &[&UKI[..], &["--sign-key", "own.key", "--sign-cert", "own.pem", "--json"]].concat());
    assert_eq!(report["signed_by"], "own.pem");
    program(home.path(), "sbverify", &["--cert", "own.pem", "phase.efi"]);
    let mut by_another = Command::new("sbverify");
    by_another.args(["--cert", "other.pem", "phase.efi"]).current_dir(&home);
    assert!(!by_another.output().unwrap().status.success(), "it would be by anybody");
}

#[test]
fn what_a_firmware_would_refuse_is_refused_and_nothing_is_written() {
    let home = home();
    let refused = |more: &[&str], status: i32, words: &str| {
        let error = fails(home.path(), &[&UKI[..], more].concat(), status);
        assert!(error.contains(words), "{error}");
        assert!(!home.path().join("phase.efi").exists());
    };
    refused(&["--sign-key", "own.key"], 2, "--sign-cert");
    refused(&["--sign-key", "own.key", "--sign-cert", "other.pem"], 1, "private key does not match certificate");
    refused(&["--stub", "none"], 1, "none is not there, which a UKI begins with: apt-get install systemd-boot-efi");
    refused(
        &["--stub", "vmlinuz"],
        1,
        "vmlinuz is no stub that can be used: it does not say that it is a systemd-stub",
    );
    refused(&["--stub", "own.key"], 1, "own.key is no stub that can be used: ");
    succeeds(home.path(), &UKI);
    fs::rename(home.path().join("phase.efi"), home.path().join("made.efi")).unwrap();
    refused(&["--stub", "made.efi"], 1, "it has a section .osrel already");
    fs::write(home.path().join("vmlinuz"), crate::common::kernel(0x0020_f000)).unwrap();
    refused(&[], 1, "the kernel is no UEFI program: ");
}

#[test]
fn the_disk_for_secure_boot_has_debians_chain_and_takes_no_unsigned_kernel() {
    let home = home();
    let error = fails(home.path(), &DISK, 1);
    assert!(error.contains("vmlinuz has no signature, and under Secure Boot nothing would start it"), "{error}");
    assert!(!home.path().join("stick.img").exists());

    // Whose signature it is, shim asks; here it is enough that the table of certificates has one.
    let mut signed = efi_kernel(0x0020_f000);
    signed[0xe9] = 0x10; // it begins at byte 4096
    signed[0xec] = 8; // and has eight
    fs::write(home.path().join("vmlinuz"), signed).unwrap();
    let error = fails(home.path(), &[&DISK[..], &["--shim", "."]].concat(), 1);
    assert!(
        error.contains("./shimx64.efi.signed is not there, which Secure Boot needs: apt-get install shim-signed"),
        "{error}"
    );

    let first = json(home.path(), &[&DISK[..], &["--json"]].concat());
    let bytes = fs::read(home.path().join("stick.img")).unwrap();
    let file = |path: &str| program(home.path(), "mtype", &["-i", "stick.img@@2M", path]);
    for (path, from) in [
        ("::/EFI/BOOT/BOOTX64.EFI", "/usr/lib/shim/shimx64.efi.signed"),
        ("::/EFI/BOOT/grubx64.efi", "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
        ("::/EFI/BOOT/mmx64.efi", "/usr/lib/shim/mmx64.efi.signed"),
    ] {
        assert!(file(path) == fs::read(from).unwrap(), "{path}");
    }
    assert_eq!(text(&file("::/EFI/debian/grub.cfg")), "set prefix=($root)/boot/grub\nsource $prefix/grub.cfg\n");

    assert_eq!(json(home.path(), &[&DISK[..], &["--json", "--force"]].concat()), first);
    assert!(fs::read(home.path().join("stick.img")).unwrap() == bytes, "two builds differ");
    let plain = json(home.path(), &[&DISK[..8], &["--json", "--force"]].concat());
    assert_ne!(plain["guid"], first["guid"], "another chain is other content");
}
