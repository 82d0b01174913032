//! Manifests: what a release consists of and what may be done with it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

pub use self::chunks::{Chunks, Pieces, PiecesError};
use crate::json::{Fields, FormatError};
use crate::limits::LIMITS;
use crate::names::{Arch, Channel, Sha256Digest, ValueError, serde_as_text};
use crate::time::Timestamp;

mod chunks;

/// A release. From [`Manifest::parse`] it keeps every rule of docs/formats.md; whether to believe it is another
/// question, which [`crate::verified::manifest`] answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "phase.boot/1")]
pub struct Manifest {
    /// The line of releases that this one belongs to.
    pub channel: Channel,
    /// The machines that it runs on.
    pub arch: Arch,
    /// Counts up with every release of the channel.
    pub version: u64,
    /// The oldest trust file that may accept it.
    pub min_epoch: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// From when on it is out of date; after `issued`.
    pub expires: Timestamp,
    /// The next kernel's command line, before what the machine adds.
    pub cmdline: String,
    /// Path of the release's PID 1 in its root.
    pub init: String,
    /// The hand-offs that are allowed, best first.
    pub handoff: Vec<Handoff>,
    /// Where changes to the root may go; a tmpfs, which ends with the boot, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<Upper>,
    /// Kernel and initramfs; there if `handoff` lists `kexec` or `foreign`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub boot_files: Option<BootFiles>,
    /// The squashfs; there if `handoff` lists `kexec` or `direct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Artifact>,
}

/// What kexec loads; one does not come without the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootFiles {
    /// The kernel.
    pub kernel: Kernel,
    /// The release's own initramfs, to which the root is appended.
    pub initramfs: Initramfs,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// For people, never a path: `[A-Za-z0-9._-]{1,64}`, not starting with `.`.
    pub name: String,
    /// Bytes, at least one.
    pub size: u64,
    /// Of the whole file; its name in the published tree.
    pub sha256: Sha256Digest,
    /// How it is proved piece by piece; `sha256` proves the whole if it is not.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Pieces>,
}

impl Artifact {
    /// The blob that holds the digests of its pieces, if they are neither in the manifest nor needed.
    pub fn list_blob(&self) -> Option<Self> {
        let pieces = self.pieces.as_ref()?;
        let Chunks::List { list_sha256 } = *pieces.chunks() else { return None };
        let size = pieces.count(self.size) * Sha256Digest::BYTES;
        Some(Self { name: format!("{}.pieces", self.name), size, sha256: list_sha256, pieces: None })
    }
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// The file.
    #[serde(flatten)]
    pub artifact: Artifact,
    /// Bytes of memory that it says it needs to decompress itself (x86: offset 0x260 of the boot protocol's header;
    /// arm64: `image_size`).
    pub init_size: u64,
}

/// An initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Initramfs {
    /// The file.
    #[serde(flatten)]
    pub artifact: Artifact,
    /// Bytes that it takes in the rootfs tmpfs, each file rounded up to 4096.
    pub unpacked_size: u64,
}

/// A way from stage one into the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handoff {
    /// `kexec_file_load`, then stage two under the release's kernel.
    Kexec,
    /// Stage two's work under the running kernel.
    Direct,
    /// kexec into a distribution's own kernel and initramfs; no root is assembled.
    Foreign,
}

impl Handoff {
    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kexec => "kexec",
            Self::Direct => "direct",
            Self::Foreign => "foreign",
        }
    }

    /// Whether it needs [`Manifest::boot_files`].
    pub const fn needs_boot_files(self) -> bool {
        matches!(self, Self::Kexec | Self::Foreign)
    }

    /// Whether it needs [`Manifest::rootfs`].
    pub const fn needs_rootfs(self) -> bool {
        matches!(self, Self::Kexec | Self::Direct)
    }
}

impl FromStr for Handoff {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        [Self::Kexec, Self::Direct, Self::Foreign]
            .into_iter()
            .find(|handoff| handoff.as_str() == text)
            .ok_or_else(|| ValueError::new(text, "kexec, direct or foreign"))
    }
}

impl fmt::Display for Handoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_text!(Handoff);

/// Where the changes to a release's root go, if not to a tmpfs: what a manifest allows, and a machine's owner asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upper {
    /// A partition of the machine's own, from one boot to the next. What is there is executed without having been signed
    /// (docs/threat-model.md).
    Persistent,
}

impl Upper {
    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Persistent => "persistent",
        }
    }
}

impl FromStr for Upper {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == Self::Persistent.as_str() {
            Ok(Self::Persistent)
        } else {
            Err(ValueError::new(text, "persistent, or no such field for a tmpfs"))
        }
    }
}

impl fmt::Display for Upper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_text!(Upper);

