//! `phase image pxe`: the same in every folder, what every firmware is given, and nothing that a machine would refuse.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::{arm64_kernel, fails, home, json, kernel, program, succeeds};

const PXE: [&str; 8] = ["image", "pxe", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "srv"];

/// Every file of the made folder, by name.
fn files(home: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = program(home, "find", &["srv", "-type", "f", "-printf", "%P\\n"]);
    let names = String::from_utf8(names).unwrap();
    names.lines().map(|name| (name.to_owned(), fs::read(home.join("srv").join(name)).unwrap())).collect()
}

#[test]
fn two_builds_in_different_folders_are_equal_and_have_what_every_firmware_is_given() {
    let (one, other) = (home("boot\n"), home("boot\n"));
    let report = json(one.path(), &[&PXE[..], &["--parameters", "console=ttyS1 quiet", "--json"]].concat());
    succeeds(other.path(), &[&PXE[..], &["--parameters", "console=ttyS1 quiet"]].concat());
    let made = files(one.path());
    assert_eq!(made, files(other.path()));
    let listed = report["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap());
    assert!(listed.eq(made.keys()), "{report}");

    // A jump (PXE's bootstrap), and two PE images.
    assert!(made["grub/i386-pc.0"].len() > 100_000 && made["grub/i386-pc.0"].len() < 512 << 10);
    assert!(made["grub/x86_64.efi"].starts_with(b"MZ") && made["grub/i386.efi"].starts_with(b"MZ"));
    assert_eq!(made["vmlinuz"], kernel(0x0020_f000));
    let text = |name: &str| String::from_utf8(made[name].clone()).unwrap();
    assert!(text("boot.ipxe").contains("\nset parameters console=ttyS1 quiet\n"), "{}", text("boot.ipxe"));
    assert!(text("grub/grub.cfg").starts_with("set phase_parameters='console=ttyS1 quiet'\n"));
    // The network's way to the kernel counts, which stands last.
    assert!(
        text("grub/grub.cfg").find("source \"$prefix/phase.cfg\"") < text("grub/grub.cfg").find("function phase_boot")
    );
}

#[test]
fn the_document_tells_a_dhcp_server_what_the_folder_does() {
    let home = home("boot\n");
    succeeds(home.path(), &PXE);
    let readme = String::from_utf8(files(home.path()).remove("README.txt").unwrap()).unwrap();
    let (_, lines) = readme.split_once("\n\n# Which firmware asks").expect("the lines for dnsmasq");
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quick-start-pxe.md");
    assert!(
        fs::read_to_string(document).unwrap().contains(lines),
        "docs/quick-start-pxe.md has other lines than README.txt"
    );
}

#[test]
fn a_server_is_named_in_grub_only_if_somebody_names_one() {
    let (without, with) = (home("boot\n"), home("boot\n"));
    succeeds(without.path(), &PXE);
    succeeds(with.path(), &[&PXE[..], &["--server", "10.77.0.2"]].concat());
    // GRUB for BIOS is compressed; the script stands plain in those for UEFI.
    let named = |home: &Path, loader: &str| {
        let words = b"set phase_given=10.77.0.2\n";
        files(home)[loader].windows(words.len()).any(|window| window == words)
    };
    for loader in ["grub/x86_64.efi", "grub/i386.efi"] {
        assert!(named(with.path(), loader) && !named(without.path(), loader), "{loader}");
    }
    assert_ne!(files(with.path())["grub/i386-pc.0"], files(without.path())["grub/i386-pc.0"]);
    let error = fails(without.path(), &[&PXE[..], &["--force", "--server", "a b"]].concat(), 2);
    assert!(error.contains("wanted an IPv4 address or a host's name"), "{error}");
}

#[test]
fn what_a_machine_would_refuse_is_refused_and_nothing_is_written() {
    let refused = |home: &tempfile::TempDir, more: &[&str], status: i32, words: &str| {
        let error = fails(home.path(), &[&PXE[..], more].concat(), status);
        assert!(error.contains(words), "{error}");
        assert!(!home.path().join("srv").exists());
    };
    refused(&home("root\n"), &[], 1, "its etc/phase/stage is \"root\", wanted \"boot\"");
    refused(&home("boot\n"), &["--grub", "."], 1, "GRUB for BIOS: apt-get install grub-pc-bin");
    refused(&home("boot\n"), &["--parameters", "a || b"], 2, "--parameters has the word ||, where iPXE ends a command");
    let arm64 = home("boot\n");
    fs::write(arm64.path().join("vmlinuz"), arm64_kernel()).unwrap();
    refused(&arm64, &["--grub", "."], 1, "GRUB for UEFI of arm64: phase lab package grub-efi-arm64-bin --arch aarch64");
    let wrong = home("boot\n");
    fs::write(wrong.path().join("vmlinuz"), "MZ").unwrap();
    refused(&wrong, &[], 1, "vmlinuz: not a kernel image");
}

#[test]
fn files_of_somebody_else_stay() {
    let home = home("boot\n");
    fs::create_dir(home.path().join("srv")).unwrap();
    succeeds(home.path(), &PXE);
    for (name, text) in [("srv/mine", "mine"), ("srv/vmlinuz", "older")] {
        fs::write(home.path().join(name), text).unwrap();
    }
    let error = fails(home.path(), &PXE, 1);
    assert!(error.contains("srv exists already and has files; --force replaces those of the same names"), "{error}");
    assert_eq!(files(home.path())["vmlinuz"], b"older");
    succeeds(home.path(), &[&PXE[..], &["--force"]].concat());
    assert_eq!(files(home.path())["vmlinuz"], kernel(0x0020_f000));
    assert_eq!(files(home.path())["mine"], b"mine");

    // One name that cannot be had: none is taken.
    fs::write(home.path().join("srv/README.txt"), "older").unwrap();
    fs::remove_file(home.path().join("srv/vmlinuz")).unwrap();
    fs::create_dir(home.path().join("srv/vmlinuz")).unwrap();
    let error = fails(home.path(), &[&PXE[..], &["--force"]].concat(), 1);
    assert!(error.contains("srv/vmlinuz is a folder; wanted a file of this name, or none"), "{error}");
    assert_eq!(files(home.path())["README.txt"], b"older");
    assert!(!files(home.path()).keys().any(|name| name.starts_with(".phase-")), "a part stayed behind");
}
