//! What a release says of the registers of its machine's TPM and of the log of its boot; and what `phase measured` makes of both.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Boot, Lab, Tree, text};

/// What a release said of its boot, in files as a person would have them.
pub(crate) struct Measured {
    directory: TempDir,
}

impl Measured {
    /// Of a release whose machine has ended.
    #[track_caller]
    pub(crate) fn by(boot: &Boot) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("registers"), registers(boot).join("\n")).unwrap();
        let [log] = &boot.lines_after("phase-test: measured ")[..] else { panic!("the release has no log") };
        let log = data_encoding::BASE64.decode(log.trim().as_bytes()).unwrap();
        fs::write(directory.path().join("log"), log).unwrap();
        Self { directory }
    }

    /// The log.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// `phase measured replay` of this log: whether it succeeds, and what it says.
    #[track_caller]
    pub(crate) fn replay(&self, log: &Path) -> (bool, Value) {
        let registers = self.directory.path().join("registers");
        let output = measured(&["replay", text(log), "--pcrs", text(&registers), "--json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        (
            output.status.success(),
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")),
        )
    }

    /// What `phase measured expect` says that a release gives on this machine, entered this way: bank and value.
    #[track_caller]
    pub(crate) fn expected(&self, tree: &Tree, way: &str) -> Value {
        let (trust, envelope) = (Lab::ready().part("trust.json"), tree.path().join("e2e/x86_64/manifest.dsse.json"));
        let (log, files) = (self.log(), [text(&trust), text(&envelope)]);
        let options = ["--start", text(&log), "--handoff", way, "--json"];
        let output = measured(&[&["expect", "--trust"], &files[..], &options].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["registers"].clone()
    }

    /// A copy of the log that `change` did something to.
    pub(crate) fn altered(&self, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        let mut bytes = fs::read(self.log()).unwrap();
        change(&mut bytes);
        let path = self.directory.path().join("altered");
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// What the registers of a replay hold, as [`Measured::expected`] has them.
pub(crate) fn held(replayed: &Value) -> Value {
    let banks = replayed["banks"].as_array().unwrap().iter();
    banks.map(|bank| serde_json::json!({"bank": bank["bank"], "value": bank["register"]})).collect()
}

/// Register 14 in every bank, as the release printed it: the kernel's path of it, a colon, hex digits.
pub(crate) fn registers(boot: &Boot) -> Vec<String> {
    boot.lines_after("phase-test: register ")
}

/// Whether such a line says that nothing was ever measured.
pub(crate) fn untouched(register: &str) -> bool {
    let (_, value) = register.trim_end().rsplit_once(':').unwrap();
    value.bytes().all(|digit| digit == b'0')
}

fn measured(arguments: &[&str]) -> Output {
    Command::new(Lab::ready().phase_program()).arg("measured").args(arguments).output().unwrap()
}
