//! A disc that every PC starts from, or every machine of arm64 with UEFI, and that may as well be written to a stick: ISO 9660
//! with El Torito for BIOS (which arm64 has not) and UEFI, and with the boot code and the partition table of a disk in front.
//! Made by xorriso.
//!
//! Guarantees: the same files, time and versions of GRUB, mtools and xorriso give the same bytes; GRUB takes the files of
//! this disc and of no other, because it looks for one whose name is derived from all the others.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::NamedTempFile;
use uuid::Uuid;

use super::{
    BootFile, Content, Label, MediumError,
    content::{absolute, sized, sorted},
    fat::{self, Volume},
    grub::{self, Grub, PC},
    identity::Identity,
    program::Program,
};
use crate::pack::kernel::Arch;

const XORRISO: Program = Program { name: "xorriso", package: "xorriso" };
/// GRUB for the BIOS, which it loads from a disc; and the catalogue of what can be loaded.
const ELTORITO: &str = "boot/grub/eltorito.img";
const CATALOGUE: &str = "boot/grub/boot.cat";
/// The type of the partition with GRUB for UEFI (UEFI specification 2.10, section 5.3.3).
const EFI_PARTITION: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Disc {
    /// What its kernel is for.
    pub arch: Arch,
    /// The folder that has GRUB's platforms.
    pub grub: PathBuf,
    /// Its files. The boot loaders are added.
    pub files: Vec<BootFile>,
    /// Its name.
    pub label: Label,
    /// Time of every file in seconds since 1970.
    pub mtime: u32,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeDisc {
    /// Bytes.
    pub size: u64,
    /// The GUID of the partition table, which a stick has then.
    pub guid: Uuid,
}

impl Disc {
    /// Writes the disc to the file `image`, which is there and empty.
    ///
    /// # Errors
    /// GRUB or a program is missing, a file cannot be read, or `image` cannot be written.
    pub fn write(&self, image: &Path) -> Result<MadeDisc, MediumError> {
        let identity = self.identity()?;
        let guid = identity.guid("disc");
        let mark = format!("boot/grub/{guid}.id");
        let grub = Grub::for_disc(&self.grub, &mark);
        let bytes = |path: &str, bytes| BootFile { path: path.to_owned(), content: Content::Bytes(bytes) };
        let mut added = vec![bytes(&mark, Vec::new())];
        let uefi = self.uefi(&grub, identity.serial())?;

        let mut xorriso = self.xorriso()?;
        xorriso.args(["--gpt_disk_guid", &guid.to_string(), "-c", CATALOGUE]);
        if self.arch == Arch::X86_64 {
            added.push(bytes(ELTORITO, grub.image(&PC, "i386-pc-eltorito")?));
            self.add_bios(&mut xorriso)?;
        }
        xorriso.args(["-append_partition", "2", EFI_PARTITION]).arg(uefi.path()).arg("-appended_part_as_gpt");
        xorriso.args(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]);
        xorriso.arg("-o").arg(absolute(image)?).arg("-graft-points");
        let mut sources = Vec::new();
        for file in sorted(self.files.iter().chain(&added)) {
            let source = file.on_host()?;
            xorriso.arg(graft(&file.path, &source.path));
            // Kept until xorriso has read it.
            sources.push(source);
        }
        XORRISO.run(xorriso)?;
        let size = image.metadata().map_err(MediumError::file(image))?.len();
        Ok(MadeDisc { size, guid })
    }

    /// xorriso with all that is the same for every disc.
    fn xorriso(&self) -> Result<Command, MediumError> {
        let mut command = XORRISO.command()?;
        // What a person has set for discs of their own is not for this one.
        command.arg("-no_rc").env_remove("MKISOFSRC").env("HOME", "/nonexistent").env("TZ", "UTC0");
        command.args(["-as", "mkisofs", "-quiet", "-V", self.label.as_str()]);
        // Long names, of Rock Ridge; files of 4 GiB and more, of level 3; nothing of whoever owns the sources.
        command.args(["-R", "-iso-level", "3", "-uid", "0", "-gid", "0", "-dir-mode", "0555", "-file-mode", "0444"]);
        // The times of the volume, and of everything in it; 0 would be the time of today.
        let time = self.mtime.max(1);
        command.env("SOURCE_DATE_EPOCH", time.to_string()).args(["--set_all_file_dates", &format!("={time}")]);
        Ok(command)
    }

    /// What a BIOS starts: the first entry of El Torito, and the code in front, which a stick begins with.
    fn add_bios(&self, xorriso: &mut Command) -> Result<(), MediumError> {
        xorriso.arg("--grub2-mbr").arg(absolute(&grub::delivered(&self.grub, "boot_hybrid.img"))?);
        xorriso.args([
            "-b",
            ELTORITO,
            "-no-emul-boot",
            "-boot-load-size",
            "4",
            "-boot-info-table",
            "--grub2-boot-info",
        ]);
        xorriso.arg("-eltorito-alt-boot");
        Ok(())
    }

    /// The file system with GRUB for UEFI, as a file.
    fn uefi(&self, grub: &Grub<'_>, serial: u32) -> Result<NamedTempFile, MediumError> {
        let loaders = grub.for_uefi(self.arch)?;
        let files = sized(&loaders)?;
        let size = fat::small(files.iter().map(|(_, size)| *size));
        let image = NamedTempFile::new().map_err(MediumError::file(std::env::temp_dir()))?;
        image.as_file().set_len(size).map_err(MediumError::file(image.path()))?;
        fat::write(image.path(), &(0..size), &files, &Volume { label: "PHASE-EFI", serial, mtime: self.mtime })?;
        Ok(image)
    }

    fn identity(&self) -> Result<Identity, MediumError> {
        let values = [("kind", b"disc".to_vec()), ("label", self.label.as_str().into())];
        Identity::of_medium(&self.files, (&self.grub, self.arch), self.mtime, values)
    }
}

/// `PATH=SOURCE`, in which a `=` or a `\` of a name is written with a `\` in front.
fn graft(path: &str, source: &Path) -> OsString {
    let escaped = |bytes: &[u8]| -> Vec<u8> {
        let escape = |byte: &u8| if b"=\\".contains(byte) { vec![b'\\', *byte] } else { vec![*byte] };
        bytes.iter().flat_map(escape).collect()
    };
    OsString::from_vec([escaped(path.as_bytes()), vec![b'='], escaped(source.as_os_str().as_bytes())].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_end_where_they_have_an_equals_sign() {
        assert_eq!(graft("phase/a=b\\c", Path::new("/tmp/x y=z")), "phase/a\\=b\\\\c=/tmp/x y\\=z");
    }
}
