//! What stage one tells stage two (`phase/handoff.json`) and both tell the release (the receipt): docs/formats.md.

use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use verify::measured::{self, Log};
use verify::{PartUuid, Store, Timestamp};

use crate::acknowledge;
use crate::config::Recovery;
use crate::console::Console;
use crate::network::Connection;
use crate::parameters::Parameters;
use crate::store::Access;
use crate::timeline::{Kind, StageTiming};
use crate::upper::{Upper, UpperError};

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
    /// Where changes to the root are kept, if they are. A stage two that is older than this field passes over it.
    #[serde(rename = "x-upper", skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub upper: Option<Upper>,
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
        // What a TPM was told is for the release, and without a place to keep changes they are lost. Of another form, neither
        // stops a boot.
        let measured = fields.remove("x-measured").and_then(|measured| serde_json::from_value(measured).ok());
        let upper = fields.remove("x-upper").and_then(|upper| Upper::handed_on(&upper));
        fields.retain(|name, _| !name.starts_with("x-"));
        Ok(Self { measured, upper, ..serde_json::from_value(fields.into())? })
    }

    /// The same, with what came of keeping changes; who is at the console is told if they will be lost.
    #[must_use]
    pub fn after_keeping(self, kept: Option<&Result<(), UpperError>>, console: &Console) -> Self {
        let upper = self.upper.zip(kept).map(|(upper, kept)| upper.tried(kept, console));
        Self { upper, ..self }
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
mod tests;
