//! What stands on a medium: its files, and its name.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::MediumError;

/// A file of a medium.
#[derive(Debug, Clone)]
pub struct BootFile {
    /// Where it stands, without a `/` in front.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is in this file of the host.
    File(PathBuf),
}

/// The name of the file system that a machine is booted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// `PHASE-BOOT`: it has the boot loaders, kernel and initramfs.
    Boot,
    /// `PHASE`: it has a release besides, and private mode looks there (docs/modes.md).
    Release,
}

/// A file of the host; one that was made for this goes with the value.
pub(super) struct OnHost {
    /// Where it is, from `/` on.
    pub(super) path: PathBuf,
    _temporary: Option<NamedTempFile>,
}

impl BootFile {
    /// A reader at its beginning.
    pub(super) fn open(&self) -> Result<Box<dyn Read + '_>, MediumError> {
        Ok(match &self.content {
            Content::Bytes(bytes) => Box::new(bytes.as_slice()),
            Content::File(path) => Box::new(File::open(path).map_err(MediumError::file(path))?),
        })
    }

    /// A file of the host with its bytes, for programs.
    pub(super) fn on_host(&self) -> Result<OnHost, MediumError> {
        let (path, temporary) = match &self.content {
            Content::File(path) => (path.clone(), None),
            Content::Bytes(bytes) => {
                let file = NamedTempFile::new().map_err(MediumError::file(std::env::temp_dir()))?;
                fs::write(file.path(), bytes).map_err(MediumError::file(file.path()))?;
                (file.path().to_owned(), Some(file))
            }
        };
        Ok(OnHost { path: absolute(&path)?, _temporary: temporary })
    }

    /// Bytes.
    pub(super) fn size(&self) -> Result<u64, MediumError> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.len() as u64),
            Content::File(path) => Ok(path.metadata().map_err(MediumError::file(path))?.len()),
        }
    }

    /// SHA-256 of its bytes.
    pub(super) fn digest(&self) -> Result<Vec<u8>, MediumError> {
        let mut hash = Sha256::new();
        let mut source = self.open()?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(hash.finalize().to_vec()),
                Ok(count) => hash.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(MediumError::Unread { path: self.path.clone(), source }),
            }
        }
    }
}

impl Label {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "PHASE-BOOT",
            Self::Release => "PHASE",
        }
    }
}

/// The files by name.
pub(super) fn sorted<'a>(files: impl IntoIterator<Item = &'a BootFile>) -> Vec<&'a BootFile> {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by_key(|file| &file.path);
    files
}

/// Every file and its size in bytes, by name.
pub(super) fn sized<'a>(
    files: impl IntoIterator<Item = &'a BootFile>,
) -> Result<Vec<(&'a BootFile, u64)>, MediumError> {
    sorted(files).into_iter().map(|file| Ok((file, file.size()?))).collect()
}

/// A path from `/` on, which no program takes for an option, or for one with a drive's letter.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, MediumError> {
    std::path::absolute(path).map_err(MediumError::file(path))
}
