//! What stage one tells stage two (`phase/handoff.json`) and both tell the release (the receipt): docs/formats.md.

use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use verify::measured::{self, Log};
use verify::{PartUuid, Store, Timestamp};

use crate::acknowledge;
use crate::config::Recovery;
use crate::network::Connection;
use crate::parameters::Parameters;
use crate::store::Access;
use crate::timeline::{Kind, StageTiming};

/// Schema of the hand-off.
pub const HANDOFF_SCHEMA: &str = "phase.handoff/1";
/// Schema of the receipt.
pub const RECEIPT_SCHEMA: &str = "phase.receipt/1";
/// Where the release finds what is for it; /run moves into the final system.
pub const RUN: &str = "/run/phase";
/// The event log of measured boot, in the form of the TCG.
pub const MEASURED_LOG: &str = "/run/phase/measured.log";
/// The receipt.
pub const RECEIPT: &str = "/run/phase/receipt.json";
/// Largest hand-off in bytes; room for it is laid out before the download.
pub const LARGEST_HANDOFF: u32 = 64 << 10;

/// What time it was, in seconds since 1970, and whether it could be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// The time that expiry was judged by.
    pub now: u64,
    /// Whether the machine's clock was within reason.
    pub trusted: bool,
}

/// The store, for the acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "store", rename_all = "lowercase", deny_unknown_fields)]
pub enum Memory {
    /// A partition.
    Disk {
        /// Its unique GUID.
        partuuid: PartUuid,
        /// What this boot may do with it.
        access: Access,
    },
    /// An NV index of the TPM.
    Tpm {
        /// The index.
        nv_index: u32,
        /// What this boot may do with it.
        access: Access,
    },
}

impl Memory {
    /// A configured store; nothing, if there is none.
    pub fn of(store: &Store, access: Access) -> Option<Self> {
        match store {
            Store::None => None,
            Store::Disk { partuuid } => Some(Self::Disk { partuuid: partuuid.clone(), access }),
            Store::Tpm { nv_index } => Some(Self::Tpm { nv_index: *nv_index, access }),
        }
    }

    fn access(&self) -> Access {
        match self {
            Self::Disk { access, .. } | Self::Tpm { access, .. } => *access,
        }
    }
}

/// What a TPM was told of the release. The hand-off carries the log; the receipt says where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The register.
    pub pcr: u32,
    /// The banks that it was extended in.
    pub banks: Vec<String>,
    /// Whether all of the release was measured; the console said why, if it was not.
    pub complete: bool,
    /// The log in base64, in the hand-off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The log's file, in the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Measured {
    /// What the hand-off says of a log.
    pub fn of(log: &Log, complete: bool) -> Self {
        let banks = log.banks().map(|bank| bank.to_string()).collect();
        Self { pcr: measured::PCR, banks, complete, log: Some(BASE64.encode(&log.encode())), file: None }
    }
}

/// The hand-off. It is made from a verified manifest, and stands in an initramfs that nobody else could write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handoff {
    /// [`HANDOFF_SCHEMA`].
    pub schema: String,
    /// Digest of the signed manifest.
    pub manifest_sha256: String,
    /// Channel of the release.
    pub channel: String,
    /// Architecture of the release.
    pub arch: String,
    /// Version of the release.
    pub version: u64,
    /// Keys that signed it and count.
    pub key_ids: Vec<String>,
    /// Epoch of the trust file in force.
    pub epoch: u64,
    /// Its `floor_epoch`.
    pub floor_epoch: u64,
    /// When the release was issued.
    pub issued: Timestamp,
    /// Where an acknowledgement goes, if the machine has a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Memory>,
    /// The release's init.
    pub init: String,
    /// Size of the squashfs in bytes.
    pub rootfs_size: u64,
    /// Digest of the squashfs.
    pub rootfs_sha256: String,
    /// The way that was taken: `kexec` or `direct`.
    pub handoff: String,
    /// `internet`, `local` or `private`.
    pub mode: String,
    /// Where the release was found.
    pub source: String,
    /// Whether stage two may open the rescue prompt (the trust file's policy).
    pub rescue_prompt: bool,
    /// The time.
    pub clock: Clock,
    /// The network that carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Connection>,
    /// What was measured, on a machine with a TPM. A stage two that is older than this field passes over it.
    #[serde(rename = "x-measured", default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Consoles of stage one.
    pub consoles: Vec<String>,
    /// Stages of stage one; `load` and the jump come after this is written.
    pub timings: Vec<StageTiming>,
}

