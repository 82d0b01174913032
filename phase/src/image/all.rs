//! `phase image all`: every way in that one kernel and one initramfs have, in one folder, with a list of digests.
//!
//! Guarantees: each file is the one that its own command makes of the same options; `SHA256SUMS` is written last, when all of
//! them are there; what fails before leaves the folder as it was.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::Context;
use init::mode::Mode;
use initramfs::pack::kernel::Arch;
use serde::Serialize;

use super::{
    disk::{self, DiskArgs, Format},
    folder::Folder,
    iso::{self, IsoArgs},
    parts::{Grub, Output, Parts},
    pxe::{self, PxeArgs},
    secure_boot::SecureBoot,
    uki::{self, Signing, Stub, UkiArgs},
};
use crate::{
    output::{self, Existing},
    tree,
};

/// The list of digests, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";
/// What the artefacts are called.
const DISK: &str = "phase.img";
const QCOW2: &str = "phase.qcow2";
const ISO: &str = "phase.iso";
const UKI: &str = "phase.efi";
const PXE: &str = "pxe";

/// Makes every artefact of a boot kernel and its initramfs: disk images, disc, UKI, and a folder for network boot.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct AllArgs {
    /// What is booted
    #[command(flatten)]
    pub parts: Parts,
    /// A published tree for the disk images and the disc to carry, which private mode boots from
    #[arg(long, value_name = "DIR")]
    pub release: Option<PathBuf>,
    /// Adds a partition PHASE-DATA (ext4) of so many MiB to the disk images
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    pub data: Option<u64>,
    /// Whether the disk images start under Secure Boot
    #[command(flatten)]
    pub secure_boot: SecureBoot,
    /// The mode of the UKI: internet, local or private; without it, Phase Boot's menu asks
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Who signs the UKI
    #[command(flatten)]
    pub signing: Signing,
    /// What the UKI begins with
    #[command(flatten)]
    pub stub: Stub,
    /// Where GRUB comes from
    #[command(flatten)]
    pub grub: Grub,
    /// Where the folder goes
    #[command(flatten)]
    pub folder: Folder,
}

const EXAMPLES: &str = "\
Makes phase.img (disk-image.md), phase.qcow2, phase.iso (iso.md), phase.efi (secure-boot.md), pxe/
(quick-start-pxe.md) and SHA256SUMS. A kernel for arm64 gets the same, for its UEFI alone; what that
takes is unpacked by `phase lab package` (quick-start-arm64.md).

Examples:
  phase image all --kernel vmlinuz --initramfs boot.cpio.zst --out images
  phase image all --kernel vmlinuz --initramfs boot.cpio.zst --release tree --data 64 --out images
  phase image all --kernel vmlinuz-arm64 --initramfs boot-arm64.cpio.zst --out images-arm64 \\
      --grub build/package/aarch64/grub-efi-arm64-bin/usr/lib/grub --stub \\
      build/package/aarch64/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxaa64.efi.stub
  (cd images && sha256sum --check SHA256SUMS)";

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder.
    pub out: PathBuf,
    /// The disk image.
    pub disk: disk::Report,
    /// The same as qcow2.
    pub qcow2: disk::Report,
    /// The disc.
    pub iso: iso::Report,
    /// The UEFI program.
    pub uki: uki::Report,
    /// The folder for network boot.
    pub pxe: pxe::Report,
    /// Every file but the list itself, by name.
    pub files: Vec<Sum>,
}

/// A file, and its digest.
#[derive(Debug, Serialize)]
pub struct Sum {
    /// Where it stands in the folder.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// Of its bytes, in hex.
    pub sha256: String,
}

