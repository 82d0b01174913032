//! `phase image all`: every way in that one kernel and one initramfs have, in one folder, with a list of digests.
//!
//! Guarantees: each file is the one that its own command makes of the same options; `SHA256SUMS` is written last, when all of
//! them are there.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use init::mode::Mode;
use initramfs::pack::kernel::Arch;
use serde::Serialize;

use super::{
    disk::{self, DiskArgs, Format},
    iso::{self, IsoArgs},
    parts::{Grub, Output, Parts},
    pxe::{self, PxeArgs},
    secure_boot::SecureBoot,
    uki::{self, UkiArgs},
};
use crate::{
    output::{self, Existing},
    tree,
};

/// The list of digests, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

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
    /// The private key (PEM) that the UKI is signed with
    #[arg(long, value_name = "FILE", requires = "sign_cert")]
    pub sign_key: Option<PathBuf>,
    /// The key's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub sign_cert: Option<PathBuf>,
    /// Where GRUB comes from
    #[command(flatten)]
    pub grub: Grub,
    /// The folder to make; an empty one may be there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Put the files into a folder that has some already, and replace those of the same names
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Makes phase.img (disk-image.md), phase.qcow2, phase.iso (iso.md), phase.efi (secure-boot.md), pxe/
(quick-start-pxe.md) and SHA256SUMS.

Examples:
  phase image all --kernel vmlinuz --initramfs boot.cpio.zst --out images
  phase image all --kernel vmlinuz --initramfs boot.cpio.zst --release tree --data 64 --out images
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
/// What any of the commands says; those that were made before stay, without a list.
pub fn all(args: &AllArgs) -> anyhow::Result<Report> {
    let existing = Existing::from_force(args.force);
    if existing == Existing::Keep {
        pxe::refuse_files(&args.out)?;
    }
    args.parts.check(&[Arch::X86_64])?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    // A list of what was there before would be wrong from the first new file on.
    match fs::remove_file(args.out.join(SUMS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {} of {}", SUMS, args.out.display()));
        }
        _ => {}
    }
    let report = Report {
        out: args.out.clone(),
        disk: disk::disk(&args.disk(Format::Raw, "phase.img")).context("phase.img")?,
        qcow2: disk::disk(&args.disk(Format::Qcow2, "phase.qcow2")).context("phase.qcow2")?,
        iso: iso::iso(&args.iso()).context("phase.iso")?,
        uki: uki::uki(&args.uki()).context("phase.efi")?,
        pxe: pxe::pxe(&args.pxe()).context("pxe/")?,
        files: Vec::new(),
    };
    let files = sums(&report)?;
    let lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    output::write(&args.out.join(SUMS), lines.concat().as_bytes(), 0o644, existing)?;
    Ok(Report { files, ..report })
}

/// Prints what was made.
pub fn print(report: &Report) {
    println!("folder       {}", report.out.display());
    for Sum { path, size, .. } in &report.files {
        println!("{:>9} KiB  {path}", size.div_ceil(1024));
    }
    println!("digests      {}", report.out.join(SUMS).display());
}

impl AllArgs {
    fn output(&self, name: &str) -> Output {
        Output { out: self.out.join(name), force: self.force, json: false }
    }

    fn disk(&self, format: Format, name: &str) -> DiskArgs {
        DiskArgs {
            parts: self.parts.clone(),
            release: self.release.clone(),
            data: self.data,
            secure_boot: self.secure_boot.clone(),
            format,
            grub: self.grub.clone(),
            output: self.output(name),
        }
    }

    fn iso(&self) -> IsoArgs {
        IsoArgs {
            parts: self.parts.clone(),
            release: self.release.clone(),
            grub: self.grub.clone(),
            output: self.output("phase.iso"),
        }
    }

    fn uki(&self) -> UkiArgs {
        UkiArgs {
            parts: self.parts.clone(),
            mode: self.mode,
            sign_key: self.sign_key.clone(),
            sign_cert: self.sign_cert.clone(),
            stub: None,
            output: self.output("phase.efi"),
        }
    }

    fn pxe(&self) -> PxeArgs {
        PxeArgs {
            parts: self.parts.clone(),
            grub: self.grub.clone(),
            server: None,
            out: self.out.join("pxe"),
            force: self.force,
            json: false,
        }
    }
}

/// The digest of every file that was made, by name.
fn sums(report: &Report) -> anyhow::Result<Vec<Sum>> {
    let network = report.pxe.files.iter().map(|file| format!("pxe/{}", file.path));
    let images = ["phase.efi", "phase.img", "phase.iso", "phase.qcow2"].map(str::to_owned);
    let mut paths: Vec<String> = images.into_iter().chain(network).collect();
    paths.sort();
    paths.into_iter().map(|path| sum(&report.out, path)).collect()
}

fn sum(folder: &Path, path: String) -> anyhow::Result<Sum> {
    let hashed = File::open(folder.join(&path)).and_then(|file| tree::hash(file, |_| Ok(())));
    let (size, digest) = hashed.with_context(|| format!("cannot read {path} of {}", folder.display()))?;
    Ok(Sum { path, size, sha256: digest.to_string() })
}
