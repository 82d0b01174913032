//! What a command leaves behind: files that appear whole or not at all, and never in place of another file unless asked; and
//! a report, for people or as one line of JSON.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;
use tempfile::{Builder, NamedTempFile, TempPath};

/// What happens to a file that already stands where the output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The command fails and the file stays as it is.
    Keep,
    /// The output takes its place, in one rename.
    Replace,
}

impl Existing {
    /// The meaning of a command's `--force`.
    pub fn from_force(force: bool) -> Self {
        if force { Self::Replace } else { Self::Keep }
    }

    /// Whether the output may go to `path`, asked before any work is done for it; [`persist`] checks again, atomically.
    ///
    /// # Errors
    /// There is a file, and it stays.
    pub fn allows(self, path: &Path) -> anyhow::Result<()> {
        if self == Self::Keep { refuse_existing(path) } else { Ok(()) }
    }
}

/// Says what was done: by `print`, or as JSON if `--json` was given.
///
/// # Errors
/// The report cannot be JSON.
pub fn show<R: Serialize + ?Sized>(report: &R, json: bool, print: impl FnOnce(&R)) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print(report);
    }
    Ok(())
}

/// Writes `bytes` to `path` with permissions `mode`: temporary file beside it (created with `O_EXCL`, mode 0600),
/// fsync, rename, fsync of the directory.
///
/// # Errors
/// The file exists and `existing` keeps it, or the file system refuses; the message names the path.
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> anyhow::Result<()> {
    existing.allows(path)?;
    let mut file = temporary_beside(path)?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    persist(file, path, mode, existing)
}

/// Fails if `path` exists, before any work is done for it; [`persist`] checks again, atomically.
pub fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let exists = path.symlink_metadata().is_ok();
    anyhow::ensure!(!exists, "{} exists already and is not overwritten", path.display());
    Ok(())
}

/// A temporary file in the directory where `path` will stand, so that a rename can put it there.
pub fn temporary_beside(path: &Path) -> anyhow::Result<NamedTempFile> {
    let directory = parent(path);
    Builder::new()
        .prefix(".phase-")
        .tempfile_in(&directory)
        .with_context(|| format!("cannot create a file in {}", directory.display()))
}

/// Gives a finished temporary file its permissions and its name, durably.
pub fn persist(file: NamedTempFile, path: &Path, mode: u32, existing: Existing) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    file.as_file().set_permissions(Permissions::from_mode(mode)).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    }
    .map_err(|failure| failure.error)
    .with_context(context)?;
    sync_parent(path).with_context(context)
}

/// Gives a finished file another name on the same file system, durably.
///
/// # Errors
/// A file has that name and `existing` keeps it, or the file system refuses.
pub fn rename(from: &Path, to: &Path, existing: Existing) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", to.display());
    let file = TempPath::try_from_path(from).with_context(context)?;
    match existing {
        Existing::Keep => file.persist_noclobber(to),
        Existing::Replace => file.persist(to),
    }
    .map_err(|failure| failure.error)
    .with_context(context)?;
    sync_parent(to).with_context(context)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or it is larger.
pub fn read_limited(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    anyhow::ensure!(size <= limit, "{} has {size} bytes; at most {limit} are read", path.display());
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The directory of `path`; `.` for a bare name, which `Path::parent` gives as the empty path.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_there_and_replaces_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        write(&path, b"one", 0o640, Existing::Keep).unwrap();
        let message = format!("{:#}", write(&path, b"two", 0o640, Existing::Keep).unwrap_err());
        assert!(message.contains("exists already"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", 0o600, Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a temporary file stayed behind");
    }

    #[test]
    fn persist_does_not_overwrite_a_file_that_came_in_between() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let file = temporary_beside(&path).unwrap();
        fs::write(&path, b"theirs").unwrap();
        assert!(persist(file, &path, 0o644, Existing::Keep).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }
}
