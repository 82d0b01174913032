//! What was checked and what came of it: the JSON of `--json`, which docs/audit.md describes and which only grows.

use serde::Serialize;
use verify::{Arch, Channel, KeyId, Sha256Digest, Timestamp};

/// Everything.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "phase.audit/1")]
pub(crate) struct Report {
    /// Whether nothing was refused; the exit status.
    pub(crate) good: bool,
    /// The time that was gone by.
    pub(crate) now: Timestamp,
    /// Whether it is that of a clock that a machine would believe.
    pub(crate) clock_believed: bool,
    /// The trust file that the releases were judged by.
    pub(crate) trust: Trust,
    /// The trust files that were to lead to it, in the order of their epochs.
    pub(crate) chain: Vec<Step>,
    /// The releases.
    pub(crate) releases: Vec<Release>,
    /// Files among the blobs that no release of `releases` names; absent if nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unnamed_blobs: Option<Vec<String>>,
}

/// The trust file in force.
#[derive(Debug, Serialize)]
pub(crate) struct Trust {
    pub(crate) path: String,
    pub(crate) channel: Channel,
    /// That of the file that was given.
    pub(crate) given_epoch: u64,
    /// That of the file in force, after the chain was followed.
    pub(crate) epoch: u64,
}

/// A trust file of the chain.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) path: String,
    /// Absent if it was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
    /// Not needed: the one that was given is as new.
    pub(crate) old: bool,
}

/// A release.
#[derive(Debug, Serialize)]
pub(crate) struct Release {
    pub(crate) path: String,
    /// What the signatures prove; absent if they do not.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) facts: Option<Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
    /// What to say although it is accepted.
    pub(crate) warnings: Vec<String>,
    /// Its files; absent if they were not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blobs: Option<Vec<Blob>>,
}

/// What is known about a release that is accepted.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) channel: Channel,
    pub(crate) arch: Arch,
    pub(crate) version: u64,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) manifest_sha256: Sha256Digest,
    pub(crate) signed_by: Vec<Signer>,
    /// Whether a proof was asked for, and held.
    pub(crate) logged: bool,
}

/// A key that signed.
#[derive(Debug, Serialize)]
pub(crate) struct Signer {
    pub(crate) id: KeyId,
    pub(crate) name: String,
}

/// A file of a release.
#[derive(Debug, Serialize)]
pub(crate) struct Blob {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
}

/// Why something is refused.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    /// A short word that does not change.
    pub(crate) kind: &'static str,
    /// What was seen and what was wanted.
    pub(crate) message: String,
    /// What helps; absent if the message says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<&'static str>,
}

impl Problem {
    pub(crate) fn new(kind: &'static str, message: &impl ToString) -> Self {
        Self { kind, message: message.to_string(), advice: None }
    }

    /// Of a document that a tree should have.
    pub(crate) fn absent() -> Self {
        Self::new("absent", &"it is not there, or not a regular file")
    }
}

impl Report {
    /// One line.
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}
