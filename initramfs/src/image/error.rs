//! Why a medium cannot be made.

use std::{io, path::PathBuf, process::ExitStatus};

use crate::pack::archive::ArchiveError;

/// Why a medium, or the folder of a network, cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// A program of the host is missing.
    #[error("{program} is not installed: apt-get install {package}")]
    MissingProgram {
        /// Its name.
        program: &'static str,
        /// Debian's package of it.
        package: &'static str,
    },
    /// A program of the host failed.
    #[error("{program} failed ({status}): {message}")]
    Program {
        /// Its name.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        message: String,
    },
    /// GRUB for one of the firmwares is missing.
    #[error("{} is not there, and with it GRUB for {firmware}: {from}", file.display())]
    MissingGrub {
        /// The file that was looked for.
        file: PathBuf,
        /// Who starts this GRUB.
        firmware: &'static str,
        /// What brings it.
        from: &'static str,
    },
    /// A part of Debian's chain for Secure Boot is missing.
    #[error("{} is not there, which Secure Boot needs: apt-get install {package}", file.display())]
    MissingShim {
        /// The file that was looked for.
        file: PathBuf,
        /// Debian's package of it.
        package: &'static str,
    },
    /// The first sector of GRUB is something else.
    #[error("{} has {seen} bytes, wanted 512 with the signature 55 aa at their end", file.display())]
    NoBootSector {
        /// The file.
        file: PathBuf,
        /// Its bytes.
        seen: usize,
    },
    /// GRUB's core does not fit its partition.
    #[error("GRUB's core for BIOS has {seen} bytes; from 1024 to {wanted} have room")]
    Core {
        /// Its bytes.
        seen: usize,
        /// Bytes of the partition.
        wanted: u64,
    },
    /// A file is larger than FAT can say.
    #[error("{path} has {size} bytes; FAT32 holds files below 4 GiB")]
    TooLarge {
        /// Where it was to stand in the partition.
        path: String,
        /// Its bytes.
        size: u64,
    },
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that goes onto the medium cannot be read to its end.
    #[error("cannot read what is to be {path}")]
    Unread {
        /// Where it was to stand in the partition.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What GRUB carries in itself cannot be packed.
    #[error("cannot pack what GRUB carries in itself")]
    Carried(#[source] ArchiveError),
    /// The partition table cannot be written.
    #[error("cannot write the partition table")]
    Table(#[source] gpt::GptError),
}

impl MediumError {
    /// For `map_err` at the use of a file.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}
