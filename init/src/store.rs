//! Where this machine remembers what it has acknowledged (docs/formats.md, "State"): a file on its own partition, an NV
//! index of its TPM, or nowhere.
//!
//! What a store says is checked by `verify` and can only ever demand more of a release. That it is not there, or is damaged,
//! is an error like any other; what follows from it, the trust file's policy decides ([`verify::state::decide`]). Nothing
//! here raises a floor but [`crate::acknowledge`].

mod disk;
pub mod gpt;
pub(crate) mod partition;
pub mod tpm;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use verify::{State, StateError, Store};

use self::disk::Disk;
use self::partition::NoPartition;
use self::tpm::Tpm;
use crate::mode::Mode;
use crate::timeline::Kind;

/// What may be done with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Not one byte of it changes.
    ReadOnly,
    /// It is written when there is something to remember.
    ReadWrite,
}

impl Access {
    /// What the promises of a mode leave.
    pub fn of(mode: Mode) -> Self {
        match mode {
            Mode::Internet | Mode::Local => Self::ReadWrite,
            Mode::Private => Self::ReadOnly,
        }
    }
}

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its partition is not there, or there twice.
    #[error(transparent)]
    NoPartition(#[from] NoPartition),
    /// Its partition cannot be read.
    #[error("cannot read {}: {source}", device.display())]
    Device {
        /// The device file.
        device: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its partition has another file system, or none.
    #[error("{} has no file system that a state can be kept on; wanted ext4 or vfat (mkfs.ext4 makes one)", device.display())]
    FileSystem {
        /// The device file.
        device: PathBuf,
    },
    /// The file system cannot be mounted.
    #[error("cannot mount the {file_system} of {}: {}", device.display(), mount_meaning(*.errno))]
    Mount {
        /// `ext4` or `vfat`.
        file_system: &'static str,
        /// The device file.
        device: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A file on it.
    #[error("cannot {what} {name} on {}: {errno}", device.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file, from the top of the file system on.
        name: String,
        /// The device file.
        device: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// There is no room for what the next boot can do without.
    #[error(
        "there is no room for {name} on {}: {} KiB are free, wanted {} KiB, so that a state and a trust file still fit",
        device.display(), free >> 10, wanted.div_ceil(1024)
    )]
    NoRoom {
        /// The file, from the top of the file system on.
        name: String,
        /// The device file.
        device: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that have to be.
        wanted: u64,
    },
    /// It was opened to be read only.
    #[error("the store was opened to be read only; nothing was written")]
    ReadOnly,
    /// No TPM.
    #[error(
        "there is no TPM: /dev/tpmrm0: {errno} (after {waited} s); is it switched on in the firmware, is its driver in the boot initramfs (--modules tpm)?"
    )]
    NoTpm {
        /// The kernel's answer.
        errno: Errno,
        /// Seconds.
        waited: u64,
    },
    /// The TPM's driver.
    #[error("the TPM cannot be talked to: {errno}")]
    TpmDevice {
        /// The kernel's answer.
        errno: Errno,
    },
    /// The TPM refused.
    #[error("NV index {index:#010x}: {refused}")]
    Tpm {
        /// The index.
        index: u32,
        /// Its answer.
        refused: tpm::codec::Refused,
    },
    /// What it holds is no state.
    #[error("the state is damaged: {0}; docs/freshness.md says how to start it again")]
    Damaged(#[from] StateError),
    /// Something else is where the state should be: a link, a pipe, a directory.
    #[error("the state is damaged: {name} on {} is no plain file; docs/freshness.md says how to start it again", device.display())]
    NoFile {
        /// The file's name.
        name: &'static str,
        /// The device file.
        device: PathBuf,
    },
    /// A state cannot be written as JSON.
    #[error("the state cannot be written down: {0}")]
    Form(#[from] serde_json::Error),
}

impl Kind for StoreError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NoPartition(_) | Self::NoTpm { .. } => "state-missing",
            _ if self.is_damage() => "state-damaged",
            _ => "state-unusable",
        }
    }
}

