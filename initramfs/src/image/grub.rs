//! GRUB for BIOS and for UEFI of 64 and 32 bits, made by grub-mkimage from Debian's modules.
//!
//! Guarantees: each of them looks for the boot partition by its serial number, beginning at the disk that it was itself
//! started from, and never by the order of disks. What grub-bios-setup writes with root and a block device is written
//! into the images here: the core is one run of sectors, so that the block list is one entry (GRUB 2.06,
//! `util/setup.c`, `include/grub/i386/pc/boot.h` and `grub-core/boot/i386/pc/diskboot.S`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    DiskError,
    layout::{Layout, SECTOR},
    program::Program,
};

/// Where packages put GRUB's modules, one folder for each platform.
pub const FOLDER: &str = "/usr/lib/grub";

const MKIMAGE: Program = Program { name: "grub-mkimage", package: "grub-common" };

/// Modules of every platform: to find and read the partition, to show a menu on screen and serial line, and what
/// grub/phase.cfg uses.
const MODULES: [&str; 20] = [
    "all_video",
    "cat",
    "configfile",
    "echo",
    "fat",
    "halt",
    "linux",
    "ls",
    "normal",
    "part_gpt",
    "reboot",
    "regexp",
    "search",
    "search_fs_file",
    "search_fs_uuid",
    "serial",
    "sleep",
    "terminal",
    "test",
    "true",
];

/// Boot code of a master boot record.
const BOOT_CODE: usize = 440;
/// In boot.img: the sector of the core, 64 bits (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const CORE_SECTOR: usize = 0x5c;
/// In boot.img: a jump that believes the BIOS's number of the boot disk (`GRUB_BOOT_MACHINE_DRIVE_CHECK`).
const DRIVE_CHECK: usize = 0x66;
/// In the core's first sector: its block list, which is read from here down. Of each entry: sector (64 bits), number of
/// sectors (16), segment (16).
const BLOCK_LIST: usize = 0x1f4;
/// The segment that the rest of the core is read to: `GRUB_BOOT_I386_PC_KERNEL_SEG`, and one sector more.
const SEGMENT: u16 = 0x820;

/// GRUB on one platform.
struct Platform {
    /// Its name, as folder and for grub-mkimage.
    name: &'static str,
    /// Who starts it.
    firmware: &'static str,
    /// Debian's package of its modules.
    package: &'static str,
    /// Modules that it has alone.
    modules: &'static [&'static str],
}

const PC: Platform = Platform { name: "i386-pc", firmware: "BIOS", package: "grub-pc-bin", modules: &["biosdisk"] };
const X64: Platform =
    Platform { name: "x86_64-efi", firmware: "64-bit UEFI", package: "grub-efi-amd64-bin", modules: &["efifwsetup"] };
const IA32: Platform =
    Platform { name: "i386-efi", firmware: "32-bit UEFI", package: "grub-efi-ia32-bin", modules: &["efifwsetup"] };

/// The boot loaders of a disk.
pub(super) struct Loaders {
    /// Code for the MBR.
    pub(super) boot_code: [u8; BOOT_CODE],
    /// Content of the BIOS boot partition.
    pub(super) core: Vec<u8>,
    /// `BOOTX64.EFI`.
    pub(super) x64: Vec<u8>,
    /// `BOOTIA32.EFI`.
    pub(super) ia32: Vec<u8>,
}

impl Loaders {
    /// From the modules in `folder`, for a disk whose boot partition has this serial number.
    pub(super) fn make(folder: &Path, layout: &Layout, serial: u32) -> Result<Self, DiskError> {
        let early = early_configuration(serial);
        let sector = layout.bios.start / SECTOR;
        let mut core = PC.image(folder, &early)?;
        let room = layout.bios.end - layout.bios.start;
        block_list(&mut core, sector, room)?;
        Ok(Self {
            boot_code: boot_code(&boot_sector_file(folder), sector)?,
            core,
            x64: X64.image(folder, &early)?,
            ia32: IA32.image(folder, &early)?,
        })
    }
}

