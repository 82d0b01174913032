//! Artefacts for arm64, made on a PC: every way in the same in every folder, a disc that has nothing for a BIOS, and what there is
//! only for PCs refused by name. GRUB and systemd's stub come from Debian's packages of arm64, which are unpacked into build/.

use std::{fs, path::Path, sync::OnceLock};

use crate::common::{fails, home, json, program, succeeds, text};

const DISC: [&str; 8] = ["image", "iso", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "arm64.iso"];
const ALL: [&str; 8] = ["image", "all", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--out", "images"];

/// The folder of GRUB's platforms, and systemd's stub.
fn packages() -> &'static [String; 2] {
    static PACKAGES: OnceLock<[String; 2]> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = [
            ("grub-efi-arm64-bin", "usr/lib/grub"),
            ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxaa64.efi.stub"),
        ];
        files.map(|(package, file)| {
            succeeds(checkout, &["lab", "package", package, "--arch", "aarch64"]);
            checkout.join("build/package/aarch64").join(package).join(file).to_str().unwrap().to_owned()
        })
    })
}

/// The header of an arm64 kernel of 32 MiB (Documentation/arm64/booting.rst), which is a UEFI program as well.
fn efi_kernel() -> Vec<u8> {
    let mut kernel = vec![0; 4096];
    kernel[..2].copy_from_slice(b"MZ");
    kernel[16..24].copy_from_slice(&0x0200_0000_u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARMd");
    kernel[60] = 0x40;
    kernel[0x40..0x44].copy_from_slice(b"PE\0\0");
    kernel[0x44..0x46].copy_from_slice(&0xaa64_u16.to_le_bytes());
    kernel[0x54..0x56].copy_from_slice(&240_u16.to_le_bytes()); // bytes of what follows at 0x58
    kernel[0x58..0x5a].copy_from_slice(&0x020b_u16.to_le_bytes()); // 64 bits
    kernel[0xc4] = 16; // tables, all of them empty
    kernel
}

/// A folder with this kernel and a boot initramfs.
fn arm64() -> tempfile::TempDir {
    let home = home("boot\n");
    fs::write(home.path().join("vmlinuz"), efi_kernel()).unwrap();
    home
}

#[test]
fn two_builds_in_different_folders_are_equal_and_their_digests_hold() {
    let [grub, stub] = packages();
    let (one, other) = (arm64(), arm64());
    let options = ["--grub", grub, "--stub", stub, "--data", "8", "--mtime", "1700000000", "--json"];
    let reports = [&one, &other].map(|home| json(home.path(), &[&ALL[..], &options].concat()));
    assert_eq!(reports[0], reports[1]);
    let paths: Vec<&str> =
        reports[0]["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    for path in ["phase.efi", "phase.img", "phase.iso", "phase.qcow2", "pxe/grub/arm64.efi", "pxe/vmlinuz"] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.contains("i386") || path.contains("x86_64")), "{paths:?}");
    // Byte by byte, the list included.
    let here = other.path().join("images");
    program(one.path(), "diff", &["-r", "images", here.to_str().unwrap()]);
    let images = one.path().join("images");
    let checked = text(&program(&images, "sha256sum", &["--check", "--strict", "SHA256SUMS"]));
    assert_eq!(checked.lines().count(), paths.len());
    for loader in ["phase.efi", "pxe/grub/arm64.efi"] {
        let bytes = fs::read(images.join(loader)).unwrap();
        // Microsoft's "PE Format": where the header stands, and in it the machine that the program is for.
        let header = usize::from(bytes[0x3c]) + 256 * usize::from(bytes[0x3d]);
        assert_eq!(bytes[header..header + 6], *b"PE\0\0\x64\xaa", "{loader}");
    }
}

#[test]
fn the_disc_is_one_for_uefi_alone_and_a_stick_as_well() {
    let home = arm64();
    let report = json(home.path(), &[&DISC[..], &["--grub", &packages()[0], "--json"]].concat());
    let start = text(&program(home.path(), "xorriso", &["-indev", "arm64.iso", "-report_el_torito", "plain"]));
    assert!(start.contains("1  UEFI  y   none") && !start.contains("BIOS"), "{start}");
    let files = text(&program(home.path(), "xorriso", &["-indev", "arm64.iso", "-find", "/"]));
    assert!(files.contains("/boot/phase/vmlinuz") && !files.contains("eltorito.img"), "{files}");

    // A stick: a table that every tool takes, in front no code at all, and a partition for UEFI.
    let bytes = fs::read(home.path().join("arm64.iso")).unwrap();
    assert_eq!((&bytes[..440], &bytes[510..512]), (&[0; 440][..], &[0x55, 0xaa][..]));
    let verified = text(&program(home.path(), "/usr/sbin/sgdisk", &["--verify", "arm64.iso"]));
    assert!(verified.contains("No problems found"), "{verified}");
    let table = text(&program(home.path(), "/usr/sbin/sfdisk", &["--json", "arm64.iso"]));
    let table = &serde_json::from_str::<serde_json::Value>(&table).unwrap()["partitiontable"];
    assert_eq!(table["id"].as_str().unwrap().to_lowercase(), report["guid"].as_str().unwrap());
    let partitions = table["partitions"].as_array().unwrap();
    let efi: Vec<_> = partitions.iter().filter(|part| part["type"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B").collect();
    let [efi] = efi[..] else { panic!("{table}") };
    let [start, size] = ["start", "size"].map(|field| usize::try_from(efi[field].as_u64().unwrap() * 512).unwrap());
    fs::write(home.path().join("efi"), &bytes[start..start + size]).unwrap();
    program(home.path(), "/usr/sbin/fsck.vfat", &["-n", "efi"]);
    let loaders = text(&program(home.path(), "mdir", &["-b", "-i", "efi", "::/EFI/BOOT"]));
    assert_eq!(loaders.trim(), "::/EFI/BOOT/BOOTAA64.EFI");
}

#[test]
fn what_is_there_for_pcs_alone_is_refused_and_nothing_is_written() {
    let home = arm64();
    let [grub, _] = packages();
    let refused = |arguments: &[&str], words: &str| {
        let error = fails(home.path(), arguments, 1);
        assert!(error.contains(words), "{error}");
        let mut names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["boot.cpio", "boot.zst", "vmlinuz"], "something was made");
    };
    refused(
        &[&DISC[..], &["--grub", "."]].concat(),
        "./arm64-efi/kernel.img is not there, and with it GRUB for UEFI of arm64: phase lab package grub-efi-arm64-bin --arch aarch64",
    );
    // GRUB is there, the stub is not, or is another's.
    let without_stub = [&ALL[..], &["--grub", grub]].concat();
    refused(
        &[&without_stub[..], &["--stub", "none"]].concat(),
        "phase.efi: none is not there, which a UKI begins with: phase lab package systemd-boot-efi --arch aarch64, and --stub build/",
    );
    let of_pcs = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    refused(&[&without_stub[..], &["--stub", of_pcs]].concat(), "it is not for aarch64");
    refused(
        &[&without_stub[..], &["--secure-boot"]].concat(),
        "--secure-boot is there for kernels for x86_64, by Debian's shim for PCs; vmlinuz is for aarch64",
    );
}
