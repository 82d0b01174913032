//! GRUB for BIOS and for UEFI of 64 and 32 bits, and of arm64, made by grub-mkimage from Debian's modules.
//!
//! Guarantees: each of them looks for its files by what only this medium has, beginning at the disk that it was itself
//! started from, and never by the order of disks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{BootFile, Content, MediumError, program::Program};
use crate::pack::{archive::Tree, kernel::Arch};

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

/// What GRUB needs besides, for a network and for the script that it carries then.
const NETWORK_MODULES: [&str; 6] = ["eval", "http", "memdisk", "minicmd", "newc", "tftp"];
/// What that script is called where it is carried.
const SCRIPT: &str = "start.cfg";

/// GRUB on one platform.
pub(super) struct Platform {
    /// Its name, as folder and for grub-mkimage.
    pub(super) name: &'static str,
    /// Who starts it.
    firmware: &'static str,
    /// What brings its modules.
    from: &'static str,
    /// Modules that it has alone.
    modules: &'static [&'static str],
    /// The module of its network cards.
    network: &'static str,
}

pub(super) const PC: Platform = Platform {
    name: "i386-pc",
    firmware: "BIOS",
    from: "apt-get install grub-pc-bin",
    modules: &["biosdisk"],
    network: "pxe",
};
pub(super) const X64: Platform = Platform {
    name: "x86_64-efi",
    firmware: "64-bit UEFI",
    from: "apt-get install grub-efi-amd64-bin",
    modules: &["efifwsetup", "gfxterm"],
    network: "efinet",
};
pub(super) const IA32: Platform = Platform {
    name: "i386-efi",
    firmware: "32-bit UEFI",
    from: "apt-get install grub-efi-ia32-bin",
    modules: &["efifwsetup", "gfxterm"],
    network: "efinet",
};
/// Debian has this package for arm64 alone, so that a PC cannot install it beside its own.
pub(super) const ARM64: Platform = Platform {
    name: "arm64-efi",
    firmware: "UEFI of arm64",
    from: "phase lab package grub-efi-arm64-bin --arch aarch64, and --grub build/package/aarch64/grub-efi-arm64-bin/usr/lib/grub",
    modules: &["efifwsetup"],
    network: "efinet",
};

/// All that starts a kernel of this architecture.
fn platforms(arch: Arch) -> &'static [Platform] {
    match arch {
        Arch::X86_64 => &[PC, X64, IA32],
        Arch::Aarch64 => &[ARM64],
    }
}

/// The boot loaders of one medium.
pub(super) struct Grub<'a> {
    /// The folder that has the platforms.
    folder: &'a Path,
    /// What each does first.
    early: String,
    /// Modules besides [`MODULES`].
    more: &'static [&'static str],
    /// For a network: a script that GRUB carries in itself, and what finds its files.
    script: Option<String>,
}

impl<'a> Grub<'a> {
    /// For a disk whose boot partition has this serial number.
    pub(super) fn for_disk(folder: &'a Path, serial: u32) -> Self {
        Self { folder, early: on_disk(serial), more: &[], script: None }
    }

    /// For a disc that has this file, and nothing else has.
    pub(super) fn for_disc(folder: &'a Path, file: &str) -> Self {
        Self { folder, early: on_disc(file), more: &["iso9660"], script: None }
    }

    /// For a network: GRUB begins with `script`, in which `$phase_prefix` is the folder that it was fetched from, or empty if the
    /// firmware does not say. (Only of a script that is a file does GRUB understand conditions; and it looks for lists of its
    /// modules in `$prefix` before it reads the script, for a long time if no server is there.)
    pub(super) fn for_network(folder: &'a Path, script: String) -> Self {
        let early = format!("set phase_prefix=$prefix\nset prefix=(memdisk)\nnormal (memdisk)/{SCRIPT}\n");
        Self { folder, early, more: &NETWORK_MODULES, script: Some(script) }
    }

    /// GRUB as one file in this format of grub-mkimage.
    pub(super) fn image(&self, platform: &Platform, format: &str) -> Result<Vec<u8>, MediumError> {
        let work = tempfile::tempdir().map_err(MediumError::file(std::env::temp_dir()))?;
        let [configuration, carried, out] = ["early.cfg", "carried", "image"].map(|name| work.path().join(name));
        fs::write(&configuration, &self.early).map_err(MediumError::file(&configuration))?;
        let mut command = MKIMAGE.command()?;
        command.args(["-O", format, "-d"]).arg(self.folder.join(platform.name));
        if let Some(script) = &self.script {
            let mut tree = Tree::new();
            let packed = tree.file(SCRIPT, 0o644, script.as_bytes()).and_then(|()| tree.to_newc(0));
            fs::write(&carried, packed.map_err(MediumError::Carried)?).map_err(MediumError::file(&carried))?;
            // In this order: -m says where GRUB's files are, too, and -p leaves it to the firmware.
            command.arg("-m").arg(carried).args(["-p", ""]).arg(platform.network);
        } else {
            command.args(["-p", "/boot/grub"]);
        }
        command.arg("-c").arg(configuration).arg("-o").arg(&out);
        command.args(MODULES).args(platform.modules).args(self.more);
        MKIMAGE.run(command)?;
        fs::read(&out).map_err(MediumError::file(out))
    }

