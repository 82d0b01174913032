//! `phase image write`: shows the disks that can be carried around, and writes an image to one of them.
//!
//! Guarantees: the disk below `/`, what is mounted, swapped to or otherwise in use, partitions, and disks that are read-only
//! or too small are refused before one byte is written; nothing is written until the disk's name was typed or given; what
//! was written is read back from the disk and compared.

mod contents;
mod copy;
mod disks;
#[cfg(test)]
mod fixture;
mod list;
mod picture;
mod refusal;
mod uses;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, IsTerminal, Write as _},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use indicatif::HumanBytes;
use rustix::fs::{major, minor};
use serde::Serialize;

use disks::Disk;
use picture::Picture;
use uses::Use;

use crate::output;

/// Exit status when the disk was changed and does not hold the image.
const SPOILED: u8 = 3;

/// Writes an image to a stick, a card or a disk, and reads it back; without DEVICE, shows the disks that there are.
#[derive(clap::Args)]
#[command(after_help = "\
Without DEVICE, or with --list, nothing is written: the disks that can be carried around are shown, what
is on them, and what speaks against writing to each.

Examples:
  phase image write
  phase image write --image phase.img /dev/sdb
  phase image write --image phase.img --yes-write-to sdb /dev/disk/by-id/usb-SanDisk_Ultra_0001-0:0