/// The receipt in the final system.
#[derive(Debug, Serialize)]
struct Receipt<'a> {
    #[serde(flatten)]
    handoff: &'a Handoff,
    root_timings: &'a [StageTiming],
}

/// A hand-off that stage two does not accept, or a receipt that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not there or too large.
    #[error("the hand-off of stage one is missing: {0}")]
    Missing(#[from] crate::config::ConfigError),
    /// It does not follow the schema.
    #[error("phase/handoff.json is not of the form {HANDOFF_SCHEMA}: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another schema.
    #[error(
        "phase/handoff.json has schema {seen:?}; this stage two knows {HANDOFF_SCHEMA}: make the release's initramfs with the same Phase Boot as the boot medium"
    )]
    Schema {
        /// The schema, shortened.
        seen: String,
    },
    /// It would not fit the room that was laid out.
    #[error("the hand-off has {seen} bytes; there is room for {LARGEST_HANDOFF}")]
    TooLarge {
        /// Bytes.
        seen: usize,
    },
    /// The squashfs is not what stage one proved: the kernel cut it or it is not there.
    #[error(
        "phase/rootfs.squashfs has {seen} bytes; stage one verified {wanted} (a rootfs that is too small for the initramfs cuts it)"
    )]
    Rootfs {
        /// Bytes that are there.
        seen: u64,
        /// Bytes that were verified.
        wanted: u64,
    },
    /// The receipt cannot be written.
    #[error("cannot write {path}: {source}")]
    Receipt {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Kind for RecordError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Rootfs { .. } => "rootfs-size",
            Self::Receipt { .. } => "receipt",
            _ => "handoff",
        }
    }
}