/// What tells one GRUB from another; fails if one of them is not installed.
pub(super) fn versions(folder: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, DiskError> {
    [PC, X64, IA32].iter().map(|platform| Ok((platform.name, platform.kernel(folder)?))).collect()
}

impl Platform {
    /// GRUB's kernel of this platform.
    fn kernel(&self, folder: &Path) -> Result<Vec<u8>, DiskError> {
        let file = folder.join(self.name).join("kernel.img");
        if !file.exists() {
            return Err(DiskError::MissingGrub { file, firmware: self.firmware, package: self.package });
        }
        fs::read(&file).map_err(DiskError::file(file))
    }

    fn image(&self, folder: &Path, early: &str) -> Result<Vec<u8>, DiskError> {
        let work = tempfile::tempdir().map_err(DiskError::file(std::env::temp_dir()))?;
        let [configuration, out] = ["early.cfg", "image"].map(|name| work.path().join(name));
        fs::write(&configuration, early).map_err(DiskError::file(&configuration))?;
        let mut command = MKIMAGE.command()?;
        command.args(["-O", self.name, "-p", "/boot/grub", "-d"]).arg(folder.join(self.name));
        command.arg("-c").arg(configuration).arg("-o").arg(&out).args(MODULES).args(self.modules);
        MKIMAGE.run(command)?;
        fs::read(&out).map_err(DiskError::file(out))
    }
}

/// What GRUB does first. `$root` is the disk (BIOS) or the partition (UEFI) that it came from, so that of two copies of
/// one stick the one that was started is taken.
fn early_configuration(serial: u32) -> String {
    format!(
        "search --no-floppy --fs-uuid --set=root --hint \"$root\" --hint \"$root,gpt2\" {:04X}-{:04X}\n\
         set prefix=($root)/boot/grub\n",
        serial >> 16,
        serial & 0xffff
    )
}

fn boot_sector_file(folder: &Path) -> PathBuf {
    folder.join(PC.name).join("boot.img")
}

/// The code for the MBR, which reads the core's first sector.
fn boot_code(file: &Path, sector: u64) -> Result<[u8; BOOT_CODE], DiskError> {
    let image = fs::read(file).map_err(DiskError::file(file))?;
    let mut code = match image.first_chunk::<BOOT_CODE>() {
        Some(code) if image.len() == 512 && image.ends_with(&[0x55, 0xaa]) => *code,
        _ => return Err(DiskError::NoBootSector { file: file.to_owned(), seen: image.len() }),
    };
    code[CORE_SECTOR..CORE_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    // Two NOPs: some BIOSes say that a hard disk were a floppy, and the code behind this puts that right.
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90; 2]);
    Ok(code)
}

/// Tells the core, which begins at `sector`, where its other sectors are.
fn block_list(core: &mut [u8], sector: u64, room: u64) -> Result<(), DiskError> {
    let seen = core.len();
    let rest = (seen as u64).div_ceil(SECTOR).saturating_sub(1);
    let fits = (2 * SECTOR..=room).contains(&(seen as u64));
    let rest = u16::try_from(rest).ok().filter(|_| fits).ok_or(DiskError::Core { seen, wanted: room })?;
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&rest.to_le_bytes());
    core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&SEGMENT.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_code_names_the_sector_of_the_core_and_keeps_out_of_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("boot.img");
        let mut image = vec![0xcc; 510];
        image.extend([0x55, 0xaa]);
        fs::write(&file, &image).unwrap();
        let code = boot_code(&file, 0x0102_0304).unwrap();
        assert_eq!(code[CORE_SECTOR..CORE_SECTOR + 8], [4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(code[DRIVE_CHECK..DRIVE_CHECK + 2], [0x90, 0x90]);
        let kept = [&code[..CORE_SECTOR], &code[CORE_SECTOR + 8..DRIVE_CHECK], &code[DRIVE_CHECK + 2..]].concat();
        assert_eq!(kept, vec![0xcc; 430]);

        fs::write(&file, [0; 512]).unwrap();
        let message = boot_code(&file, 1).unwrap_err().to_string();
        assert!(message.ends_with("has 512 bytes, wanted 512 with the signature 55 aa at their end"), "{message}");
    }

    #[test]
    fn the_block_list_covers_the_core_without_its_first_sector() {
        let mut core = vec![0; 1025];
        block_list(&mut core, 2048, 1 << 20).unwrap();
        assert_eq!(core[BLOCK_LIST..512], [0x01, 0x08, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 0x08]);
        assert_eq!(core.iter().filter(|byte| **byte != 0).count(), 5);
        for size in [0, 1023, (1 << 20) + 1] {
            let message = block_list(&mut vec![0; size], 2048, 1 << 20).unwrap_err().to_string();
            assert_eq!(message, format!("GRUB's core for BIOS has {size} bytes; from 1024 to 1048576 have room"));
        }
    }

    #[test]
    fn the_partition_is_looked_for_by_its_number_and_near_itself_first() {
        let text = early_configuration(0x0a1b_2c3d);
        assert!(text.contains("--fs-uuid --set=root --hint \"$root\" --hint \"$root,gpt2\" 0A1B-2C3D\n"), "{text}");
    }

    #[test]
    fn a_missing_grub_names_its_package() {
        let folder = tempfile::tempdir().unwrap();
        for (name, package) in
            [("i386-pc", "grub-pc-bin"), ("x86_64-efi", "grub-efi-amd64-bin"), ("i386-efi", "grub-efi-ia32-bin")]
        {
            let message = versions(folder.path()).unwrap_err().to_string();
            assert!(message.ends_with(&format!("apt-get install {package}")), "{message}");
            assert!(message.contains(&format!("{name}/kernel.img is not there")), "{message}");
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("kernel.img"), name).unwrap();
        }
        assert_eq!(versions(folder.path()).unwrap().len(), 3);
    }
}
