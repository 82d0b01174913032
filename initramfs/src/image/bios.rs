//! GRUB for the BIOS on a disk: the code of the MBR, and the core behind it.
//!
//! What grub-bios-setup writes with root and a block device is written into the images here: the core is one run of
//! sectors, so that the block list is one entry (GRUB 2.06, `util/setup.c`, `include/grub/i386/pc/boot.h` and
//! `grub-core/boot/i386/pc/diskboot.S`).

use std::{fs, path::Path};

use super::{MediumError, layout::SECTOR};

/// Boot code of a master boot record.
pub(super) const BOOT_CODE: usize = 440;
/// In boot.img: the sector of the core, 64 bits (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const CORE_SECTOR: usize = 0x5c;
/// In boot.img: a jump that believes the BIOS's number of the boot disk (`GRUB_BOOT_MACHINE_DRIVE_CHECK`).
const DRIVE_CHECK: usize = 0x66;
/// In the core's first sector: its block list, which is read from here down. Of each entry: sector (64 bits), number of
/// sectors (16), segment (16).
const BLOCK_LIST: usize = 0x1f4;
/// The segment that the rest of the core is read to: `GRUB_BOOT_I386_PC_KERNEL_SEG`, and one sector more.
const SEGMENT: u16 = 0x820;

/// The code for the MBR, made of GRUB's boot.img, which reads the core from `sector` on.
pub(super) fn boot_code(file: &Path, sector: u64) -> Result<[u8; BOOT_CODE], MediumError> {
    let image = fs::read(file).map_err(MediumError::file(file))?;
    let mut code = match image.first_chunk::<BOOT_CODE>() {
        Some(code) if image.len() == 512 && image.ends_with(&[0x55, 0xaa]) => *code,
        _ => return Err(MediumError::NoBootSector { file: file.to_owned(), seen: image.len() }),
    };
    code[CORE_SECTOR..CORE_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    // Two NOPs: some BIOSes say that a hard disk were a floppy, and the code behind this puts that right.
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90; 2]);
    Ok(code)
}

/// Tells the core, which begins at `sector`, where its other sectors are.
pub(super) fn block_list(core: &mut [u8], sector: u64, room: u64) -> Result<(), MediumError> {
    let seen = core.len();
    let rest = (seen as u64).div_ceil(SECTOR).saturating_sub(1);
    let fits = (2 * SECTOR..=room).contains(&(seen as u64));
    let rest = u16::try_from(rest).ok().filter(|_| fits).ok_or(MediumError::Core { seen, wanted: room })?;
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
}
