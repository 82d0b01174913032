//! File systems of strangers: told by their first bytes, and mounted where nobody else sees them.
//!
//! A mount is a descriptor (fsmount(2)) and nowhere in the tree of files: nothing is left behind when this process ends in the
//! middle, and a system that has mounted the same partition is not disturbed. Nothing on it can be executed or is a device,
//! and no link leads out of it.
//!
//! What an ext4 itself asks for if it turns out to be damaged does not count: it becomes read-only, and no kernel panics.
//!
//! With [`Access::ReadOnly`] not one byte of the disk changes: the kernel is told to refuse writes to the device
//! (`BLKROSET`), and a journal that was not replayed stays so (`noload`), since replaying writes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::store::Access;
use crate::sys::block_device;

/// Bytes at the beginning of a device that tell ext4 and FAT.
const START: usize = 2048;
/// Where an ISO 9660 has its primary volume descriptor, and its bytes that mean something here (ECMA-119, 7.2 and 8.4).
const VOLUME: (u64, usize) = (32768, 72);

/// The file systems that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4, and its forerunners.
    Ext4,
    /// FAT with 12, 16 or 32 bits, with long names.
    Vfat,
    /// ISO 9660, of optical discs and their images.
    Iso9660,
}

impl FileSystem {
    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Iso9660 => "iso9660",
        }
    }

    /// The modules that it needs where they are not built in: vfat also the tables of its names, of which a kernel has one
    /// or the other (`CONFIG_FAT_DEFAULT_CODEPAGE`, `CONFIG_FAT_DEFAULT_IOCHARSET`).
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["ext4"],
            Self::Vfat => &["vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"],
            Self::Iso9660 => &["isofs"],
        }
    }
}

/// What stands at the beginning of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Which file system it is.
    pub file_system: FileSystem,
    /// The name that somebody gave it; empty if nobody did. Never believed, only compared and shown.
    pub label: String,
}

impl Superblock {
    /// Reads it from a device; nothing, if it has no file system that is known here.
    pub fn read(device: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let mut start = vec![0; START];
        device.seek(SeekFrom::Start(0))?;
        match device.read_exact(&mut start) {
            Ok(()) => {}
            // Smaller than any of them.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut volume = vec![0; VOLUME.1];
        device.seek(SeekFrom::Start(VOLUME.0))?;
        match device.read_exact(&mut volume) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => volume.fill(0),
            Err(error) => return Err(error),
        }
        Ok(Self::parse(&start, &volume))
    }

    /// Tells it by the magic numbers of fs/ext4/ext4.h, fs/fat/inode.c and ECMA-119. `start` is the device's beginning,
    /// `volume` what stands at byte 32768. An image that can be written to a stick is an ISO 9660 whose beginning may look
    /// like a boot sector.
    fn parse(start: &[u8], volume: &[u8]) -> Option<Self> {
        let at = |offset: usize, magic: &[u8]| start.get(offset..offset + magic.len()) == Some(magic);
        let (file_system, label) = if at(1024 + 56, &[0x53, 0xef]) {
            (FileSystem::Ext4, start.get(1024 + 120..1024 + 136))
        } else if at(510, &[0x55, 0xaa]) && at(82, b"FAT32") {
            (FileSystem::Vfat, start.get(71..82))
        } else if at(510, &[0x55, 0xaa]) && at(54, b"FAT1") {
            (FileSystem::Vfat, start.get(43..54))
        } else if volume.get(..7) == Some(b"\x01CD001\x01") {
            (FileSystem::Iso9660, volume.get(40..72))
        } else {
            return None;
        };
        // Filled up with zeros or spaces; FAT without a label says so.
        let label = label.unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        let label = String::from_utf8_lossy(label).trim_end().to_owned();
        let label = if file_system == FileSystem::Vfat && label == "NO NAME" { String::new() } else { label };
        Some(Self { file_system, label })
    }
}

/// A device whose file system the kernel is ready for.
#[derive(Debug)]
pub struct Volume {
    device: PathBuf,
    superblock: Superblock,
    access: Access,
}

impl Volume {
    /// Looks at a device; nothing, if it has no file system that is known here. Nothing is changed and no module loaded yet.
    pub fn look(device: PathBuf, access: Access) -> io::Result<Option<Self>> {
        let superblock = Superblock::read(&mut File::open(&device)?)?;
        Ok(superblock.map(|superblock| Self { device, superblock, access }))
    }

    /// The device file.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// What stands at its beginning.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// What may be done with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Gets the kernel ready for it. `load` loads a module by name, if it is there.
    pub fn load_modules(&self, load: &dyn Fn(&str)) {
        for module in self.superblock.file_system.modules() {
            load(module);
        }
    }

