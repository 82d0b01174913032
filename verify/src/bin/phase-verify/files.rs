//! Files of people, and of media that nobody vouches for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Names of one directory that are read.
const MOST_NAMES: usize = 1 << 16;

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

/// The first bytes of a file, one more than `limit` if it has more: whoever parses them then refuses them as too large.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The names in a directory, sorted. Those that are no UTF-8 are none of ours, and are not among them.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, FileError> {
    let failed = |source| FileError::Read { path: directory.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        if names.len() == MOST_NAMES {
            return Err(FileError::TooMany { path: directory.to_owned() });
        }
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Whether this is a regular file. A medium may hold pipes and devices, which do not end or do not begin.
pub(crate) fn is_regular(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}