    /// What UEFI looks for on a medium that it does not know (UEFI specification 2.10, section 3.5.1.1), by name.
    pub(super) fn for_uefi(&self, arch: Arch) -> Result<Vec<BootFile>, MediumError> {
        let file = |path: &str, platform: &Platform| -> Result<BootFile, MediumError> {
            let bytes = self.image(platform, platform.name)?;
            Ok(BootFile { path: path.to_owned(), content: Content::Bytes(bytes) })
        };
        Ok(match arch {
            Arch::X86_64 => vec![file("EFI/BOOT/BOOTIA32.EFI", &IA32)?, file("EFI/BOOT/BOOTX64.EFI", &X64)?],
            Arch::Aarch64 => vec![file("EFI/BOOT/BOOTAA64.EFI", &ARM64)?],
        })
    }
}

/// What tells one GRUB from another, of all that start kernels of `arch`; fails if one of them is not installed.
pub(super) fn versions(folder: &Path, arch: Arch) -> Result<Vec<(&'static str, Vec<u8>)>, MediumError> {
    platforms(arch).iter().map(|platform| Ok((platform.name, platform.kernel(folder)?))).collect()
}

/// A file of GRUB for BIOS, as it is delivered.
pub(super) fn delivered(folder: &Path, name: &str) -> PathBuf {
    folder.join(PC.name).join(name)
}

impl Platform {
    /// GRUB's kernel of this platform.
    fn kernel(&self, folder: &Path) -> Result<Vec<u8>, MediumError> {
        let file = folder.join(self.name).join("kernel.img");
        if !file.exists() {
            return Err(MediumError::MissingGrub { file, firmware: self.firmware, from: self.from });
        }
        fs::read(&file).map_err(MediumError::file(file))
    }
}

/// What GRUB does first on a disk. `$root` is the disk (BIOS) or the partition (UEFI) that it came from, so that of two
/// copies of one stick the one that was started is taken.
fn on_disk(serial: u32) -> String {
    format!(
        "search --no-floppy --fs-uuid --set=root --hint \"$root\" --hint \"$root,gpt2\" {:04X}-{:04X}\n\
         set prefix=($root)/boot/grub\n",
        serial >> 16,
        serial & 0xffff
    )
}

/// What GRUB does first on a disc. Under UEFI, `$root` may be a partition of the image on a stick; the file system with the
/// files begins where the stick begins.
fn on_disc(file: &str) -> String {
    format!(
        "regexp --set=1:phase_disk '^([^,]*)' \"$root\"\n\
         search --no-floppy --file --set=root --hint \"$root\" --hint \"$phase_disk\" /{file}\n\
         set prefix=($root)/boot/grub\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_looked_for_by_its_number_and_near_itself_first() {
        let text = on_disk(0x0a1b_2c3d);
        assert!(text.contains("--fs-uuid --set=root --hint \"$root\" --hint \"$root,gpt2\" 0A1B-2C3D\n"), "{text}");
    }

    #[test]
    fn a_disc_is_looked_for_by_its_file_and_where_it_was_started_first() {
        let text = on_disc("boot/grub/x.id");
        assert!(text.contains("--hint \"$root\" --hint \"$phase_disk\" /boot/grub/x.id\n"), "{text}");
    }

    #[test]
    fn a_missing_grub_names_its_package() {
        let folder = tempfile::tempdir().unwrap();
        for (name, package) in
            [("i386-pc", "grub-pc-bin"), ("x86_64-efi", "grub-efi-amd64-bin"), ("i386-efi", "grub-efi-ia32-bin")]
        {
            let message = versions(folder.path(), Arch::X86_64).unwrap_err().to_string();
            assert!(message.ends_with(&format!("apt-get install {package}")), "{message}");
            assert!(message.contains(&format!("{name}/kernel.img is not there")), "{message}");
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("kernel.img"), name).unwrap();
        }
        assert_eq!(versions(folder.path(), Arch::X86_64).unwrap().len(), 3);
        let message = versions(folder.path(), Arch::Aarch64).unwrap_err().to_string();
        assert!(message.contains("arm64-efi/kernel.img is not there"), "{message}");
        assert!(message.contains("phase lab package grub-efi-arm64-bin --arch aarch64"), "{message}");
    }
}
