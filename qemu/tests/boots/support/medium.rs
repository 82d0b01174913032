//! Media with releases, made without root, and disks that nobody may touch.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    Tree,
    lab::{run, text},
};

/// Bytes of every medium: a power of two, as SD cards have.
const MEDIUM: u64 = 32 << 20;
/// First byte of a partition, and its length.
const START: u64 = 1 << 20;
const SIZE: u64 = 30 << 20;

/// A disk, a stick or a disc.
pub(crate) struct Medium(TempDir);

impl Medium {
    /// A disk with one partition: an ext4 with this label whose journal waits to be replayed, which any mount but a careful
    /// one does.
    pub(crate) fn ext4(label: &str, tree: Option<&Tree>) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let [part, empty, block] = ["part", "empty", "block"].map(|name| disk.0.path().join(name));
        fs::create_dir(&empty).unwrap();
        let content = tree.map_or(empty.as_path(), Tree::path);
        let size = format!("{}k", SIZE / 1024);
        run(Command::new("/usr/sbin/mke2fs")
            .args(["-q", "-t", "ext4", "-L", label, "-d"])
            .args([content, &part])
            .arg(size));
        // A transaction that was committed to the journal and never written to its place.
        fs::write(&block, [0x55; 4096]).unwrap();
        let commands = disk.0.path().join("commands");
        fs::write(&commands, format!("journal_open\njournal_write -b 3000 {}\njournal_close\n", text(&block))).unwrap();
        run(Command::new("/usr/sbin/debugfs").args(["-w", "-f", text(&commands)]).arg(&part));
        let features = run(Command::new("/usr/sbin/dumpe2fs").arg("-h").arg(&part));
        assert!(features.contains("needs_recovery"), "the journal is clean: {features}");

        File::create(disk.path()).unwrap().set_len(MEDIUM).unwrap();
        let partition = format!("1:{}:{}", START / 512, (START + SIZE) / 512 - 1);
        run(Command::new("/usr/sbin/sgdisk").args(["-n", &partition]).arg(disk.path()));
        let mut image = File::options().write(true).open(disk.path()).unwrap();
        image.seek(SeekFrom::Start(START)).unwrap();
        image.write_all(&fs::read(part).unwrap()).unwrap();
        disk
    }

    /// A stick without partitions: a FAT with this label, the tree in its directory `phase`.
    pub(crate) fn fat(label: &str, tree: &Tree) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        File::create(disk.path()).unwrap().set_len(MEDIUM).unwrap();
        run(Command::new("/usr/sbin/mkfs.vfat").args(["-n", label]).arg(disk.path()));
        run(Command::new("mmd").arg("-i").arg(disk.path()).arg("::phase"));
        let files = fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap().path());
        run(Command::new("mcopy").args(["-s", "-i"]).arg(disk.path()).args(files).arg("::phase"));
        disk
    }

    /// A stick without partitions whose FAT has a UEFI program where every firmware of 64 bits looks.
    pub(crate) fn uefi(program: &Path) -> Self {
        Self::uefi_called("BOOTX64.EFI", program)
    }

    /// The same for another architecture, whose firmware looks for this name.
    pub(crate) fn uefi_called(name: &str, program: &Path) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        File::create(disk.path()).unwrap().set_len(MEDIUM).unwrap();
        run(Command::new("/usr/sbin/mkfs.vfat").args(["-n", "UEFI"]).arg(disk.path()));
        run(Command::new("mmd").arg("-i").arg(disk.path()).args(["::EFI", "::EFI/BOOT"]));
        run(Command::new("mcopy").arg("-i").arg(disk.path()).arg(program).arg(format!("::EFI/BOOT/{name}")));
        disk
    }

    /// The image of a disc, which may as well be on a disk.
    pub(crate) fn iso(label: &str, tree: &Tree) -> Self {
        let disc = Self(tempfile::tempdir().unwrap());
        let mut xorriso = Command::new("xorriso");
        xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-V", label, "-o"]).arg(disc.path()).arg(tree.path());
        run(&mut xorriso);
        // What follows the file system means nothing: an image on a stick has the rest of the stick there.
        File::options().write(true).open(disc.path()).unwrap().set_len(MEDIUM).unwrap();
        disc
    }

    /// The image.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    /// Every byte of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }
}

/// Puts `tree` into a copy of the initramfs at `initrd`, where private mode looks.
pub(crate) fn carry(tree: &Tree, initrd: &Path, copy: &Path) {
    let content = tempfile::tempdir().unwrap();
    fs::create_dir(content.path().join("phase")).unwrap();
    run(Command::new("cp").arg("-r").arg(tree.path()).arg(content.path().join("phase/release")));
    let list = "find phase | cpio --quiet -o -H newc >archive";
    run(Command::new("sh").args(["-c", list]).current_dir(content.path()));
    let mut bytes = fs::read(initrd).unwrap();
    // A segment begins at a multiple of four (buffer-format.rst of Linux).
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(fs::read(content.path().join("archive")).unwrap());
    fs::write(copy, bytes).unwrap();
}

/// How many frames a capture (libpcap's format, version 2.4) has.
pub(crate) fn frames(capture: &Path) -> usize {
    let bytes = fs::read(capture).unwrap();
    let (header, mut rest) = bytes.split_at(24);
    assert_eq!(header[..4], 0xa1b2_c3d4_u32.to_le_bytes(), "{} is no capture", capture.display());
    let mut frames = 0;
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        rest = rest.get(16 + length..).expect("a whole frame");
        frames += 1;
    }
    frames
}
