//! What has to be true once the release runs, and how long that took.

use std::{fs, path::Path};

use qemu::Event;
use serde_json::Value;

use crate::{row::Outcome, scene::Mode, support::Boot};

/// What has to become of a boot.
pub(crate) struct Arrival<'a> {
    /// The mode that the receipt names.
    pub(crate) mode: Mode,
    /// The hand-off: `kexec`, `direct` or `foreign`.
    pub(crate) handoff: &'a str,
    /// What the receipt's source begins with: a device or a URL.
    pub(crate) source: &'a str,
    /// Whether the release is a Debian, which is asked at its login, and not the tiny one.
    pub(crate) login: bool,
}

impl Arrival<'_> {
    /// Follows the boot to the release, in the right mode and from the right place, until it has switched the machine off.
    /// `artefact` is the file or folder that the machine was started from.
    #[track_caller]
    pub(crate) fn of(&self, boot: &mut Boot, artefact: &Path) -> Outcome {
        let receipt = if self.login { logs_in(boot, self.handoff) } else { boot.reaches_the_release(self.handoff) };
        assert_eq!(receipt["mode"], self.mode.word(), "{receipt}");
        let source = receipt["source"].as_str().unwrap_or_default();
        assert!(source.starts_with(self.source), "it came from {source:?}, wanted {:?}: {receipt}", self.source);
        let release = if self.login { "login" } else { "PID 1" };
        Outcome {
            words: format!("{} mode, {} from {source}, {release}", self.mode.word(), self.handoff),
            to_init: boot.when_started().expect("the marker of stage one"),
            to_release: boot.when_reached().expect("the release's own words"),
            artefact: bytes(artefact),
        }
    }
}

/// Logs in to a Debian whose services are all healthy, reads the receipt, and switches off.
#[track_caller]
fn logs_in(boot: &mut Boot, handoff: &str) -> Value {
    assert_eq!(boot.reaches("handoff", Event::Begin).field("kind"), Some(handoff));
    boot.at_prompt(" login:", "root");
    // Not only "#": the kernel's version, which is shown before, has one, and a line may be seen at any length.
    boot.at_prompt("~#", "cat /run/phase/receipt.json");
    // The words of the answer are not those of the question, which the terminal echoes.
    boot.at_prompt("~#", "echo \"system is $(systemctl is-system-running --wait): $(systemctl --failed --plain)\"");
    boot.shows("system is running: ");
    boot.at_prompt("~#", "poweroff");
    boot.powers_off();
    boot.json_after("cat /run/phase/receipt.json")
}

/// Bytes of a file, or of all files in a folder.
pub(crate) fn bytes(artefact: &Path) -> u64 {
    if artefact.is_dir() {
        return fs::read_dir(artefact).unwrap().map(|entry| bytes(&entry.unwrap().path())).sum();
    }
    fs::metadata(artefact).unwrap().len()
}