impl Manifest {
    /// Reads the JSON form.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::parse("manifest", bytes, LIMITS.manifest_bytes)?;
        fields.schema("phase.boot/1")?;
        let manifest = Self {
            channel: fields.parsed("channel")?,
            arch: fields.parsed("arch")?,
            version: fields.integer("version", 0..=LIMITS.integer)?,
            min_epoch: fields.integer("min_epoch", 0..=LIMITS.integer)?,
            issued: fields.parsed("issued")?,
            expires: fields.parsed("expires")?,
            cmdline: fields.parsed::<Cmdline>("cmdline")?.0,
            init: fields.parsed::<InitPath>("init")?.0,
            handoff: handoffs(&mut fields)?,
            upper: fields.optional("upper", Fields::parsed)?,
            boot_files: boot_files(&mut fields)?,
            rootfs: fields.optional("rootfs", rootfs)?,
        };
        manifest.check(&fields)?;
        fields.finish()?;
        Ok(manifest)
    }

    /// The JSON form that is signed: fields in the order of docs/formats.md, indented by two, with a final newline.
    /// [`Manifest::parse`] it before signing: the fields of a value made by hand are not checked here.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Every artifact that is named.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        let files = self.boot_files.iter().flat_map(|files| [&files.kernel.artifact, &files.initramfs.artifact]);
        files.chain(&self.rootfs)
    }

    /// Every blob of the published tree that is named, once for each time that it is: the artifacts, and the lists of
    /// their pieces.
    pub fn blobs(&self) -> impl Iterator<Item = Artifact> {
        self.artifacts().flat_map(|artifact| artifact.list_blob().into_iter().chain([artifact.clone()]))
    }

    /// The rules between fields.
    fn check(&self, fields: &Fields) -> Result<(), FormatError> {
        if self.expires <= self.issued {
            let wanted = format!("a time after issued ({})", self.issued);
            return Err(fields.wrong("expires", self.expires.to_string(), wanted));
        }
        for handoff in &self.handoff {
            if handoff.needs_boot_files() && self.boot_files.is_none() {
                return Err(fields.wrong(
                    "kernel",
                    "absent",
                    format!("a kernel and an initramfs for handoff {handoff}"),
                ));
            }
            if handoff.needs_rootfs() && self.rootfs.is_none() {
                return Err(fields.wrong("rootfs", "absent", format!("a root for handoff {handoff}")));
            }
        }
        if let (Some(upper), None) = (self.upper, &self.rootfs) {
            return Err(fields.wrong("rootfs", "absent", format!("a root for upper {upper}")));
        }
        Ok(())
    }
}

fn handoffs(fields: &mut Fields) -> Result<Vec<Handoff>, FormatError> {
    let mut list: Vec<Handoff> = Vec::new();
    for text in fields.strings("handoff", 1..=3)? {
        let handoff = text.parse().map_err(|error| fields.refused("handoff", error))?;
        if list.contains(&handoff) {
            return Err(fields.wrong("handoff", format!("{handoff} twice"), "distinct hand-offs"));
        }
        list.push(handoff);
    }
    Ok(list)
}

fn boot_files(fields: &mut Fields) -> Result<Option<BootFiles>, FormatError> {
    let kernel = fields.optional("kernel", |fields, name| {
        let mut fields = fields.object(name)?;
        let init_size = fields.integer("init_size", 1..=LIMITS.integer)?;
        Ok(Kernel { artifact: artifact(fields, LIMITS.kexec_file_bytes)?, init_size })
    })?;
    let initramfs = fields.optional("initramfs", |fields, name| {
        let mut fields = fields.object(name)?;
        let unpacked_size = fields.integer("unpacked_size", 1..=LIMITS.integer)?;
        Ok(Initramfs { artifact: artifact(fields, LIMITS.kexec_file_bytes)?, unpacked_size })
    })?;
    match (kernel, initramfs) {
        (Some(kernel), Some(initramfs)) => Ok(Some(BootFiles { kernel, initramfs })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(fields.wrong("initramfs", "absent", "an initramfs beside the kernel")),
        (None, Some(_)) => Err(fields.wrong("kernel", "absent", "a kernel beside the initramfs")),
    }
}

fn rootfs(fields: &mut Fields, name: &str) -> Result<Artifact, FormatError> {
    artifact(fields.object(name)?, LIMITS.rootfs_bytes)
}

/// The fields that every artifact has; the caller took the others before.
fn artifact(mut fields: Fields, largest: u64) -> Result<Artifact, FormatError> {
    let size = fields.integer("size", 1..=largest)?;
    let artifact = Artifact {
        name: fields.parsed::<FileName>("name")?.0,
        size,
        sha256: fields.parsed("sha256")?,
        pieces: chunks::read(&mut fields, size)?,
    };
    fields.finish()?;
    Ok(artifact)
}

struct FileName(String);

impl FromStr for FileName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.') {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, "1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', not starting with '.'"))
        }
    }
}

struct Cmdline(String);

impl FromStr for Cmdline {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.len() <= LIMITS.cmdline_bytes && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, "at most 1536 bytes of printable ASCII"))
        }
    }
}

struct InitPath(String);

impl FromStr for InitPath {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let short = text.len() <= LIMITS.init_bytes && text.bytes().all(|byte| byte.is_ascii_graphic());
        let file = text.starts_with('/') && !text.ends_with('/') && text.split('/').all(|part| part != "..");
        if short && file {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(
                text,
                "an absolute path without '..', at most 255 bytes of printable ASCII without space",
            ))
        }
    }
}

#[cfg(test)]
mod tests;
