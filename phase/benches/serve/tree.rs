//! A published tree as `phase publish` leaves it: an envelope, three blobs, the list of pieces and a trust file.

use std::{fs, io::Write as _, path::Path, process::Command};

use initramfs::newc::{self, Member};
use phase::tree;
use verify::{Arch, Channel, Sha256Digest};

use crate::Error;

/// The root file system, in bytes: larger than any cache that the two servers and 200 clients would share.
const ROOTFS: usize = 24 << 20;
/// What is packed into the release's initramfs.
const INITRAMFS: usize = 4 << 20;
const KERNEL: usize = 4 << 20;

/// What every client has to get.
pub(crate) struct Tree {
    /// The envelope as it is in the tree.
    pub(crate) envelope: Vec<u8>,
    /// The next trust file as it is in the tree; no client looks into it.
    pub(crate) trust: Vec<u8>,
    /// The release's version.
    pub(crate) version: u64,
    /// Name and size of every blob.
    pub(crate) blobs: Vec<(Sha256Digest, u64)>,
}

impl Tree {
    /// Makes keys and files below `home` and publishes them in `home/tree`.
    pub(crate) fn publish(home: &Path) -> Result<Self, Error> {
        for key in ["root", "release"] {
            command(home, &["keygen", "--out", key, "--no-passphrase"])?;
        }
        command(
            home,
            &[
                "trust",
                "init",
                "--channel",
                "demo",
                "--root-key",
                "root.pub",
                "--release-key",
                "release.pub",
                "--out",
                "trust.json",
            ],
        )?;
        fs::write(home.join("vmlinuz"), kernel())?;
        fs::write(home.join("initramfs.cpio"), archive()?)?;
        fs::write(home.join("root.squashfs"), squashfs())?;
        let release = ["publish", "--tree", "tree", "--channel", "demo", "--arch", "x86_64", "--version", "7"];
        let files = ["--kernel", "vmlinuz", "--initramfs", "initramfs.cpio", "--rootfs", "root.squashfs"];
        command(home, &[&release[..], &files, &["--key", "release", "--trust", "trust.json"]].concat())?;
        let tree = home.join("tree");
        fs::create_dir_all(tree.join("trust"))?;
        fs::copy(home.join("trust.json"), tree.join("trust/2.dsse.json"))?;

        let (channel, arch): (Channel, Arch) = ("demo".parse()?, "x86_64".parse()?);
        let manifest = tree::published(&tree, &channel, arch)?.ok_or("the tree has no release")?;
        Ok(Self {
            envelope: fs::read(tree.join("demo/x86_64/manifest.dsse.json"))?,
            trust: fs::read(tree.join("trust/2.dsse.json"))?,
            version: manifest.version,
            blobs: manifest.blobs().map(|blob| (blob.sha256, blob.size)).collect(),
        })
    }

    /// The bytes of the envelope and of all blobs.
    pub(crate) fn bytes(&self) -> u64 {
        self.envelope.len() as u64 + self.blobs.iter().map(|(_, size)| size).sum::<u64>()
    }
}

fn command(home: &Path, arguments: &[&str]) -> Result<(), Error> {
    let output = Command::new(env!("CARGO_BIN_EXE_phase")).args(arguments).current_dir(home).output()?;
    if !output.status.success() {
        return Err(format!("phase {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// Bytes that no two pages have in common.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < size {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// As much of an x86 kernel as `phase publish` looks at (Documentation/arch/x86/boot.rst).
fn kernel() -> Vec<u8> {
    let mut kernel = noise(KERNEL);
    kernel[0x1fe..0x200].copy_from_slice(&0xaa55_u16.to_le_bytes());
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    kernel[0x236] = 1; // it has a 64-bit entry point
    kernel[0x260..0x264].copy_from_slice(&0x0100_0000_u32.to_le_bytes());
    kernel
}

fn archive() -> Result<Vec<u8>, Error> {
    let mut archive = Member::file("init", 0o755, INITRAMFS as u64).encode()?;
    archive.write_all(&noise(INITRAMFS))?;
    archive.resize(archive.len() + newc::padding(INITRAMFS as u64), 0);
    archive.extend(newc::trailer());
    Ok(archive)
}

/// As much of a squashfs as `phase publish` looks at: its magic, and its size.
fn squashfs() -> Vec<u8> {
    let mut image = noise(ROOTFS);
    image[..4].copy_from_slice(b"hsqs");
    image[40..48].copy_from_slice(&(ROOTFS as u64).to_le_bytes());
    image
}
