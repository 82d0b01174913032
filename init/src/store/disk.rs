//! The store on a disk: `state.json`, `trust/<epoch>.dsse.json` and `receipts/<version>.json` at the top of a partition's file
//! system.
//!
//! The file system is mounted for the length of one read or one write ([`crate::file_system`]), read-only but while something
//! is written. A file is replaced as a whole or not at all: written under another name, synced, renamed, and the directory
//! synced. With [`Access::ReadOnly`] not one byte of the disk changes. Receipts take no room from the state and the trust files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, fstatvfs, fsync, renameat, statat, unlinkat};
use rustix::io::Errno;
use verify::{LIMITS, State};

use super::{Access, Chain, StoreError};
use crate::file_system::{FileSystem, Volume, directory_below, open_below, read};

/// The state at the top of the file system.
const STATE: &str = "state.json";
/// The directory of the trust files that were followed.
const TRUST: &str = "trust";
/// The directory of the receipts of boots that were acknowledged.
const RECEIPTS: &str = "receipts";
/// How many receipts are kept.
const MOST_RECEIPTS: usize = 16;
/// Bytes that stay free beside the receipts, for a state and a trust file.
const RESERVE: u64 = LIMITS.envelope_bytes as u64;
/// Permissions of the directories.
const READABLE: u32 = 0o755;
/// What a file is called until it is complete.
const UNFINISHED: &str = ".phase-new";

/// A partition that holds, or will hold, a state.
#[derive(Debug)]
pub struct Disk(Volume);

impl Disk {
    /// Looks at the partition and gets the kernel ready for its file system. `load` loads a module by name, if it is there.
    pub fn open(device: PathBuf, access: Access, load: &dyn Fn(&str)) -> Result<Self, StoreError> {
        let looked = Volume::look(device.clone(), access);
        let volume = looked.map_err(|source| StoreError::Device { device: device.clone(), source })?;
        // What cannot be written keeps nothing.
        let volume = volume.filter(|volume| volume.superblock().file_system != FileSystem::Iso9660);
        let volume = volume.ok_or(StoreError::FileSystem { device })?;
        volume.load_modules(load);
        Ok(Self(volume))
    }

    /// The device file.
    pub fn device(&self) -> &Path {
        self.0.device()
    }

    /// The state, if there is one.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let mounted = self.mount(Access::ReadOnly)?;
        // One byte more than a state may have, so that a larger one is seen to be too large.
        let bytes = read(&mounted, STATE, LIMITS.state_bytes + 1).map_err(|errno| {
            if is_plain_file(&mounted, STATE) == Ok(false) {
                return StoreError::NoFile { name: STATE, device: self.device().to_owned() };
            }
            self.failed("read", STATE, errno)
        })?;
        Ok(bytes.map(|bytes| State::parse(&bytes)).transpose().map_err(verify::StateError::from)?)
    }

    /// The trust files that were kept, from the one of `epoch` on as far as there are any without a gap, and not more than
    /// one boot follows. Their content is not looked at.
    pub fn chain(&self, epoch: u64) -> Chain {
        let mut chain = Chain::default();
        chain.broken = self.follow(epoch, &mut chain.envelopes).err();
        chain
    }

    fn follow(&self, epoch: u64, envelopes: &mut Vec<Vec<u8>>) -> Result<(), StoreError> {
        let mounted = self.mount(Access::ReadOnly)?;
        for epoch in (epoch..).take(LIMITS.rotations) {
            let name = trust_name(epoch);
            match read(&mounted, &name, LIMITS.envelope_bytes).map_err(|errno| self.failed("read", &name, errno))? {
                Some(envelope) => envelopes.push(envelope),
                None => break,
            }
        }
        Ok(())
    }

    /// Replaces the state.
    pub fn set_state(&self, state: &State) -> Result<(), StoreError> {
        let mounted = self.mount(Access::ReadWrite)?;
        replace(mounted.as_fd(), STATE, state.to_json()?.as_bytes()).map_err(|errno| self.failed("write", STATE, errno))
    }

    /// Keeps trust files, each under its epoch.
    pub fn keep(&self, trust_files: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        let mounted = self.mount(Access::ReadWrite)?;
        let failed = |errno| self.failed("write", TRUST, errno);
        let directory = directory_below(&mounted, TRUST, READABLE).map_err(failed)?;
        for (epoch, envelope) in trust_files {
            replace(directory.as_fd(), &format!("{epoch}.dsse.json"), envelope)
                .map_err(|errno| self.failed("write", &trust_name(*epoch), errno))?;
        }
        // The directory itself may be new.
        sync_directory(&mounted).map_err(failed)
    }

    /// Keeps the receipt of a boot of `version` in place of that of an earlier one. Of more than [`MOST_RECEIPTS`], those of the
    /// lowest other versions are removed. One that is there already, byte by byte, is not written again.
    ///
    /// # Errors
    /// It cannot be written, or less than [`RESERVE`] would stay free.
    pub fn keep_receipt(&self, version: u64, receipt: &[u8]) -> Result<(), StoreError> {
        let path = format!("{RECEIPTS}/{}", receipt_name(version));
        let kept = read(self.mount(Access::ReadOnly)?, &path, receipt.len() + 1);
        if kept.is_ok_and(|kept| kept.as_deref() == Some(receipt)) {
            return Ok(());
        }
        let mounted = self.mount(Access::ReadWrite)?;
        let failed = |errno| self.failed("write", &path, errno);
        let directory = directory_below(&mounted, RECEIPTS, READABLE).map_err(failed)?;
        remove_lowest(&directory, version).map_err(failed)?;
        let volume = fstatvfs(&directory).map_err(failed)?;
        let free = volume.f_bavail.saturating_mul(volume.f_frsize);
        let wanted = receipt.len() as u64 + RESERVE;
        if free < wanted {
            return Err(StoreError::NoRoom { name: path, device: self.device().to_owned(), free, wanted });
        }
        replace(directory.as_fd(), &receipt_name(version), receipt).map_err(failed)?;
        sync_directory(&mounted).map_err(failed)
    }

    fn mount(&self, wanted: Access) -> Result<OwnedFd, StoreError> {
        if wanted == Access::ReadWrite && self.0.access() == Access::ReadOnly {
            return Err(StoreError::ReadOnly);
        }
        self.0.mount(wanted).map_err(|errno| StoreError::Mount {
            file_system: self.0.superblock().file_system.name(),
            device: self.device().to_owned(),
            errno,
        })
    }

    fn failed(&self, what: &'static str, name: &str, errno: Errno) -> StoreError {
        StoreError::File { what, name: name.to_owned(), device: self.device().to_owned(), errno }
    }
}

