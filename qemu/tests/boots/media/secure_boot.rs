//! Secure Boot (docs/secure-boot.md): what the platform does not trust is refused, by the firmware or by the kernel that runs, in
//! words that help, and nothing of it is executed. That what it trusts boots is two rows of the matrix (qemu/tests/media).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use qemu::Machine;
use tempfile::TempDir;

use crate::support::{
    Boot, KERNEL_PARAMETERS, Lab, Medium, Release, Serve, Uefi, own_key, run, signed_kernel, text, unsigned_kernel,
};

/// Media and kernels of one test.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `phase image WHAT` with kernel, initramfs and these parameters; returns what it made.
    fn image(&self, what: &str, parameters: &str, options: &[&str]) -> PathBuf {
        let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
        let out = self.file(what);
        let parameters = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff {parameters}");
        let arguments = ["image", what, "--kernel", text(&kernel), "--initramfs", text(&initramfs)];
        let output = ["--out", text(&out), "--parameters", &parameters];
        Lab::ready().phase(&[&arguments[..], &output, options].concat());
        out
    }

    /// The release's kernel without its signature.
    fn unsigned_kernel(&self) -> PathBuf {
        unsigned_kernel(self.0.path())
    }

    /// The release's kernel with the signature of somebody whom nothing here trusts.
    fn strangers_kernel(&self) -> PathBuf {
        let [key, certificate] = ["key", "certificate"].map(|name| self.file(name));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=stranger/"]);
        run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
        signed_kernel(&key, &certificate, self.0.path())
    }

    /// A machine as it is sold, which starts the image of `phase image disk --secure-boot` and finds `release` on a server.
    fn starts(&self, firmware: &Uefi, release: Release) -> (Boot, Serve) {
        let server = Serve::tree(release.publish());
        let disk = self.image("disk", &server.origin(), &["--secure-boot"]);
        let machine = firmware.plug(Machine::from_firmware().memory_mib(768).disk(&disk));
        let mut boot = Boot::start(&machine);
        boot.shows("Phase Boot: Private");
        boot.types("i");
        (boot, server)
    }

    /// A UKI that the owner signed.
    fn signed_uki(&self) -> PathBuf {
        let (key, certificate) = own_key(self.0.path());
        self.image("uki", "", &["--mode", "internet", "--sign-key", text(&key), "--sign-cert", text(&certificate)])
    }
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_kernel_without_a_signature_is_refused() {
    let (bench, firmware) = (Bench::new(), Uefi::with_microsofts_keys());
    let kernel = Some(bench.unsigned_kernel());
    let (mut boot, _server) = bench.starts(&firmware, Release { kernel, ..Release::default() });
    let words = ["it has no signature", "wanted: a kernel signed by a key of the firmware's db"];
    boot.is_refused("load", "kexec-load", &words);
    boot.powers_off();
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_kernel_that_a_stranger_signed_is_refused() {
    let (bench, firmware) = (Bench::new(), Uefi::with_microsofts_keys());
    let kernel = Some(bench.strangers_kernel());
    let (mut boot, _server) = bench.starts(&firmware, Release { kernel, ..Release::default() });
    let words = ["it is signed by no key that this machine trusts", "or the hand-off direct in the manifest"];
    boot.is_refused("load", "kexec-load", &words);
    boot.powers_off();
}

#[test]
#[ignore = "one row of `make test-media`"]
fn direct_is_taken_if_the_manifest_lists_it() {
    let (bench, firmware) = (Bench::new(), Uefi::with_microsofts_keys());
    let kernel = Some(bench.unsigned_kernel());
    let release = Release { kernel, handoff: "kexec,direct", ..Release::default() };
    let (mut boot, _server) = bench.starts(&firmware, release);
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["handoff"], "direct");
    assert!(boot.says("it has no signature"), "the reason is said");
    assert!(boot.says("the manifest allows the hand-off direct: it is tried"), "and what follows");
}

/// The firmware refuses the program on this medium, and what it would have started says nothing.
#[track_caller]
fn is_refused_by_the_firmware(program: &Path) {
    let (medium, firmware) = (Medium::uefi(program), Uefi::with_own_key());
    let machine = firmware.plug(Machine::from_firmware().memory_mib(768).disk(&medium.path()));
    let mut boot = Boot::start(&machine);
    boot.shows("Access Denied");
    boot.shows("No bootable option or device was found");
    assert!(!boot.began("start") && !boot.says("Linux version"), "something was started");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_uki_that_nobody_signed_is_refused() {
    let bench = Bench::new();
    is_refused_by_the_firmware(&bench.image("uki", "", &[]));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_uki_that_was_changed_after_it_was_signed_is_refused() {
    let bench = Bench::new();
    let uki = bench.signed_uki();
    let mut bytes = fs::read(&uki).unwrap();
    // In the initramfs, the largest part but the kernel: a quarter of the file is well inside.
    let place = bytes.len() / 4;
    bytes[place] ^= 1;
    fs::write(&uki, bytes).unwrap();
    is_refused_by_the_firmware(&uki);
}
