//! `phase image iso`: one disc that PCs with BIOS, 64-bit UEFI and 32-bit UEFI start from, burnt, as a virtual disc, or
//! written to a stick; or with a kernel for arm64, that its machines with UEFI start from.

use std::path::PathBuf;

use initramfs::{
    image::{Disc, Label, MadeDisc},
    pack::kernel::Arch,
};
use serde::Serialize;

use super::parts::{Checked, Grub, Output, Parts};
use crate::{output, progress};

/// Makes an ISO image: a disc, or a stick by `dd`, with GRUB for BIOS and for UEFI of 64 and 32 bits; of a kernel for arm64, for
/// its UEFI.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct IsoArgs {
    /// What is booted
    #[command(flatten)]
    pub parts: Parts,
    /// A published tree to carry, which private mode boots from; the disc is labelled PHASE then
    #[arg(long, value_name = "DIR")]
    pub release: Option<PathBuf>,
    /// Where GRUB comes from
    #[command(flatten)]
    pub grub: Grub,
    /// Where the image goes
    #[command(flatten)]
    pub output: Output,
}

const EXAMPLES: &str = "\
Examples:
  phase image iso --kernel vmlinuz --initramfs boot.cpio.zst --out phase.iso
  phase image iso --kernel vmlinuz --initramfs boot.cpio.zst --release tree --out phase.iso
  phase image iso --kernel vmlinuz-arm64 --initramfs boot-arm64.cpio.zst \\
      --grub build/package/aarch64/grub-efi-arm64-bin/usr/lib/grub --out arm64.iso

A disc cannot remember anything: an initramfs made with --state disk:GUID remembers on
whichever disk of the machine has that partition.";

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub out: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The name of its file system.
    pub label: &'static str,
    /// The GUID of its partition table, which counts where it is written to a stick.
    pub guid: String,
    /// The PARTUUID that the initramfs remembers on, whichever disk has it.
    pub remembers_on: Option<String>,
}

/// Makes the image and writes it.
///
/// # Errors
/// Kernel, initramfs or tree are not what a machine would take, a program or GRUB is missing, or the output exists.
pub fn iso(args: &IsoArgs) -> anyhow::Result<Report> {
    let existing = args.output.existing()?;
    let Checked { kernel, remembers_on } = args.parts.check(&Arch::ALL)?;
    let label = if args.release.is_some() { Label::Release } else { Label::Boot };
    let disc = Disc {
        arch: kernel.arch,
        grub: args.grub.folder.clone(),
        files: args.parts.medium(args.release.as_deref())?,
        label,
        mtime: args.parts.mtime,
    };
    let image = output::temporary_beside(&args.output.out)?;
    let bar = progress::spinner("making the disc");
    let MadeDisc { size, guid } = disc.write(image.path())?;
    bar.finish_and_clear();
    output::persist(image, &args.output.out, 0o644, existing)?;
    Ok(Report {
        out: args.output.out.clone(),
        size,
        label: label.as_str(),
        guid: guid.to_string(),
        remembers_on: remembers_on.map(|guid| guid.to_string()),
    })
}

/// Prints what was made.
pub fn print(report: &Report) {
    println!("disc         {}", report.out.display());
    println!("size         {} MiB", report.size.div_ceil(1 << 20));
    println!("label        {}", report.label);
    println!("GUID         {}, on a stick", report.guid);
    if let Some(partuuid) = &report.remembers_on {
        println!("PHASE-DATA   not here: the initramfs remembers on {partuuid}");
    }
}
