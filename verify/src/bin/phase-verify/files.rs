//! Files of people, and of media that nobody vouches for.
//!
//! What the command line names is the auditor's own: it may be a link, or a pipe of the shell's. Below a directory that it
//! names, no link is followed ([`Place`]): what a medium points to on the auditor's disk is not on the medium.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat2};

/// Names of one directory that are read.
const MOST_NAMES: usize = 1 << 16;

/// A pipe that nobody writes to would keep us waiting.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The system said no.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A directory with more names than anybody published.
    #[error("{} has more than {MOST_NAMES} names", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// A trust file that is none: nothing can be checked with it.
    #[error("{}: {problem}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: verify::FormatError,
    },
}

/// What the command line names, or something below a directory that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    named: PathBuf,
    /// Empty if it is meant itself.
    below: PathBuf,
}

impl Place {
    /// What the command line names.
    pub(crate) fn named(path: &Path) -> Self {
        Self { named: path.to_owned(), below: PathBuf::new() }
    }

    /// What stands there under this name.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self { named: self.named.clone(), below: self.below.join(name) }
    }

    /// Its path, for people. Nothing is opened by it.
    pub(crate) fn path(&self) -> PathBuf {
        if self.is_named() { self.named.clone() } else { self.named.join(&self.below) }
    }

    /// The first bytes of the file, one more than `limit` if it has more: whoever parses them then refuses them as too large.
    pub(crate) fn read(&self, limit: usize) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        let file = self.open(READ).map_err(|source| self.failed(source))?;
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    /// The file, if it is a regular one. A medium may hold pipes and devices, which do not end or do not begin; it is the
    /// open file that is looked at, which nobody exchanges any more.
    pub(crate) fn regular(&self) -> Option<File> {
        let file = self.open(READ).ok()?;
        file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
    }

    /// Whether a tree should have this file and has none. What the command line itself names is read, whatever it is.
    pub(crate) fn is_missing(&self) -> bool {
        !self.is_named() && self.regular().is_none()
    }

    /// Whether there is anything, be it of the wrong kind.
    pub(crate) fn is_there(&self) -> bool {
        !self.open(OFlags::PATH).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.open(READ | OFlags::DIRECTORY).is_ok()
    }

    /// The names in the directory, sorted. Those that are no UTF-8 are none of ours, and are not among them.
    pub(crate) fn names(&self) -> Result<Vec<String>, FileError> {
        let failed = |source| self.failed(source);
        let directory = self.open(READ | OFlags::DIRECTORY).map_err(failed)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(|errno| failed(errno.into()))? {
            if names.len() == MOST_NAMES {
                return Err(FileError::TooMany { path: self.path() });
            }
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            names.extend(entry.file_name().to_str().ok().filter(|name| ![".", ".."].contains(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn is_named(&self) -> bool {
        self.below.as_os_str().is_empty()
    }

    fn open(&self, flags: OFlags) -> io::Result<File> {
        if self.is_named() {
            return File::open(&self.named);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(openat2(File::open(&self.named)?, &self.below, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?.into())
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Read { path: self.path(), source }
    }
}