    /// Mounts it until the descriptor is closed, to write only if that is wanted and allowed.
    pub fn mount(&self, wanted: Access) -> Result<OwnedFd, Errno> {
        if self.access == Access::ReadOnly {
            if wanted == Access::ReadWrite {
                return Err(Errno::ROFS);
            }
            block_device::set_read_only(open(&self.device, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?;
        }
        match self.try_mount(wanted, wanted) {
            // The system has it mounted to be written; then it is one and the same file system, seen read-only here.
            Err(Errno::BUSY) if self.access == Access::ReadWrite => self.try_mount(Access::ReadWrite, wanted),
            mounted => mounted,
        }
    }

    /// Makes the file system known to the kernel as one of `file_system`, and a mount of it for `mount`.
    fn try_mount(&self, file_system: Access, mount: Access) -> Result<OwnedFd, Errno> {
        let kind = self.superblock.file_system;
        let context = fsopen(kind.name(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &self.device)?;
        if file_system == Access::ReadOnly {
            fsconfig_set_flag(&context, "ro")?;
        }
        if kind == FileSystem::Ext4 {
            // Whoever made it may have asked for a panic of the kernel upon the first damage that is met (`tune2fs -e panic`).
            fsconfig_set_string(&context, "errors", "remount-ro")?;
            if self.access == Access::ReadOnly {
                fsconfig_set_flag(&context, "noload")?;
            }
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
}

/// Opens something below a mount or a directory: no link leads out of it or anywhere.
pub fn open_below(directory: impl AsFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let created = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
    openat2(directory, name, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, created, resolve)
}

/// Opens a directory, which is made with these permissions if it is not there.
pub fn directory_below(directory: impl AsFd, name: &str, permissions: u32) -> Result<OwnedFd, Errno> {
    match mkdirat(&directory, name, Mode::from_raw_mode(permissions)) {
        Ok(()) | Err(Errno::EXIST) => open_below(directory, name, OFlags::RDONLY | OFlags::DIRECTORY),
        Err(errno) => Err(errno),
    }
}

/// Opens a file to read it; one that is no plain file is refused. `None` if there is none.
pub fn open_file(directory: impl AsFd, name: &str) -> Result<Option<File>, Errno> {
    let file = match open_below(directory, name, OFlags::RDONLY) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    Ok(Some(File::from(file)))
}

/// Reads a file of at most `most` bytes; of a longer one, what is read is one of no form. `None` if there is none.
pub fn read(directory: impl AsFd, name: &str, most: usize) -> Result<Option<Vec<u8>>, Errno> {
    let Some(file) = open_file(directory, name)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes);
    read.map(|_| Some(bytes)).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(start: &[(usize, &[u8])], volume: &[(usize, &[u8])]) -> Option<(FileSystem, String)> {
        let filled = |length: usize, parts: &[(usize, &[u8])]| {
            let mut bytes = vec![0; length];
            for (at, part) in parts {
                bytes[*at..*at + part.len()].copy_from_slice(part);
            }
            bytes
        };
        let found = Superblock::parse(&filled(START, start), &filled(VOLUME.1, volume));
        found.map(|superblock| (superblock.file_system, superblock.label))
    }

    #[test]
    fn file_systems_and_labels_are_told_by_their_first_bytes() {
        let sector: (usize, &[u8]) = (510, &[0x55, 0xaa]);
        let iso: (usize, &[u8]) = (0, b"\x01CD001\x01");
        let of = |file_system: FileSystem, label: &str| Some((file_system, label.to_owned()));
        for (start, volume, wanted) in [
            (&[(1080, &[0x53, 0xef][..])][..], &[][..], of(FileSystem::Ext4, "")),
            (&[(1080, &[0x53, 0xef]), (1144, b"PHASE")], &[], of(FileSystem::Ext4, "PHASE")),
            (&[(1080, &[0x53, 0xef]), (1144, b"sixteen-letters!")], &[], of(FileSystem::Ext4, "sixteen-letters!")),
            (&[sector, (54, b"FAT16   "), (43, b"PHASE      ")], &[], of(FileSystem::Vfat, "PHASE")),
            (&[sector, (82, b"FAT32   "), (71, b"PHASE      ")], &[], of(FileSystem::Vfat, "PHASE")),
            (&[sector, (82, b"FAT32   "), (71, b"NO NAME    ")], &[], of(FileSystem::Vfat, "")),
            (&[sector], &[iso, (40, b"PHASE                           ")], of(FileSystem::Iso9660, "PHASE")),
            // A boot sector that is no file system's: a partition table, say.
            (&[sector], &[], None),
            (&[], &[], None),
        ] {
            assert_eq!(parsed(start, volume), wanted);
        }
    }

    #[test]
    fn a_device_that_is_too_small_has_none_and_one_that_ends_early_no_disc() {
        for length in [0, 100, START, 32768] {
            assert_eq!(Superblock::read(&mut io::Cursor::new(vec![0; length])).unwrap(), None, "{length}");
        }
    }

    #[test]
    fn a_link_leads_nowhere_and_only_a_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "1234567").unwrap();
        std::fs::create_dir(directory.path().join("directory")).unwrap();
        std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
        let opened = File::open(directory.path()).unwrap();
        assert_eq!(read(&opened, "file", 5).unwrap().unwrap(), b"12345");
        assert_eq!(read(&opened, "nothing", 5).unwrap(), None);
        assert_eq!(read(&opened, "directory", 5).unwrap_err(), Errno::INVAL);
        assert_eq!(read(&opened, "link", 5).unwrap_err(), Errno::LOOP);
        assert!(read(&opened, "../etc/passwd", 5).is_err());
    }
}