fn trust_name(epoch: u64) -> String {
    format!("{TRUST}/{epoch}.dsse.json")
}

fn receipt_name(version: u64) -> String {
    format!("{version}.json")
}

/// The version whose receipt has this name; nothing for a name that no receipt gets.
fn receipt_version(name: &str) -> Option<u64> {
    let version = name.strip_suffix(".json")?.parse().ok()?;
    (receipt_name(version) == name).then_some(version)
}

/// Removes the receipts of the lowest versions until one of `version` makes no more than [`MOST_RECEIPTS`]. What no receipt is
/// stays, and does not count.
fn remove_lowest(directory: &OwnedFd, version: u64) -> Result<(), Errno> {
    // Never more than are kept, however many entries there are.
    let mut others = BinaryHeap::with_capacity(MOST_RECEIPTS);
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Some(other) = entry.file_name().to_str().ok().and_then(receipt_version) else { continue };
        if other == version || is_plain_file(directory, &receipt_name(other)) != Ok(true) {
            continue;
        }
        others.push(Reverse(other));
        if others.len() == MOST_RECEIPTS
            && let Some(Reverse(lowest)) = others.pop()
        {
            unlinkat(directory, receipt_name(lowest), AtFlags::empty())?;
        }
    }
    Ok(())
}

fn is_plain_file(directory: impl AsFd, name: &str) -> Result<bool, Errno> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
}

/// Replaces a file: whoever reads it, whenever the power fails, sees the old bytes or the new ones, whole. A link or a pipe
/// of this name is replaced itself, an empty directory removed; one that holds something is somebody's, and stays.
fn replace(directory: impl AsFd, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    // One that was left by a machine that lost its power in the middle.
    match unlinkat(&directory, UNFINISHED, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let mut file = File::from(open_below(&directory, UNFINISHED, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?);
    file.write_all(bytes).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    fsync(&file)?;
    match renameat(&directory, UNFINISHED, &directory, name) {
        Err(Errno::ISDIR) => {
            unlinkat(&directory, name, AtFlags::REMOVEDIR)?;
            renameat(&directory, UNFINISHED, &directory, name)?;
        }
        renamed => renamed?,
    }
    sync_directory(&directory)
}

/// Makes what a directory names last. A mount's own descriptor is a mere path (fsmount(2)), which cannot be synced.
fn sync_directory(directory: impl AsFd) -> Result<(), Errno> {
    fsync(open_below(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_named_by_its_version_alone() {
        for version in [0, 7, LIMITS.integer, u64::MAX] {
            assert_eq!(receipt_version(&receipt_name(version)), Some(version));
        }
        for other in
            ["", ".json", "7", "7.JSON", "07.json", "+7.json", "-7.json", "7.json.json", "18446744073709551616.json"]
        {
            assert_eq!(receipt_version(other), None, "{other:?}");
        }
    }
}
