//! What the tests of the command share: running the real binary, and small parts of a release.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use initramfs::newc::{self, Member};

/// A small manifest, in a layout that nobody's JSON writer gives: only the exact bytes are signed.
pub(crate) const MANIFEST: &str = r#"{"schema": "phase.boot/1", "channel": "demo", "arch": "x86_64", "version": 7, "min_epoch": 1,
  "issued": "2026-11-20T12:00:00Z", "expires": "2027-11-20T12:00:00Z", "cmdline": "", "init": "/sbin/init",
  "handoff": ["direct"], "rootfs": {"name": "root.squashfs", "size": 1,
  "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}"#;

/// A new directory that is removed with the value.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// `phase` with these arguments, in `directory`, without a terminal and without a passphrase.
pub(crate) fn phase(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

/// The same, not yet run.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phase"));
    command.args(arguments).current_dir(directory).env_remove("PHASE_PASSPHRASE").stdin(std::process::Stdio::null());
    command
}

/// The same, which has to succeed; returns its standard output.
pub(crate) fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let output = phase(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The same, which has to end with `status`; returns its standard error.
pub(crate) fn fails(directory: &Path, arguments: &[&str], status: i32) -> String {
    let output = phase(directory, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
    error
}

/// The same, with its `--json` result.
pub(crate) fn json(directory: &Path, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeeds(directory, arguments)).unwrap()
}

/// Another program, which has to succeed; returns its standard output.
pub(crate) fn program(directory: &Path, name: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(name).args(arguments).current_dir(directory).output();
    let output = output.unwrap_or_else(|error| panic!("{name}, which this test needs: {error}"));
    assert!(output.status.success(), "{name} {arguments:?}: {}", text(&output.stderr));
    output.stdout
}

/// Bytes of a program as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An unencrypted key pair `NAME` and `NAME.pub`.
pub(crate) fn key(directory: &Path, name: &str) {
    succeeds(directory, &["keygen", "--out", name, "--no-passphrase"]);
}

/// `root`, `release` and `trust.json` of the channel `demo`.
pub(crate) fn keys_and_trust(directory: &Path) {
    key(directory, "root");
    key(directory, "release");
    let trust = ["trust", "init", "--channel", "demo", "--root-key", "root.pub", "--release-key", "release.pub"];
    succeeds(directory, &[&trust[..], &["--out", "trust.json"]].concat());
}

/// `vmlinuz`, `initramfs.cpio` and `root.squashfs`: small, and real as far as `phase publish` looks.
pub(crate) fn release_files(directory: &Path) {
    fs::write(directory.join("vmlinuz"), kernel(0x0020_f000)).unwrap();
    fs::write(directory.join("initramfs.cpio"), initramfs(&[("init", &[7; 5000])])).unwrap();
    fs::write(directory.join("root.squashfs"), squashfs(9, 12288)).unwrap();
}

/// A file of `size` times `byte` that begins like a squashfs of that size.
pub(crate) fn squashfs(byte: u8, size: usize) -> Vec<u8> {
    let mut image = vec![byte; size];
    image[..4].copy_from_slice(b"hsqs");
    image[40..48].copy_from_slice(&(size as u64).to_le_bytes());
    image
}

/// The first sectors of an x86 kernel (Documentation/arch/x86/boot.rst) that needs `init_size` bytes.
pub(crate) fn kernel(init_size: u32) -> Vec<u8> {
    let mut kernel = vec![0; 4096];
    kernel[0x1fe..0x200].copy_from_slice(&0xaa55_u16.to_le_bytes());
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    kernel[0x236] = 1; // it has a 64-bit entry point
    kernel[0x260..0x264].copy_from_slice(&init_size.to_le_bytes());
    kernel
}

/// The same as a UEFI program of 64 bits (Microsoft's "PE Format"), whose headers stand in front of its own.
pub(crate) fn efi_kernel(init_size: u32) -> Vec<u8> {
    let mut kernel = kernel(init_size);
    kernel[..2].copy_from_slice(b"MZ");
    kernel[0x3c] = 0x40;
    kernel[0x40..0x44].copy_from_slice(b"PE\0\0");
    kernel[0x44..0x46].copy_from_slice(&0x8664_u16.to_le_bytes()); // x86_64
    kernel[0x54..0x56].copy_from_slice(&240_u16.to_le_bytes()); // bytes of what follows at 0x58
    kernel[0x58..0x5a].copy_from_slice(&0x020b_u16.to_le_bytes()); // 64 bits
    kernel[0xc4] = 16; // tables, all of them empty
    kernel
}

/// The header of an arm64 kernel (Documentation/arm64/booting.rst) of 32 MiB.
pub(crate) fn arm64_kernel() -> Vec<u8> {
    let mut kernel = vec![0; 64];
    kernel[16..24].copy_from_slice(&0x0200_0000_u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARMd");
    kernel
}

/// An uncompressed archive of regular files.
pub(crate) fn initramfs(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.extend(Member::file(name, 0o755, bytes.len() as u64).encode().unwrap());
        archive.extend_from_slice(bytes);
        archive.resize(archive.len() + newc::padding(bytes.len() as u64), 0);
    }
    archive.extend(newc::trailer());
    archive
}

/// A folder with a kernel and an initramfs of this stage.
pub(crate) fn home(stage: &str) -> tempfile::TempDir {
    let home = directory();
    fs::write(home.path().join("vmlinuz"), kernel(0x0020_f000)).unwrap();
    fs::write(home.path().join("boot.cpio"), initramfs(&[("etc/phase/stage", stage.as_bytes())])).unwrap();
    program(home.path(), "zstd", &["-q", "boot.cpio", "-o", "boot.zst"]);
    home
}

/// `phase publish` of [`release_files`] as version `version`, and what else is said.
pub(crate) fn publish<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["publish", "--tree", "tree", "--channel", "demo", "--arch", "x86_64", "--key", "release"];
    arguments.extend(["--kernel", "vmlinuz", "--initramfs", "initramfs.cpio", "--rootfs", "root.squashfs"]);
    arguments.extend(["--cmdline", "console=ttyS0 quiet", "--version", version]);
    arguments.extend(more);
    arguments
}

/// The envelope of `demo`.
pub(crate) fn envelope(directory: &Path) -> PathBuf {
    directory.join("tree/demo/x86_64/manifest.dsse.json")
}
