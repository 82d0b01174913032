//! The store on a disk: `state.json` and `trust/<epoch>.dsse.json` at the top of a partition's file system.
//!
//! The file system is mounted for the length of one read or one write and is nowhere in the tree of files: the mount is a
//! descriptor (fsmount(2)), so that nobody else sees it, nothing is left behind when this process ends in the middle, and a
//! system that has mounted the same partition is not disturbed. It is read-only but while something is written. A file is
//! replaced as a whole or not at all: written under another name, synced, renamed, and the directory synced.
//!
//! With [`Access::ReadOnly`] not one byte of the disk changes: the kernel is told to refuse writes to the partition
//! (`BLKROSET`), and a journal that was not replayed stays so (`noload`), since replaying writes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, fsync, mkdirat, openat2, renameat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use verify::{LIMITS, State};

use super::{Access, StoreError};
use crate::sys::block_device;

/// The state at the top of the file system.
const STATE: &str = "state.json";
/// The directory of the trust files that were followed.
const TRUST: &str = "trust";
/// What a file is called until it is complete.
const UNFINISHED: &str = ".phase-new";
/// Bytes at the beginning of a partition that tell which file system it has.
const SUPERBLOCK: usize = 2048;

/// The file systems that a store may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileSystem {
    Ext4,
    Vfat,
}

impl FileSystem {
    /// Tells by the magic numbers of fs/ext4/ext4.h and fs/fat/inode.c.
    fn of(start: &[u8]) -> Option<Self> {
        let at = |offset: usize, magic: &[u8]| start.get(offset..offset + magic.len()) == Some(magic);
        if at(1024 + 56, &[0x53, 0xef]) {
            Some(Self::Ext4)
        } else if at(510, &[0x55, 0xaa]) && (at(54, b"FAT1") || at(82, b"FAT32")) {
            Some(Self::Vfat)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
        }
    }

    /// The modules that it needs where they are not built in: vfat also the tables of its names, of which a kernel has one
    /// or the other (`CONFIG_FAT_DEFAULT_CODEPAGE`, `CONFIG_FAT_DEFAULT_IOCHARSET`).
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["ext4"],
            Self::Vfat => &["vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"],
        }
    }
}

/// A partition that holds, or will hold, a state.
#[derive(Debug)]
pub struct Disk {
    device: PathBuf,
    file_system: FileSystem,
    access: Access,
}

impl Disk {
    /// Looks at the partition and gets the kernel ready for its file system. `load` loads a module by name, if it is there.
    pub fn open(device: PathBuf, access: Access, load: &dyn Fn(&str)) -> Result<Self, StoreError> {
        let refused = |source: io::Error| StoreError::Device { device: device.clone(), source };
        let mut partition = File::open(&device).map_err(refused)?;
        if access == Access::ReadOnly {
            block_device::set_read_only(&partition).map_err(|errno| refused(errno.into()))?;
        }
        let mut start = vec![0; SUPERBLOCK];
        partition.read_exact(&mut start).map_err(refused)?;
        let file_system = FileSystem::of(&start).ok_or_else(|| StoreError::FileSystem { device: device.clone() })?;
        for module in file_system.modules() {
            load(module);
        }
        Ok(Self { device, file_system, access })
    }