impl StoreError {
    /// Whether the store works, but what it holds is no state: a new one mends it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::NoFile { .. })
    }
}

pub(crate) fn mount_meaning(errno: Errno) -> String {
    let meaning = match errno {
        Errno::NODEV => "this kernel does not know it; its module is missing in the initramfs: --modules disk",
        Errno::INVAL | Errno::UCLEAN | Errno::IO => "it is damaged; fsck repairs it, mkfs makes a new one",
        Errno::BUSY => "it is mounted read-only somewhere; mount it writable or not at all",
        Errno::ROFS | Errno::ACCESS => "the disk cannot be written",
        Errno::NOSYS => "this kernel is older than Linux 5.2",
        _ => "see the kernel log",
    };
    format!("{errno} ({meaning})")
}

/// How a store is opened.
pub struct Opening<'a> {
    /// The machine: `/`, but for tests.
    pub root: &'a Path,
    /// What may be done with it.
    pub access: Access,
    /// How long its device is waited for.
    pub patience: Duration,
    /// Loads a module by name, if it is there; a kernel with udev needs none.
    pub load: &'a dyn Fn(&str),
}

/// An open store.
#[derive(Debug)]
pub enum Opened {
    /// On a partition.
    Disk(Disk),
    /// In the TPM.
    Tpm(Tpm),
}

/// The trust files that a store has kept.
#[derive(Debug, Default)]
pub struct Chain {
    /// Their envelopes, in order, as far as they can be read.
    pub envelopes: Vec<Vec<u8>>,
    /// Why that is not all. Those that came before lead on from the initramfs all the same.
    pub broken: Option<StoreError>,
}

impl Opening<'_> {
    /// Opens a store; nothing, if the machine has none.
    pub fn open(&self, store: &Store) -> Result<Option<Opened>, StoreError> {
        match store {
            Store::None => Ok(None),
            Store::Disk { partuuid } => {
                let device = partition::find(self.root, partuuid, self.patience)?;
                Disk::open(device, self.access, self.load).map(|disk| Some(Opened::Disk(disk)))
            }
            Store::Tpm { nv_index } => Tpm::open(self.root, *nv_index, self.patience).map(|tpm| Some(Opened::Tpm(tpm))),
        }
    }
}

impl Opened {
    /// What it remembers, if anything was ever acknowledged.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        match self {
            Self::Disk(disk) => disk.state(),
            Self::Tpm(tpm) => tpm.state(),
        }
    }

    /// The trust files that were followed before, from the one of `epoch` on. An NV index has no room for them.
    pub fn chain(&self, epoch: u64) -> Chain {
        match self {
            Self::Disk(disk) => disk.chain(epoch),
            Self::Tpm(_) => Chain::default(),
        }
    }

    /// Replaces the state as a whole.
    pub fn set_state(&self, state: &State) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.set_state(state),
            Self::Tpm(tpm) => tpm.set_state(state),
        }
    }

    /// Keeps the envelopes of trust files, by their epochs, where there is room; says whether there is.
    pub fn keep(&self, trust_files: &[(u64, Vec<u8>)]) -> Result<bool, StoreError> {
        match self {
            Self::Disk(disk) => disk.keep(trust_files).map(|()| true),
            Self::Tpm(_) => Ok(false),
        }
    }

    /// Keeps the receipt of an acknowledged boot of `version`, where there is room: an NV index has none.
    pub fn keep_receipt(&self, version: u64, receipt: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.keep_receipt(version, receipt),
            Self::Tpm(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_but_private_may_remember() {
        assert_eq!(Access::of(Mode::Internet), Access::ReadWrite);
        assert_eq!(Access::of(Mode::Local), Access::ReadWrite);
        assert_eq!(Access::of(Mode::Private), Access::ReadOnly);
    }
}
