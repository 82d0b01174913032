//! A unified kernel image (UKI): one UEFI program that is the kernel, the initramfs and the command line, so that one
//! signature is over all of them.
//!
//! Guarantees: the sections that were put into systemd's stub stand behind its own and behind each other, hold exactly
//! what was given, and the same content and time give the same bytes (a signature has a time in it, and differs).
//! Sources: the UAPI group's specification "Unified Kernel Image", systemd-stub(7).

use std::{
    ffi::OsString,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    MediumError,
    pe::{Pe, Section},
    program::Program,
};
use crate::pack::kernel::Arch;

/// Where Debian's package of the stub puts it.
const STUBS: &str = "/usr/lib/systemd/boot/efi";
/// What every systemd-stub says of itself: in a section `.sdmagic`, which that of Debian 12 for arm64 does not have apart.
const MAGIC: &[u8] = b"#### LoaderInfo: systemd-stub ";
/// Sections begin at a page, whatever the stub says: firmware protects memory by pages.
const PAGE: u64 = 4096;
/// The format counts in 32 bits, and firmware in signed ones here and there.
const LARGEST: u64 = i32::MAX as u64;

const X86_OBJCOPY: Program = Program { name: "objcopy", package: "binutils" };
const ARM_OBJCOPY: Program = Program { name: "aarch64-linux-gnu-objcopy", package: "binutils-aarch64-linux-gnu" };
const SBSIGN: Program = Program { name: "sbsign", package: "sbsigntool" };
const SBVERIFY: Program = Program { name: "sbverify", package: "sbsigntool" };

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Uki<'a> {
    /// systemd's stub; Debian's for the architecture, if none is named.
    pub stub: Option<PathBuf>,
    /// The kernel, a UEFI program itself.
    pub kernel: &'a [u8],
    /// What the kernel is for.
    pub arch: Arch,
    /// The kernel's version (`uname -r`), if it says one.
    pub version: Option<&'a str>,
    /// The initramfs.
    pub initramfs: &'a [u8],
    /// All that the kernel is told. Under Secure Boot nobody adds to it.
    pub command_line: &'a str,
    /// What boot menus call it: the lines of an os-release(5).
    pub os_release: &'a str,
    /// The time of the program's header in seconds since 1970.
    pub mtime: u32,
}

/// Who signs: an RSA key and its certificate, both PEM.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The private key.
    pub key: PathBuf,
    /// Its certificate, which the firmware's `db` has to have.
    pub certificate: PathBuf,
}

/// Why there is no UKI.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// A file or a program.
    #[error(transparent)]
    Host(#[from] MediumError),
    /// There is no stub.
    #[error("{} is not there, which a UKI begins with: {from}", file.display())]
    MissingStub {
        /// The file that was looked for.
        file: PathBuf,
        /// What brings Debian's for this architecture.
        from: &'static str,
    },
    /// The kernel cannot be started by a UEFI.
    #[error("the kernel is no UEFI program: {seen}; wanted one with CONFIG_EFI_STUB")]
    Kernel {
        /// What was seen.
        seen: String,
    },
    /// The stub is something else.
    #[error("{} is no stub that can be used: {seen}; wanted systemd's linux*.efi.stub", file.display())]
    Stub {
        /// The file.
        file: PathBuf,
        /// What was seen.
        seen: String,
    },
    /// The parts are too large.
    #[error("stub, initramfs and kernel take {seen} bytes; a UEFI program has at most {LARGEST}")]
    TooLarge {
        /// Bytes.
        seen: u64,
    },
    /// objcopy made something else.
    #[error("what {program} made cannot be started: {seen}")]
    Made {
        /// Its name.
        program: &'static str,
        /// What was seen.
        seen: String,
    },
}

/// Addresses for sections.
struct Places {
    /// Nothing stands there or behind.
    start: u64,
    /// Each begins at a multiple of it, which is that of the stub's own sections or more.
    alignment: u64,
}

/// A section that is put in.
struct Added {
    name: &'static str,
    address: u64,
    file: PathBuf,
}

