//! A disk that every PC starts from, or every machine of arm64 with UEFI: for `dd` onto a stick, and for virtual machines as it is.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    BootFile, Label, MediumError,
    bios::{self, BOOT_CODE},
    content::sized,
    ext4,
    fat::{self, Volume},
    grub::{self, Grub, PC},
    identity::Identity,
    layout::{Layout, SECTOR},
    table,
};
use crate::pack::kernel::Arch;

/// The partition PHASE-DATA, where a machine remembers.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    /// Bytes, rounded up to MiB.
    pub size: u64,
    /// Its PARTUUID, if the initramfs names one; else it is derived as the others are.
    pub partuuid: Option<Uuid>,
}

/// What is to be made: a GPT disk with a BIOS boot partition (which arm64 has no use for), a boot partition that is the EFI
/// system partition as well, and PHASE-DATA.
#[derive(Debug, Clone)]
pub struct Disk {
    /// What its kernel is for.
    pub arch: Arch,
    /// The folder that has GRUB's platforms.
    pub grub: PathBuf,
    /// Files of the boot partition. The boot loaders `EFI/BOOT/BOOTX64.EFI` and `BOOTIA32.EFI`, or `BOOTAA64.EFI`, are added
    /// where none of them is called so.
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
    pub fn write(&self, image: &Path) -> Result<Made, MediumError> {
        let identity = self.identity()?;
        let serial = identity.serial();
        let data = self.data.map(|data| data.partuuid.unwrap_or_else(|| identity.guid("data")));
        let grub = Grub::for_disk(&self.grub, serial);
        let uefi = grub.for_uefi(self.arch)?;
        let given = |loader: &&BootFile| self.files.iter().any(|file| file.path == loader.path);
        let files = sized(self.files.iter().chain(uefi.iter().filter(|loader| !given(loader))))?;
        let room = fat::room(files.iter().map(|(file, size)| (file.path.as_str(), *size)))?;
        let layout = Layout::new(room, self.data.map(|data| data.size));
        let bios = match self.arch {
            Arch::X86_64 => Some(self.bios(&grub, &layout)?),
            Arch::Aarch64 => None,
        };

        let written = || MediumError::file(image);
        let mut disk = File::options().read(true).write(true).open(image).map_err(written())?;
        disk.set_len(layout.size).map_err(written())?;
        table::write(&mut disk, &layout, &identity, data, bios.as_ref().map(|(code, _)| code))?;
        if let Some((_, core)) = bios {
            disk.seek(SeekFrom::Start(layout.bios.start)).and_then(|_| disk.write_all(&core)).map_err(written())?;
        }
        fat::write(image, &layout.boot, &files, &Volume { label: self.label.as_str(), serial, mtime: self.mtime })?;
        if let (Some(range), Some(guid)) = (&layout.data, data) {
            ext4::make(image, range, guid, self.mtime)?;
        }
        Ok(Made { size: layout.size, guid: identity.guid("disk"), serial, data })
    }

    /// GRUB for the BIOS: the code of the MBR, and the core.
    fn bios(&self, grub: &Grub<'_>, layout: &Layout) -> Result<([u8; BOOT_CODE], Vec<u8>), MediumError> {
        let sector = layout.bios.start / SECTOR;
        let mut core = grub.image(&PC, PC.name)?;
        bios::block_list(&mut core, sector, layout.bios.end - layout.bios.start)?;
        Ok((bios::boot_code(&grub::delivered(&self.grub, "boot.img"), sector)?, core))
    }

    fn identity(&self) -> Result<Identity, MediumError> {
        let size = self.data.map_or(0, |data| data.size);
        let guid = self.data.and_then(|data| data.partuuid).unwrap_or_default();
        let data = [&size.to_le_bytes(), &guid.as_bytes()[..]].concat();
        let values = [("kind", b"disk".to_vec()), ("label", self.label.as_str().into()), ("data", data)];
        Identity::of_medium(&self.files, (&self.grub, self.arch), self.mtime, values)
    }
}
