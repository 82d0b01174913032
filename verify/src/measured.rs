//! Measured boot: what stage one tells a TPM about the release that it enters, and in which words (docs/measured-boot.md).
//!
//! Guarantees: one place says what is measured and how it is written down, so that a machine (`init`) and whoever predicts or
//! checks its registers (`phase measured`) cannot differ. What a register is extended with is the digest of an event's words,
//! so that the words of a log cannot be changed without its replay failing.

mod bank;
mod log;

pub use bank::Bank;
pub use log::{Event, Log, LogError};

use crate::manifest::{Handoff, Manifest};
use crate::names::Sha256Digest;

/// The register that is extended: 14, which only shim uses besides, before any kernel runs. It starts as zeros (or as shim
/// left it), and nothing but a restart of the machine sets it back (TCG, "PC Client Platform TPM Profile", table 6).
pub const PCR: u32 = 14;

/// What every event begins with; another form would have another number.
const FORM: &str = "phase.measured/1";

/// A release at the moment when a machine enters it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Epoch of the trust file in force.
    pub epoch: u64,
    /// SHA-256 of that trust file, byte by byte as it stands in the initramfs or was signed.
    pub trust: Sha256Digest,
    /// SHA-256 of the envelope, byte by byte as it came.
    pub envelope: Sha256Digest,
    /// SHA-256 of the manifest in it.
    pub digest: Sha256Digest,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The way into the release.
    pub way: Handoff,
}

impl Entry<'_> {
    /// The words of every event, in the order in which they are measured.
    pub fn events(&self) -> Vec<String> {
        let Self { epoch, trust, envelope, digest, manifest, way } = *self;
        let (channel, arch, version) = (&manifest.channel, manifest.arch, manifest.version);
        let mut events = vec![
            format!("{FORM} trust epoch={epoch} sha256={trust}"),
            format!("{FORM} envelope sha256={envelope}"),
            format!("{FORM} manifest channel={channel} arch={arch} version={version} sha256={digest}"),
        ];
        let files = manifest.boot_files.as_ref().filter(|_| way.needs_boot_files());
        let files = files.map(|files| [("kernel", &files.kernel.artifact), ("initramfs", &files.initramfs.artifact)]);
        let rootfs = manifest.rootfs.as_ref().filter(|_| way.needs_rootfs()).map(|rootfs| ("rootfs", rootfs));
        for (name, artifact) in files.into_iter().flatten().chain(rootfs) {
            events.push(format!("{FORM} {name} sha256={}", artifact.sha256));
        }
        events.push(format!("{FORM} handoff {way}"));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"schema":"phase.boot/1","channel":"demo","arch":"x86_64","version":7,"min_epoch":1,
        "issued":"2026-11-20T12:00:00Z","expires":"2027-11-20T12:00:00Z","cmdline":"quiet","init":"/sbin/init",
        "handoff":["kexec","direct"],
        "kernel":{"name":"vmlinuz","size":1,"sha256":"1111111111111111111111111111111111111111111111111111111111111111","init_size":1},
        "initramfs":{"name":"initramfs","size":1,"sha256":"2222222222222222222222222222222222222222222222222222222222222222","unpacked_size":1},
        "rootfs":{"name":"root","size":1,"sha256":"3333333333333333333333333333333333333333333333333333333333333333"}}"#;

    fn events(way: Handoff) -> Vec<String> {
        let manifest = Manifest::parse(MANIFEST.as_bytes()).unwrap();
        let [trust, envelope, digest] = [b"trust", b"envel", b"manif"].map(|bytes| Sha256Digest::of(bytes));
        Entry { epoch: 3, trust, envelope, digest, manifest: &manifest, way }.events()
    }

    #[test]
    fn a_release_is_measured_from_its_trust_to_its_hand_off() {
        let kexec = events(Handoff::Kexec);
        let named: Vec<&str> = kexec.iter().map(|words| words.split(' ').nth(1).unwrap()).collect();
        assert_eq!(named, ["trust", "envelope", "manifest", "kernel", "initramfs", "rootfs", "handoff"]);
        let trust = Sha256Digest::of(b"trust");
        assert_eq!(kexec[0], format!("phase.measured/1 trust epoch=3 sha256={trust}"));
        assert!(kexec[2].starts_with("phase.measured/1 manifest channel=demo arch=x86_64 version=7 sha256="));
        assert_eq!(kexec[3], format!("phase.measured/1 kernel sha256={}", "1".repeat(64)));
        assert_eq!(kexec[6], "phase.measured/1 handoff kexec");
    }

    #[test]
    fn only_what_a_way_uses_is_measured() {
        let direct = events(Handoff::Direct);
        let named: Vec<&str> = direct.iter().map(|words| words.split(' ').nth(1).unwrap()).collect();
        assert_eq!(named, ["trust", "envelope", "manifest", "rootfs", "handoff"]);
        assert!(direct[4].ends_with("handoff direct"));
        assert!(!events(Handoff::Foreign).iter().any(|words| words.contains("rootfs")));
    }
}