Exit status: 0 written and read back, 1 refused or failed and nothing was written, 2 wrong usage,
3 the disk was written to and does not hold the image.")]
pub struct WriteArgs {
    /// The whole disk to write to, /dev/sdb say, or a link to it
    #[arg(value_name = "DEVICE", requires = "image")]
    pub device: Option<PathBuf>,
    /// The raw image to write
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Only show the disks
    #[arg(long, conflicts_with = "device")]
    pub list: bool,
    /// Disks that are built in count too, and loop devices. What is in use is refused all the same
    #[arg(long)]
    pub any_disk: bool,
    /// Write without asking, if this is the kernel's name of DEVICE (sdb); for scripts
    #[arg(long, value_name = "NAME", requires = "device")]
    pub yes_write_to: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was written; `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    /// The image.
    image: PathBuf,
    /// The disk.
    device: PathBuf,
    /// Bytes that were written and read back.
    size: u64,
    /// Of these bytes.
    sha256: String,
    /// Whether the kernel has read the new partition table.
    table_read: bool,
}

/// The disks of a machine and what they are used for, at one moment.
struct Survey {
    disks: Vec<Disk>,
    uses: BTreeSet<Use>,
}

impl Survey {
    /// Reads `sys` and `proc` below `root`.
    fn of(root: &Path) -> anyhow::Result<Self> {
        let disks = disks::scan(root)?;
        let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read /{path}"));
        let own = read("proc/self/mountinfo")?;
        // No swap in this kernel: no such file.
        let swaps = read("proc/swaps").unwrap_or_default();
        let mut uses = uses::find(&disks, &own, &swaps);
        // What is mounted outside of a container or a `unshare --mount` can be seen by root only; the kernel's own check in
        // `copy::open_alone` holds for everybody.
        if let Ok(first) = read("proc/1/mountinfo") {
            uses.extend(uses::find(&disks, &first, &swaps));
        }
        Ok(Self { disks, uses })
    }

    /// The disk that `device` names, and its place.
    fn disk(&self, device: &Path) -> anyhow::Result<(PathBuf, &Disk)> {
        let hint = "`phase image write` shows the disks that there are";
        let path = device.canonicalize().with_context(|| format!("there is no {}; {hint}", device.display()))?;
        let metadata = path.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
        ensure!(metadata.file_type().is_block_device(), "{} is not a disk; {hint}", path.display());
        let number = format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev()));
        if let Some(disk) = self.disks.iter().find(|disk| disk.number == number) {
            return Ok((path, disk));
        }
        for disk in &self.disks {
            if let Some(part) = disk.partitions.iter().find(|part| part.number == number) {
                let (index, whole) = (part.index, disk.path());
                bail!("{} is partition {index} of {whole}; an image is written to a whole disk", path.display());
            }
        }
        bail!("{} ({number}) is not in /sys/block; {hint}", path.display())
    }
}

/// Runs the command.
///
/// # Errors
/// The image or the disk is refused, nobody agreed, or the disk cannot be opened; nothing was written then.
pub(super) fn run(args: &WriteArgs) -> anyhow::Result<ExitCode> {
    let image = args.image.as_deref().map(picture::open).transpose()?;
    let survey = Survey::of(Path::new("/"))?;
    match (&args.device, image) {
        (Some(device), Some((file, picture))) => write(args, &survey, device, file, picture),
        // clap has seen to it that there is an image where there is a device.
        (_, image) => {
            let listed = list::of(&survey, image.map(|(_, picture)| picture).as_ref(), args.any_disk);
            output::show(&listed, args.json, |listed| list::print(listed, args.any_disk))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn write(
    args: &WriteArgs,
    survey: &Survey,
    device: &Path,
    mut image: fs::File,
    picture: Picture,
) -> anyhow::Result<ExitCode> {
    const NOTHING: &str = "nothing was written";
    let (path, disk) = survey.disk(device).context(NOTHING)?;
    allowed(survey, disk, &picture, args.any_disk).context(NOTHING)?;
    let mut file = copy::open_alone(&path, disk).context(NOTHING)?;
    // Between the look and the opening the stick may have been exchanged, or mounted and left again.
    let now = Survey::of(Path::new("/"))?;
    ensure!(now.disks.contains(disk), "{NOTHING}: {} changed while it was looked at; try again", disk.name);
    allowed(&now, disk, &picture, args.any_disk).context(NOTHING)?;
    agree(args, &now, disk, &picture).context(NOTHING)?;
    let outcome = copy::write(&mut image, &mut file, picture.size)
        .and_then(|digests| copy::read_back(&mut file, picture.size, &digests).map(|()| digests));
    // Closed, so that the kernel may read the partition table.
    drop(file);
    let digests = match outcome {
        Ok(digests) => digests,
        Err(error) => {
            eprintln!("phase: {error:#}");
            eprintln!(
                "       {} does not hold the image now, and what it held may be gone; write it again",
                path.display()
            );
            return Ok(ExitCode::from(SPOILED));
        }
    };
    let table = copy::reread_table(&path);
    if let Err(error) = &table {
        eprintln!(
            "phase: warning: the kernel did not read the new partition table ({error:#}); to see its partitions here, plug it in again"
        );
    }
    let image = args.image.clone().unwrap_or_default();
    let report = Report { image, device: path, size: picture.size, sha256: digests.whole, table_read: table.is_ok() };
    output::show(&report, args.json, |report| print(report, disk, &picture))?;
    Ok(ExitCode::SUCCESS)
}

fn allowed(survey: &Survey, disk: &Disk, picture: &Picture, any_disk: bool) -> anyhow::Result<()> {
    match refusal::refusal(disk, &survey.uses, Some(picture), any_disk) {
        Some(refusal) => bail!("{refusal}"),
        None => Ok(()),
    }
}

/// Says what will be lost, and has the name of the disk typed.
fn agree(args: &WriteArgs, survey: &Survey, disk: &Disk, picture: &Picture) -> anyhow::Result<()> {
    let name = &disk.name;
    if let Some(given) = &args.yes_write_to {
        ensure!(given == name, "--yes-write-to says {given}, and this disk is {name}");
        return Ok(());
    }
    ensure!(
        io::stdin().is_terminal(),
        "standard input is not a terminal, so nobody can be asked; a script says --yes-write-to {name}"
    );
    let device = list::Device::new(disk, &survey.uses, Some(picture), args.any_disk);
    eprintln!("All that is on this disk will be lost:\n");
    eprintln!("{device}\n");
    eprint!("To write {} to it, type its name, {name}: ", HumanBytes(picture.size));
    io::stderr().flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).context("cannot read what is typed")?;
    ensure!(typed.trim() == name, "{:?} was typed, and this disk is {name}", typed.trim());
    Ok(())
}

fn print(report: &Report, disk: &Disk, picture: &Picture) {
    println!("written      {}, {}, to {}", report.image.display(), HumanBytes(report.size), report.device.display());
    println!("read back    the same: SHA-256 {}", report.sha256);
    if picture.gpt_sector.is_some() && picture.size < disk.size {
        println!(
            "GPT          its backup stands at the end of the image, not of the disk; it is read only if the first"
        );
        println!("             one is damaged. `sgdisk -e {}` moves it", report.device.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survey_sees_mounts_of_both_namespaces() {
        let machine = fixture::Machine::laptop();
        let used = |survey: &Survey, disk: &str| survey.uses.iter().any(|found| found.disk == disk);
        let survey = Survey::of(machine.root()).unwrap();
        assert!(used(&survey, "nvme0n1") && !used(&survey, "sdb"));
        machine.file("proc/1/mountinfo", "9 1 8:18 / /srv rw - ext4 /dev/sdb2 rw");
        assert!(used(&Survey::of(machine.root()).unwrap(), "sdb"));
    }

    #[test]
    fn what_is_no_disk_is_named() {
        let machine = fixture::Machine::laptop();
        let survey = Survey::of(machine.root()).unwrap();
        let said = |path: &Path| format!("{:#}", survey.disk(path).unwrap_err());
        assert!(said(Path::new("/dev/none")).starts_with("there is no /dev/none; `phase image write` shows"));
        assert_eq!(
            said(Path::new("/dev/null")),
            "/dev/null is not a disk; `phase image write` shows the disks that there are"
        );
        let file = machine.root().join("proc/swaps");
        assert!(said(&file).contains("is not a disk"), "{}", said(&file));
    }
}
