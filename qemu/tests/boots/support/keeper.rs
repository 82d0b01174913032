//! Releases that change their root and say what they find of an earlier change, on machines that keep it or do not.

use std::path::PathBuf;

use qemu::Machine;
use serde_json::Value;
use tempfile::TempDir;

use super::{Boot, Lab, PhaseData, Release, Serve, Tree, root_with};

/// Its PID 1: says what was kept, does `MORE`, and adds a line to what is kept.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
echo "phase-test: release pid $$ reached"
echo "phase-test: receipt $($b cat /run/phase/receipt.json)"
echo "phase-test: this is root NAME"
echo "phase-test: kept: $($b cat /etc/kept 2>/dev/null | $b xargs)"
echo "phase-test: shown: $($b ls /run/phase/upper | $b xargs)"
MORE
echo NAME >>/etc/kept
$b poweroff -f
"#;

/// A release of this kind, and the folder of what it and its machine are made of.
pub(crate) struct Keeper {
    folder: TempDir,
    version: u64,
    rootfs: PathBuf,
    handoff: &'static str,
    allowed: bool,
}

impl Keeper {
    /// Version `version`, whose PID 1 calls its root `name` and runs the lines `more`.
    pub(crate) fn new(version: u64, name: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let init = INIT.replace("NAME", name).replace("MORE", more);
        let rootfs = root_with(&init, folder.path());
        Self { folder, version, rootfs, handoff: "kexec", allowed: true }
    }

    /// The same, entered without a kernel of its own.
    pub(crate) fn direct(self) -> Self {
        Self { handoff: "direct", ..self }
    }

    /// The same without the manifest's word that changes may be kept.
    pub(crate) fn not_allowed(self) -> Self {
        Self { allowed: false, ..self }
    }

    /// Publishes it.
    pub(crate) fn publish(&self) -> Tree {
        let Self { version, handoff, allowed: keeps, ref rootfs, .. } = *self;
        Release { version, handoff, keeps, rootfs: Some(rootfs.clone()), ..Release::default() }.publish()
    }

    /// A machine whose owner wants changes to be kept on `disk`.
    pub(crate) fn machine(&self, disk: Option<&PhaseData>) -> Machine {
        Lab::ready().keeping_machine(disk, self.folder.path())
    }

    /// Boots it on a machine whose owner wants changes kept on `disk`, with further kernel parameters.
    #[track_caller]
    pub(crate) fn boots(&self, disk: Option<&PhaseData>, parameters: &str) -> Outcome {
        let server = Serve::tree(self.publish());
        self.booted_by(&self.machine(disk).append(&server.origin()).append(parameters))
    }

    /// Starts a machine that finds it.
    #[track_caller]
    pub(crate) fn booted_by(&self, machine: &Machine) -> Outcome {
        let mut boot = Boot::start(machine);
        let receipt = boot.reaches_the_release(self.handoff);
        Outcome { boot, receipt }
    }
}

/// What became of a boot.
pub(crate) struct Outcome {
    /// The machine, which is switched off.
    pub(crate) boot: Boot,
    /// The receipt of its release.
    pub(crate) receipt: Value,
}

impl Outcome {
    /// Changes are kept, and these were there already.
    #[track_caller]
    pub(crate) fn keeps(&self, before: &str) {
        assert_eq!(self.receipt["x-upper"]["kind"], "persistent", "{}", self.receipt);
        assert_eq!(self.boot.upper(), "persistent");
        self.found(before);
    }

    /// Nobody tried to keep changes, and nothing of earlier ones is there.
    #[track_caller]
    pub(crate) fn has_no_upper(&self) {
        assert!(self.receipt.get("x-upper").is_none(), "{}", self.receipt);
        assert_eq!(self.boot.upper(), "tmpfs");
        self.found("");
    }

    /// Changes should be kept and cannot be, for a reason with these words, which a person is told, too.
    #[track_caller]
    pub(crate) fn loses(&self, words: &str) {
        let upper = &self.receipt["x-upper"];
        assert_eq!(upper["kind"], "tmpfs", "{}", self.receipt);
        let reason = upper["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
        assert!(
            self.boot
                .says(&format!("what is written in this boot will be lost, and what was kept is not there: {reason}"))
        );
        assert_eq!(self.boot.upper(), "tmpfs");
        self.found("");
    }

    #[track_caller]
    fn found(&self, before: &str) {
        let found = self.boot.lines_after("phase-test: kept:");
        assert_eq!(found.iter().map(|found| found.trim()).collect::<Vec<_>>(), [before], "what it found");
    }
}