impl Uki<'_> {
    /// The program's bytes, unsigned.
    ///
    /// # Errors
    /// The stub or objcopy is missing, one of the parts is something else, or all of it is too large.
    pub fn make(&self) -> Result<Vec<u8>, UkiError> {
        Pe::parse(self.kernel).map_err(|error| UkiError::Kernel { seen: error.to_string() })?;
        let file = self.stub.clone().unwrap_or_else(|| Path::new(STUBS).join(stub_name(self.arch)));
        if !file.exists() {
            return Err(UkiError::MissingStub { file, from: stub_from(self.arch) });
        }
        let stub = fs::read(&file).map_err(MediumError::file(&file))?;
        let places = self.behind(&stub).map_err(|seen| UkiError::Stub { file: file.clone(), seen })?;
        let work = tempfile::tempdir().map_err(MediumError::file(std::env::temp_dir()))?;
        let parts = self.parts();
        let added = placed(&parts, &places, work.path())?;
        let out = work.path().join("uki");
        let objcopy = objcopy(self.arch);
        let mut command = objcopy.command()?;
        // The stub's symbols stand behind its sections, where programs that sign do not like anything.
        command.arg("--strip-all");
        for Added { name, address, file } in &added {
            let mut content = OsString::from(format!("{name}="));
            content.push(file);
            command.arg("--add-section").arg(content);
            command.arg("--change-section-vma").arg(format!("{name}={address:#x}"));
            command.arg("--set-section-flags").arg(format!("{name}=data,readonly"));
        }
        command.arg(&file).arg(&out);
        objcopy.run(command)?;
        let mut made = fs::read(&out).map_err(MediumError::file(&out))?;
        let stamps = check(&made, &parts).map_err(|seen| UkiError::Made { program: objcopy.name, seen })?;
        // objcopy's checksum is one over the time at which it ran.
        for (place, value) in stamps.into_iter().zip([self.mtime, 0]) {
            if let Some(stamp) = made.get_mut(place) {
                stamp.copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(made)
    }

    /// What is put in, in this order; the names are systemd-stub's.
    fn parts(&self) -> Vec<(&'static str, &[u8])> {
        let mut parts = vec![(".osrel", self.os_release.as_bytes())];
        parts.extend(self.version.map(|version| (".uname", version.as_bytes())));
        parts.push((".cmdline", self.command_line.as_bytes()));
        parts.extend([(".initrd", self.initramfs), (".linux", self.kernel)]);
        parts
    }

    /// Where sections may stand behind the stub's own; what was seen, if it is not a stub for this.
    fn behind(&self, bytes: &[u8]) -> Result<Places, String> {
        let stub = Pe::parse(bytes).map_err(|error| format!("{error}"))?;
        if stub.arch() != Some(self.arch) {
            return Err(format!("it is not for {}", self.arch.as_str()));
        }
        if !bytes.windows(MAGIC.len()).any(|window| window == MAGIC) {
            return Err("it does not say that it is a systemd-stub".to_owned());
        }
        let sections = stub.sections();
        let taken = |section: &&Section| self.parts().iter().any(|(name, _)| *name == section.name);
        if let Some(section) = sections.iter().find(taken) {
            return Err(format!("it has a section {} already", section.name));
        }
        let end = sections.iter().map(|section| section.addresses.end).max().unwrap_or(0);
        Ok(Places { start: end, alignment: stub.alignment().max(PAGE) })
    }
}

impl Signer {
    /// Signs the UEFI program at `program`, and verifies what became of it. sbsign asks for the passphrase, if the key has one.
    ///
    /// # Errors
    /// sbsigntool is missing, or key and certificate do not fit each other.
    pub fn sign(&self, program: &Path) -> Result<(), MediumError> {
        let mut sign = SBSIGN.command()?;
        sign.arg("--key").arg(&self.key).arg("--cert").arg(&self.certificate).arg("--output").args([program; 2]);
        SBSIGN.run(sign)?;
        let mut verify = SBVERIFY.command()?;
        verify.arg("--cert").arg(&self.certificate).arg(program);
        SBVERIFY.run(verify)
    }
}

/// Writes the parts to files for objcopy, and gives each its address.
fn placed(parts: &[(&'static str, &[u8])], places: &Places, work: &Path) -> Result<Vec<Added>, UkiError> {
    let Places { start, alignment } = *places;
    let mut address = start.next_multiple_of(alignment);
    let mut added = Vec::new();
    for (name, bytes) in parts {
        let file = work.join(name);
        fs::write(&file, bytes).map_err(MediumError::file(&file))?;
        added.push(Added { name, address, file });
        address = (address + bytes.len() as u64).next_multiple_of(alignment);
    }
    if address > LARGEST { Err(UkiError::TooLarge { seen: address }) } else { Ok(added) }
}

/// What systemd calls its stub.
fn stub_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "linuxx64.efi.stub",
        Arch::Aarch64 => "linuxaa64.efi.stub",
    }
}

/// What brings it. Debian's package for arm64 cannot be installed on a PC beside that of its own.
fn stub_from(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "apt-get install systemd-boot-efi",
        Arch::Aarch64 => {
            "phase lab package systemd-boot-efi --arch aarch64, and --stub \
             build/package/aarch64/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxaa64.efi.stub"
        }
    }
}

/// Debian's objcopy knows the programs of its own architecture only.
fn objcopy(arch: Arch) -> Program {
    match arch {
        Arch::X86_64 => X86_OBJCOPY,
        Arch::Aarch64 => ARM_OBJCOPY,
    }
}

/// Looks at what objcopy made: every part is there as it was given, and no section overlaps another. Returns where time stamp
/// and checksum stand, or what was seen.
fn check(made: &[u8], parts: &[(&str, &[u8])]) -> Result<[Range<usize>; 2], String> {
    let program = Pe::parse(made).map_err(|error| error.to_string())?;
    for (name, given) in parts {
        if program.content(name) != Some(given) {
            return Err(format!("its section {name} is not what was put in"));
        }
    }
    let mut sections = program.sections();
    sections.sort_by_key(|section| section.addresses.start);
    for (one, next) in sections.iter().zip(sections.iter().skip(1)) {
        if one.addresses.end > next.addresses.start {
            return Err(format!("its sections {} and {} overlap", one.name, next.name));
        }
    }
    Ok(program.stamps())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_begins_where_the_stub_lets_sections_begin() {
        let work = tempfile::tempdir().unwrap();
        let parts: [(&str, &[u8]); 3] = [(".osrel", b"a"), (".cmdline", &[b'b'; 0x2001]), (".linux", b"c")];
        let places = Places { start: 0x2345, alignment: 0x2000 };
        let added = placed(&parts, &places, work.path()).unwrap();
        let addresses: Vec<u64> = added.iter().map(|added| added.address).collect();
        assert_eq!(addresses, [0x4000, 0x6000, 0xa000]);
        // What no file can hold is an error, not an overflow.
        let places = Places { start: u64::from(u32::MAX), alignment: u64::from(u32::MAX) };
        assert!(matches!(placed(&parts, &places, work.path()), Err(UkiError::TooLarge { .. })));
    }
}
