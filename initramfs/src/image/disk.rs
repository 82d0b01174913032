//! A disk that every PC starts from: for `dd` onto a stick, and for virtual machines as it is.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    DiskError, ext4,
    fat::{self, Volume},
    grub::{self, Loaders},
    identity::Identity,
    layout::Layout,
    table,
};

/// A file of the boot partition.
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

/// The name of the boot partition's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// `PHASE-BOOT`: it has the boot loaders, kernel and initramfs.
    Boot,
    /// `PHASE`: it has a release besides, and private mode looks there (docs/modes.md).
    Release,
}

/// The partition PHASE-DATA, where a machine remembers.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    /// Bytes, rounded up to MiB.
    pub size: u64,
    /// Its PARTUUID, if the initramfs names one; else it is derived as the others are.
    pub partuuid: Option<Uuid>,
}

/// What is to be made: a GPT disk with a BIOS boot partition, a boot partition that is the EFI system partition as well, and
/// PHASE-DATA.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The folder that has GRUB's platforms.
    pub grub: PathBuf,
    /// Files of the boot partition. The boot loaders are added: `EFI/BOOT/BOOTX64.EFI` and `BOOTIA32.EFI`.
    pub files: Vec<BootFile>,
    /// Its name.
    pub label: Label,
    /// A partition to remember on.
    pub data: Option<Data>,
    /// Time of every file in seconds since 1970; FAT begins in 1980.
    pub mtime: u32,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Bytes of the disk.
    pub size: u64,
    /// The GUID of the disk.
    pub guid: Uuid,
    /// The serial number of the boot partition's FAT.
    pub serial: u32,
    /// The PARTUUID of PHASE-DATA.
    pub data: Option<Uuid>,
}

impl Disk {
    /// Writes the disk to the file `image`, which is there and empty.
    ///
    /// # Errors
    /// GRUB or a program is missing, a file cannot be read or is too large, or `image` cannot be written.
    pub fn write(&self, image: &Path) -> Result<Made, DiskError> {
        let identity = self.identity()?;
        let serial = identity.serial();
        let data = self.data.map(|data| data.partuuid.unwrap_or_else(|| identity.guid("data")));
        // The core has its own place; what BIOS and UEFI start differs from disk to disk in its serial number alone.
        let bios = Layout::new(0, None);
        let Loaders { boot_code, core, x64, ia32 } = Loaders::make(&self.grub, &bios, serial)?;
        let loaders = [("EFI/BOOT/BOOTIA32.EFI", ia32), ("EFI/BOOT/BOOTX64.EFI", x64)]
            .map(|(path, bytes)| BootFile { path: path.to_owned(), content: Content::Bytes(bytes) });
        let files = sized(self.files.iter().chain(&loaders))?;
        let room = fat::room(files.iter().map(|(file, size)| (file.path.as_str(), *size)))?;
        let layout = Layout::new(room, self.data.map(|data| data.size));

        let written = || DiskError::file(image);
        let mut disk = File::options().read(true).write(true).open(image).map_err(written())?;
        disk.set_len(layout.size).map_err(written())?;
        table::write(&mut disk, &layout, &identity, data, &boot_code)?;
        disk.seek(SeekFrom::Start(layout.bios.start)).and_then(|_| disk.write_all(&core)).map_err(written())?;
        fat::write(image, &layout.boot, &files, &Volume { label: self.label, serial, mtime: self.mtime })?;
        if let (Some(range), Some(guid)) = (&layout.data, data) {
            ext4::make(image, range, guid, self.mtime)?;
        }
        Ok(Made { size: layout.size, guid: identity.guid("disk"), serial, data })
    }

    fn identity(&self) -> Result<Identity, DiskError> {
        let mut values = Vec::new();
        for file in sorted(&self.files) {
            values.push((file.path.as_str(), file.digest()?));
        }
        values.extend(grub::versions(&self.grub)?);
        let size = self.data.map_or(0, |data| data.size);
        let guid = self.data.and_then(|data| data.partuuid).unwrap_or_default();
        values.push(("label", self.label.as_str().into()));
        values.push(("data", [&size.to_le_bytes(), &guid.as_bytes()[..]].concat()));
        values.push(("time", self.mtime.to_le_bytes().to_vec()));
        Ok(Identity::of(values.iter().map(|(name, value)| (*name, value.as_slice()))))
    }
}

impl BootFile {
    /// A reader at its beginning.
    pub(super) fn open(&self) -> Result<Box<dyn Read + '_>, DiskError> {
        Ok(match &self.content {
            Content::Bytes(bytes) => Box::new(bytes.as_slice()),
            Content::File(path) => Box::new(File::open(path).map_err(DiskError::file(path))?),
        })
    }

    fn size(&self) -> Result<u64, DiskError> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.len() as u64),
            Content::File(path) => Ok(path.metadata().map_err(DiskError::file(path))?.len()),
        }
    }

    fn digest(&self) -> Result<Vec<u8>, DiskError> {
        let mut hash = Sha256::new();
        let mut source = self.open()?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(hash.finalize().to_vec()),
                Ok(count) => hash.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(DiskError::Unread { path: self.path.clone(), source }),
            }
        }
    }
}

impl Label {
    /// The label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "PHASE-BOOT",
            Self::Release => "PHASE",
        }
    }
}

fn sorted<'a>(files: impl IntoIterator<Item = &'a BootFile>) -> Vec<&'a BootFile> {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by_key(|file| &file.path);
    files
}

/// Every file and its size in bytes, by name.
fn sized<'a>(files: impl IntoIterator<Item = &'a BootFile>) -> Result<Vec<(&'a BootFile, u64)>, DiskError> {
    sorted(files).into_iter().map(|file| Ok((file, file.size()?))).collect()
}