/// Makes the folder.
///
/// # Errors
/// What any of the commands says; the folder is as it was then.
pub fn all(args: &AllArgs) -> anyhow::Result<Report> {
    args.folder.existing()?;
    args.parts.check(&Arch::ALL)?;
    let staging = args.folder.stage()?;
    let mut report = args.make(staging.path())?;
    let lines: Vec<String> = report.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    output::write(&staging.path().join(SUMS), lines.concat().as_bytes(), 0o644, Existing::Keep)?;
    let paths: Vec<&str> = report.files.iter().map(|file| file.path.as_str()).collect();
    staging.finish(&paths, Some(SUMS))?;
    report.stands_in(&args.folder.out);
    Ok(report)
}

/// Prints what was made.
pub fn print(report: &Report) {
    println!("folder       {}", report.out.display());
    for Sum { path, size, .. } in &report.files {
        println!("{:>9} KiB  {path}", size.div_ceil(1024));
    }
    println!("digests      {}", report.out.join(SUMS).display());
}

impl Report {
    /// Names the place of every artefact in `folder`.
    fn stands_in(&mut self, folder: &Path) {
        folder.clone_into(&mut self.out);
        self.disk.out = folder.join(DISK);
        self.qcow2.out = folder.join(QCOW2);
        self.iso.out = folder.join(ISO);
        self.uki.out = folder.join(UKI);
        self.pxe.out = folder.join(PXE);
    }
}

impl AllArgs {
    /// Makes every artefact in `folder`, which is empty.
    fn make(&self, folder: &Path) -> anyhow::Result<Report> {
        let mut report = Report {
            out: folder.to_owned(),
            disk: disk::disk(&self.disk(Format::Raw, folder.join(DISK))).context(DISK)?,
            qcow2: disk::disk(&self.disk(Format::Qcow2, folder.join(QCOW2))).context(QCOW2)?,
            iso: iso::iso(&self.iso(folder.join(ISO))).context(ISO)?,
            uki: uki::uki(&self.uki(folder.join(UKI))).context(UKI)?,
            pxe: pxe::pxe(&self.pxe(folder.join(PXE))).context(PXE)?,
            files: Vec::new(),
        };
        report.files = sums(&report)?;
        Ok(report)
    }

    fn disk(&self, format: Format, out: PathBuf) -> DiskArgs {
        DiskArgs {
            parts: self.parts.clone(),
            release: self.release.clone(),
            data: self.data,
            secure_boot: self.secure_boot.clone(),
            format,
            grub: self.grub.clone(),
            output: new_file(out),
        }
    }

    fn iso(&self, out: PathBuf) -> IsoArgs {
        let (release, grub) = (self.release.clone(), self.grub.clone());
        IsoArgs { parts: self.parts.clone(), release, grub, output: new_file(out) }
    }

    fn uki(&self, out: PathBuf) -> UkiArgs {
        let (signing, stub) = (self.signing.clone(), self.stub.clone());
        UkiArgs { parts: self.parts.clone(), mode: self.mode, signing, stub, output: new_file(out) }
    }

    fn pxe(&self, out: PathBuf) -> PxeArgs {
        let folder = Folder { out, force: false, json: false };
        PxeArgs { parts: self.parts.clone(), grub: self.grub.clone(), server: None, folder }
    }
}

fn new_file(out: PathBuf) -> Output {
    Output { out, force: false, json: false }
}

/// The digest of every file that was made, by name.
fn sums(report: &Report) -> anyhow::Result<Vec<Sum>> {
    let network = report.pxe.files.iter().map(|file| format!("{PXE}/{}", file.path));
    let images = [DISK, QCOW2, ISO, UKI].map(str::to_owned);
    let mut paths: Vec<String> = images.into_iter().chain(network).collect();
    paths.sort();
    paths.into_iter().map(|path| sum(&report.out, path)).collect()
}

fn sum(folder: &Path, path: String) -> anyhow::Result<Sum> {
    let hashed = File::open(folder.join(&path)).and_then(|file| tree::hash(file, |_| Ok(())));
    let (size, digest) = hashed.with_context(|| format!("cannot read {path} of {}", folder.display()))?;
    Ok(Sum { path, size, sha256: digest.to_string() })
}