impl Handoff {
    /// The hand-off as it stands in the composed initramfs.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        let json = serde_json::to_vec(self)?;
        if json.len() > LARGEST_HANDOFF as usize { Err(RecordError::TooLarge { seen: json.len() }) } else { Ok(json) }
    }

    /// Reads the hand-off of the initramfs below `root` and compares the squashfs beside it.
    pub fn read(root: &Path) -> Result<Self, RecordError> {
        let handoff = Self::parse(&crate::config::read_small(&root.join("phase/handoff.json"))?)?;
        let seen = std::fs::metadata(root.join("phase/rootfs.squashfs")).map_or(0, |metadata| metadata.len());
        if seen == handoff.rootfs_size {
            Ok(handoff)
        } else {
            Err(RecordError::Rootfs { seen, wanted: handoff.rootfs_size })
        }
    }

    /// What follows a failure of stage two: the command line says it, and stage one whether there may be a prompt.
    pub fn recovery(&self, parameters: &Parameters) -> Recovery {
        Recovery { rescue_prompt: self.rescue_prompt, ..Recovery::unconfigured(parameters) }
    }

    fn parse(json: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Schema {
            schema: String,
        }
        // The schema first: a field that is unknown may only mean that it is another one.
        let Schema { schema } = serde_json::from_slice(json)?;
        if schema != HANDOFF_SCHEMA {
            return Err(RecordError::Schema { seen: schema.chars().take(40).collect() });
        }
        // Fields for others, which a newer stage one may write (docs/formats.md).
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json)?;
        // What a TPM was told is for the release. Of another form, it stops no boot.
        let measured = fields.remove("x-measured").and_then(|measured| serde_json::from_value(measured).ok());
        fields.retain(|name, _| !name.starts_with("x-"));
        Ok(Self { measured, ..serde_json::from_value(fields.into())? })
    }

    /// Whether the release may acknowledge, and there is a place for it.
    fn takes_acknowledgement(&self) -> bool {
        self.state.as_ref().is_some_and(|memory| memory.access() == Access::ReadWrite)
    }

    /// Gives the release what is for it, in the directory `run` (normally [`RUN`]): the receipt, the log of what was measured,
    /// and the program that acknowledges, if there is something to raise.
    pub fn give_to_release(&self, run: &Path, root_timings: &[StageTiming]) -> Result<(), RecordError> {
        self.write_receipt(&run.join("receipt.json"), root_timings)?;
        let path = run.join("measured.log");
        let written = match self.measured_log() {
            Some(log) => std::fs::write(&path, log),
            // One of an earlier attempt would speak of what the receipt does not.
            None => remove_if_there(&path),
        };
        written.map_err(|source| RecordError::Receipt { path: path.display().to_string(), source })?;
        if !self.takes_acknowledgement() {
            return Ok(());
        }
        let path = run.join(acknowledge::NAME);
        acknowledge::place(Path::new("/proc/self/exe"), &path)
            .map_err(|source| RecordError::Receipt { path: path.display().to_string(), source })
    }

    fn measured_log(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.measured.as_ref()?.log.as_ref()?.as_bytes()).ok()
    }

    /// Writes the receipt: the hand-off and the stages that came after it. `path` is replaced as a whole.
    fn write_receipt(&self, path: &Path, root_timings: &[StageTiming]) -> Result<(), RecordError> {
        let file = self.measured_log().map(|_| MEASURED_LOG.to_owned());
        let measured = self.measured.clone().map(|measured| Measured { log: None, file, ..measured });
        let handoff = Self { schema: RECEIPT_SCHEMA.to_owned(), measured, ..self.clone() };
        let mut json = serde_json::to_vec_pretty(&Receipt { handoff: &handoff, root_timings })?;
        json.push(b'\n');
        std::fs::write(path, json).map_err(|source| RecordError::Receipt { path: path.display().to_string(), source })
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::OnFailure;

    fn handoff() -> Handoff {
        Handoff {
            schema: HANDOFF_SCHEMA.into(),
            manifest_sha256: "ab".repeat(32),
            channel: "demo".into(),
            arch: "x86_64".into(),
            version: 7,
            key_ids: vec!["cd".repeat(32)],
            epoch: 2,
            floor_epoch: 1,
            issued: "2026-11-20T12:00:00Z".parse().unwrap(),
            state: Some(Memory::Tpm { nv_index: 0x0180_0000, access: Access::ReadWrite }),
            init: "/sbin/init".into(),
            rootfs_size: 5,
            rootfs_sha256: "ef".repeat(32),
            handoff: "kexec".into(),
            mode: "internet".into(),
            source: "http://10.0.2.2:8000".into(),
            rescue_prompt: false,
            clock: Clock { now: 1_790_000_000, trusted: true },
            network: None,
            measured: None,
            consoles: vec!["ttyS0".into()],
            timings: vec![StageTiming { stage: "mounts".into(), begin_us: 1, end_us: 2 }],
        }
    }

    #[test]
    fn stage_two_reads_what_stage_one_wrote() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("phase")).unwrap();
        std::fs::write(root.path().join("phase/handoff.json"), handoff().to_json().unwrap()).unwrap();
        std::fs::write(root.path().join("phase/rootfs.squashfs"), "12345").unwrap();
        assert_eq!(Handoff::read(root.path()).unwrap(), handoff());
        std::fs::write(root.path().join("phase/rootfs.squashfs"), "1234").unwrap();
        let error = Handoff::read(root.path()).unwrap_err();
        assert!(error.to_string().contains("has 4 bytes; stage one verified 5"), "{error}");
        assert_eq!(error.kind(), "rootfs-size");
    }

    #[test]
    fn another_schema_is_named() {
        let error = Handoff::parse(br#"{"schema": "phase.handoff/9", "new": 1}"#).unwrap_err();
        assert!(error.to_string().contains("phase.handoff/9"), "{error}");
    }

    #[test]
    fn a_field_for_others_is_passed_over_and_an_unknown_one_is_not() {
        let with = |field: &str| {
            let json = String::from_utf8(handoff().to_json().unwrap()).unwrap();
            Handoff::parse(json.replacen('{', &format!("{{\"{field}\":1,"), 1).as_bytes())
        };
        assert_eq!(with("x-note").unwrap(), handoff());
        assert!(with("note").unwrap_err().to_string().contains("note"));
    }

    #[test]
    fn stage_two_opens_a_prompt_only_if_stage_one_was_allowed_to() {
        let (parameters, _) = Parameters::parse("phase.on_failure=shell");
        for rescue_prompt in [true, false] {
            let recovery = Handoff { rescue_prompt, ..handoff() }.recovery(&parameters);
            assert_eq!((recovery.on_failure, recovery.rescue_prompt), (OnFailure::Shell, rescue_prompt));
        }
    }

    #[test]
    fn only_a_store_that_may_be_written_brings_the_program_that_acknowledges() {
        let disk = Store::Disk { partuuid: "0b7b5b4e-9a1c-4d7e-8f00-112233445566".parse().unwrap() };
        for (store, access, takes) in [
            (&disk, Access::ReadWrite, true),
            (&disk, Access::ReadOnly, false),
            (&Store::Tpm { nv_index: 0x0180_0000 }, Access::ReadWrite, true),
            (&Store::None, Access::ReadWrite, false),
        ] {
            let handoff = Handoff { state: Memory::of(store, access), ..handoff() };
            let run = tempfile::tempdir().unwrap();
            handoff.give_to_release(run.path(), &[]).unwrap();
            assert_eq!(run.path().join("acknowledge").exists(), takes, "{store:?}");
            assert_eq!(Handoff::parse(&handoff.to_json().unwrap()).unwrap(), handoff);
        }
        let json = String::from_utf8(handoff().to_json().unwrap()).unwrap();
        assert!(json.contains(r#""state":{"store":"tpm","nv_index":25165824,"access":"read-write"}"#), "{json}");
    }

    #[test]
    fn what_was_measured_reaches_the_release_and_an_older_form_of_it_stops_nothing() {
        let mut log = Log::new(vec![(verify::measured::Bank::Sha256, vec![0; 32])]).unwrap();
        log.push("words").unwrap();
        let measured = Handoff { measured: Some(Measured::of(&log, true)), ..handoff() };
        let json = String::from_utf8(measured.to_json().unwrap()).unwrap();
        assert_eq!(Handoff::parse(json.as_bytes()).unwrap(), measured);
        let other = json.replace(r#""x-measured":{"pcr":14"#, r#""x-measured":{"pcr":"14""#);
        assert_eq!(Handoff::parse(other.as_bytes()).unwrap(), handoff());

        let run = tempfile::tempdir().unwrap();
        measured.give_to_release(run.path(), &[]).unwrap();
        assert_eq!(Log::parse(&std::fs::read(run.path().join("measured.log")).unwrap()), Ok(log));
        let receipt = std::fs::read(run.path().join("receipt.json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
        let wanted = serde_json::json!({"pcr": 14, "banks": ["sha256"], "complete": true, "file": MEASURED_LOG});
        assert_eq!(receipt["x-measured"], wanted);

        // A later attempt of the same boot, whose TPM does not answer any more.
        handoff().give_to_release(run.path(), &[]).unwrap();
        let receipt = std::fs::read_to_string(run.path().join("receipt.json")).unwrap();
        assert!(!receipt.contains("x-measured"), "{receipt}");
        assert!(!run.path().join("measured.log").exists(), "a log that the receipt does not name");
    }

    #[test]
    fn the_largest_log_leaves_room_in_the_hand_off() {
        let log = "A".repeat(verify::LIMITS.measured_log_bytes.div_ceil(3) * 4);
        let measured = Measured { pcr: 14, banks: vec!["sha256".into()], complete: true, log: Some(log), file: None };
        let json = Handoff { measured: Some(measured), ..handoff() }.to_json().unwrap();
        assert!(json.len() < LARGEST_HANDOFF as usize / 2, "{} bytes", json.len());
    }

    #[test]
    fn the_receipt_has_the_stages_of_both() {
        let root = tempfile::tempdir().unwrap();
        let root_timings = [StageTiming { stage: "root".into(), begin_us: 3, end_us: 4 }];
        handoff().give_to_release(root.path(), &root_timings).unwrap();
        let receipt = std::fs::read(root.path().join("receipt.json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
        assert!(root.path().join("acknowledge").exists());
        assert_eq!(receipt["schema"], RECEIPT_SCHEMA);
        assert_eq!(receipt["version"], 7);
        assert_eq!(receipt["timings"][0]["stage"], "mounts");
        assert_eq!(receipt["root_timings"][0]["stage"], "root");
    }
}