    /// The device file.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The state, if there is one.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let mounted = self.mount(Access::ReadOnly)?;
        // One byte more than a state may have, so that a larger one is seen to be too large.
        let bytes = read(&mounted, STATE, LIMITS.state_bytes + 1).map_err(|errno| self.failed("read", STATE, errno))?;
        Ok(bytes.map(|bytes| State::parse(&bytes)).transpose().map_err(verify::StateError::from)?)
    }

    /// The trust files that were kept, from the one of `epoch` on as far as there are any without a gap, and not more than
    /// one boot follows. Their content is not looked at.
    pub fn chain(&self, epoch: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let mounted = self.mount(Access::ReadOnly)?;
        let mut kept = Vec::new();
        for epoch in (epoch..).take(LIMITS.rotations) {
            let name = trust_name(epoch);
            match read(&mounted, &name, LIMITS.envelope_bytes).map_err(|errno| self.failed("read", &name, errno))? {
                Some(envelope) => kept.push(envelope),
                None => break,
            }
        }
        Ok(kept)
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
        match mkdirat(&mounted, TRUST, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let directory = open_below(&mounted, TRUST, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        for (epoch, envelope) in trust_files {
            replace(directory.as_fd(), &format!("{epoch}.dsse.json"), envelope)
                .map_err(|errno| self.failed("write", &trust_name(*epoch), errno))?;
        }
        // The directory itself may be new.
        sync_directory(&mounted).map_err(failed)
    }

    /// Mounts the file system until the descriptor is closed. It has what a stranger may have put on it, so that nothing on
    /// it can be executed or is a device.
    fn mount(&self, wanted: Access) -> Result<OwnedFd, StoreError> {
        if wanted == Access::ReadWrite && self.access == Access::ReadOnly {
            return Err(StoreError::ReadOnly);
        }
        let mounted = match self.try_mount(wanted, wanted) {
            // The system has it mounted to be written; then it is one and the same file system, seen read-only here.
            Err(Errno::BUSY) if self.access == Access::ReadWrite => self.try_mount(Access::ReadWrite, wanted),
            mounted => mounted,
        };
        mounted.map_err(|errno| StoreError::Mount {
            file_system: self.file_system.name(),
            device: self.device.clone(),
            errno,
        })
    }

    /// Makes the file system known to the kernel as one of `file_system`, and a mount of it for `mount`.
    fn try_mount(&self, file_system: Access, mount: Access) -> Result<OwnedFd, Errno> {
        let context = fsopen(self.file_system.name(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &self.device)?;
        if file_system == Access::ReadOnly {
            fsconfig_set_flag(&context, "ro")?;
        }
        if self.access == Access::ReadOnly && self.file_system == FileSystem::Ext4 {
            fsconfig_set_flag(&context, "noload")?;
        }
        fsconfig_create(&context)?;
        let safe =
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let attributes = match mount {
            Access::ReadOnly => safe | MountAttrFlags::MOUNT_ATTR_RDONLY,
            Access::ReadWrite => safe,
        };
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }

    fn failed(&self, what: &'static str, name: &str, errno: Errno) -> StoreError {
        StoreError::File { what, name: name.to_owned(), device: self.device.clone(), errno }
    }
}

fn trust_name(epoch: u64) -> String {
    format!("{TRUST}/{epoch}.dsse.json")
}

/// Opens a file of the file system itself: no link leads out of it or anywhere.
fn open_below(directory: impl AsFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let created = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
    openat2(directory, name, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, created, resolve)
}

/// Reads a file of at most `most` bytes; of a longer one, what is read is one of no form. `None` if there is none.
fn read(mounted: &OwnedFd, name: &str, most: usize) -> Result<Option<Vec<u8>>, Errno> {
    let file = match open_below(mounted, name, OFlags::RDONLY) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let read = File::from(file).take(limit).read_to_end(&mut bytes);
    read.map(|_| Some(bytes)).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Replaces a file: whoever reads it, whenever the power fails, sees the old bytes or the new ones, whole.
fn replace(directory: impl AsFd, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    // One that was left by a machine that lost its power in the middle.
    match unlinkat(&directory, UNFINISHED, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let mut file = File::from(open_below(&directory, UNFINISHED, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?);
    file.write_all(bytes).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    fsync(&file)?;
    renameat(&directory, UNFINISHED, &directory, name)?;
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
    fn file_systems_are_told_by_their_magic_numbers() {
        let with = |at: usize, magic: &[u8], more: &[(usize, &[u8])]| {
            let mut start = vec![0; SUPERBLOCK];
            for (at, bytes) in [(at, magic)].iter().chain(more) {
                start[*at..*at + bytes.len()].copy_from_slice(bytes);
            }
            FileSystem::of(&start)
        };
        assert_eq!(with(1080, &[0x53, 0xef], &[]), Some(FileSystem::Ext4));
        assert_eq!(with(510, &[0x55, 0xaa], &[(54, b"FAT16   ")]), Some(FileSystem::Vfat));
        assert_eq!(with(510, &[0x55, 0xaa], &[(82, b"FAT32   ")]), Some(FileSystem::Vfat));
        // A boot sector that is no file system's: a partition table, say.
        assert_eq!(with(510, &[0x55, 0xaa], &[]), None);
        assert_eq!(FileSystem::of(&[]), None);
    }
}
