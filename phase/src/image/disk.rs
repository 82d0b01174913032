//! `phase image disk`: one disk image that PCs with BIOS, 64-bit UEFI and 32-bit UEFI start from, as stick or as disk; or with a
//! kernel for arm64, that its machines with UEFI start from.
//!
//! It carries a boot initramfs as it is given, which is looked into: one for stage two is refused, and if its config.json names
//! a partition to remember on, PHASE-DATA becomes that partition.

use std::path::PathBuf;

use initramfs::{
    image::{Data, Disk, Label, Made, qcow2},
    pack::kernel::Arch,
};
use serde::Serialize;

use super::{
    parts::{Checked, Grub, Output, Parts},
    secure_boot::SecureBoot,
};
use crate::{output, progress};

/// Makes a disk image for `dd`: GPT, with GRUB for BIOS and for UEFI of 64 and 32 bits; of a kernel for arm64, for its UEFI.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DiskArgs {
    /// What is booted
    #[command(flatten)]
    pub parts: Parts,
    /// A published tree to carry, which private mode boots from; the boot partition is labelled PHASE then
    #[arg(long, value_name = "DIR")]
    pub release: Option<PathBuf>,
    /// Adds a partition PHASE-DATA (ext4) of so many MiB, where the machine remembers what it acknowledged
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    pub data: Option<u64>,
    /// Whether it starts under Secure Boot
    #[command(flatten)]
    pub secure_boot: SecureBoot,
    /// The form of the image
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where GRUB comes from
    #[command(flatten)]
    pub grub: Grub,
    /// Where the image goes
    #[command(flatten)]
    pub output: Output,
}

/// The form of a disk image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As it stands on the disk: for dd and for every virtual machine
    #[default]
    Raw,
    /// For QEMU and what is built on it; what is empty takes no room
    Qcow2,
}

const EXAMPLES: &str = "\
Examples:
  phase image disk --kernel vmlinuz --initramfs boot.cpio.zst --out stick.img
  phase image disk --kernel vmlinuz --initramfs boot.cpio.zst --release tree \\
      --data 64 --out stick.img
  phase image disk --kernel vmlinuz --initramfs boot.cpio.zst --format qcow2 --out phase.qcow2
  phase image disk --kernel vmlinuz-arm64 --initramfs boot-arm64.cpio.zst \\
      --grub build/package/aarch64/grub-efi-arm64-bin/usr/lib/grub --out arm64.img
  phase image disk --kernel vmlinuz --initramfs boot.cpio.zst --secure-boot --out stick.img

To remember on the image's own PHASE-DATA, think of a GUID for it
(cat /proc/sys/kernel/random/uuid) and make the initramfs with --state disk:GUID; the partition
gets it.";

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub out: PathBuf,
    /// Its form.
    pub format: Format,
    /// Bytes of the disk.
    pub size: u64,
    /// The GUID of the disk.
    pub guid: String,
    /// The serial number of the boot partition's file system, as blkid prints it.
    pub boot_serial: String,
    /// The PARTUUID of PHASE-DATA.
    pub data_partuuid: Option<String>,
    /// The PARTUUID that the initramfs remembers on, whichever disk has it.
    pub remembers_on: Option<String>,
}

/// Makes the image and writes it.
///
/// # Errors
/// Kernel, initramfs or tree are not what a machine would take, a program or GRUB is missing, or the output exists.
pub fn disk(args: &DiskArgs) -> anyhow::Result<Report> {
    let existing = args.output.existing()?;
    let Checked { kernel, remembers_on } = args.parts.check(&Arch::ALL)?;
    let loaders = args.secure_boot.loaders(&args.parts, kernel.arch, &args.grub)?;
    let disk = Disk {
        arch: kernel.arch,
        grub: args.grub.folder.clone(),
        files: [args.parts.medium(args.release.as_deref())?, loaders].concat(),
        label: if args.release.is_some() { Label::Release } else { Label::Boot },
        data: args.data.map(|mib| Data { size: mib << 20, partuuid: remembers_on }),
        mtime: args.parts.mtime,
    };
    let mut image = output::temporary_beside(&args.output.out)?;
    let bar = progress::spinner("making the disk");
    let Made { size, guid, serial, data } = disk.write(image.path())?;
    if args.format == Format::Qcow2 {
        let raw = std::mem::replace(&mut image, output::temporary_beside(&args.output.out)?);
        qcow2(raw.path(), image.path())?;
    }
    bar.finish_and_clear();
    output::persist(image, &args.output.out, 0o644, existing)?;
    Ok(Report {
        out: args.output.out.clone(),
        format: args.format,
        size,
        guid: guid.to_string(),
        boot_serial: format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff),
        data_partuuid: data.map(|guid| guid.to_string()),
        remembers_on: remembers_on.map(|guid| guid.to_string()),
    })
}

/// Prints what was made.
pub fn print(report: &Report) {
    println!("disk         {}", report.out.display());
    println!("size         {} MiB", report.size >> 20);
    println!("GUID         {}", report.guid);
    println!("boot         FAT32, serial number {}", report.boot_serial);
    match (&report.data_partuuid, &report.remembers_on) {
        (Some(data), Some(_)) => println!("PHASE-DATA   {data}, where the initramfs remembers"),
        (Some(data), None) => {
            println!("PHASE-DATA   {data}; the initramfs does not use it (phase image initramfs --state disk:{data})");
        }
        (None, Some(other)) => println!("PHASE-DATA   not here: the initramfs remembers on {other} (--data adds it)"),
        (None, None) => {}
    }
}
