//! One medium: a published tree (docs/formats.md) on a file system, at its top or in its directory `phase`.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use discover::Sink;
use rustix::io::Errno;
use verify::LIMITS;

use super::LABEL;
use crate::file_system::{open_file, read};
use crate::store::mount_meaning;
use crate::timeline::Kind;

/// Where on a file system the tree may stand, first come first.
const PLACES: [&str; 2] = ["", "phase/"];

/// A medium that has a release. Its bytes prove nothing.
#[derive(Debug)]
pub struct Medium {
    name: String,
    /// The file system, mounted for as long as this is open; or a directory.
    top: OwnedFd,
    place: &'static str,
}

/// A medium that has nothing to boot, or fails.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediumError {
    /// The file system cannot be mounted.
    #[error("cannot mount the {file_system} of {medium}: {}", mount_meaning(*.errno))]
    Mount {
        /// The medium.
        medium: String,
        /// As the kernel calls it.
        file_system: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// It has the label and no release.
    #[error("{medium} has no {wanted}/manifest.dsse.json, neither at its top nor in phase/")]
    NoRelease {
        /// The medium.
        medium: String,
        /// Channel and architecture.
        wanted: String,
    },
    /// The release is there, and a file that it names is not.
    #[error("{medium} has no {file}, which its release needs; was the tree copied as a whole?")]
    NoFile {
        /// The medium.
        medium: String,
        /// The file.
        file: String,
    },
    /// A file cannot be read.
    #[error("cannot read {file} on {medium}: {errno}{}", if pulled(*.errno) { "; was it pulled out, or is it worn out?" } else { "" })]
    File {
        /// The medium.
        medium: String,
        /// The file.
        file: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A file has another size than its release says.
    #[error("{file} on {medium} has {seen} bytes, wanted {wanted}")]
    Size {
        /// The medium.
        medium: String,
        /// The file.
        file: String,
        /// Bytes that are there.
        seen: u64,
        /// Bytes that were signed.
        wanted: u64,
    },
}

impl Kind for MediumError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NoRelease { .. } => "no-release",
            Self::Mount { .. } | Self::NoFile { .. } | Self::File { .. } | Self::Size { .. } => "medium",
        }
    }
}

/// What the kernel answers for a device that is gone, or that cannot read its own memory.
fn pulled(errno: Errno) -> bool {
    matches!(errno, Errno::IO | Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM)
}

impl Medium {
    /// Looks for the envelope of a channel's newest release. `top` is the file system, or the directory, that may have it.
    pub(super) fn open(name: String, top: OwnedFd, channel: &str, arch: &str) -> Result<(Self, Vec<u8>), MediumError> {
        let mut medium = Self { name, top, place: "" };
        for place in PLACES {
            medium.place = place;
            if let Some(envelope) = medium.document(&envelope_name(channel, arch), LIMITS.envelope_bytes)? {
                return Ok((medium, envelope));
            }
        }
        Err(MediumError::NoRelease { medium: medium.name, wanted: format!("{channel}/{arch}") })
    }

    /// Its device file, or [`super::CARRIED`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The proof that stands beside the envelope, if there is one.
    pub(super) fn proof(&self, channel: &str, arch: &str) -> Result<Option<Vec<u8>>, MediumError> {
        self.document(&format!("{channel}/{arch}/manifest.sigsum-proof"), LIMITS.proof_bytes)
    }

    /// The trust files after that of `epoch`, as far as there are any without a gap, and not more than one boot follows.
    pub(super) fn rotations(&self, epoch: u64) -> Result<Vec<Vec<u8>>, MediumError> {
        let next = (epoch..).skip(1).take(LIMITS.rotations);
        let files = next.map(|epoch| self.document(&format!("trust/{epoch}.dsse.json"), LIMITS.envelope_bytes));
        files.map_while(Result::transpose).collect()
    }

    /// Copies the blob named `hex` (its SHA-256) of exactly `size` bytes into `sink`: from [`Sink::position`] to before byte
    /// `end`, or to where the sink wants no more. `on_progress` gets the sink's position, after every read.
    pub fn blob(
        &self,
        hex: &str,
        size: u64,
        end: u64,
        sink: &mut dyn Sink,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), MediumError> {
        let name = format!("blobs/sha256/{hex}");
        let failed = |error: io::Error| self.failed(&name, errno(&error));
        let mut file = self.file(&name)?.ok_or_else(|| self.no_file(&name))?;
        let seen = file.metadata().map_err(failed)?.len();
        if seen != size {
            let (medium, file) = (self.name.clone(), self.shown(&name));
            return Err(MediumError::Size { medium, file, seen, wanted: size });
        }
        file.seek(SeekFrom::Start(sink.position())).map_err(failed)?;
        while sink.position() < end {
            let room = usize::try_from(end - sink.position()).unwrap_or(usize::MAX);
            let space = sink.space();
            let room = room.min(space.len());
            if room == 0 {
                break;
            }
            match file.read(&mut space[..room]) {
                // It had the right size a moment ago.
                Ok(0) => return Err(self.failed(&name, Errno::IO)),
                Ok(read) => sink.filled(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            }
            on_progress(sink.position());
        }
        Ok(())
    }

    /// Reads a small file; of a larger one, one byte too many, so that it is seen to be too large.
    fn document(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, MediumError> {
        read(&self.top, &self.shown(name), most + 1).map_err(|errno| self.failed(name, errno))
    }

    fn file(&self, name: &str) -> Result<Option<File>, MediumError> {
        open_file(&self.top, &self.shown(name)).map_err(|errno| self.failed(name, errno))
    }

    /// A file of the tree, from the top of the file system on.
    fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    fn no_file(&self, name: &str) -> MediumError {
        MediumError::NoFile { medium: self.name.clone(), file: self.shown(name) }
    }

    fn failed(&self, name: &str, errno: Errno) -> MediumError {
        MediumError::File { medium: self.name.clone(), file: self.shown(name), errno }
    }
}

fn envelope_name(channel: &str, arch: &str) -> String {
    format!("{channel}/{arch}/manifest.dsse.json")
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Why a machine in private mode found nothing: what it looked at instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no file system is labelled {LABEL}, on any disk and after {waited} s; looked at: {}", looked(.others))]
pub struct NoMedium {
    /// Seconds.
    pub waited: u64,
    /// What else is there, and what it is.
    pub others: Vec<(String, String)>,
}

fn looked(others: &[(String, String)]) -> String {
    if others.is_empty() {
        "nothing, since there is no disk; are their drivers in the boot initramfs (--modules media)?".to_owned()
    } else {
        others.iter().map(|(name, words)| format!("{name} ({words})")).collect::<Vec<_>>().join(", ")
    }
}
