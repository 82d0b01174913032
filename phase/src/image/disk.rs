//! `phase image disk`: one disk image that PCs with BIOS, 64-bit UEFI and 32-bit UEFI start from, as stick or as disk.
//!
//! It carries a boot initramfs as it is given, which is looked into: one for stage two is refused, and if its config.json names
//! a partition to remember on, PHASE-DATA becomes that partition.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use initramfs::{
    image::{BootFile, Content, Data, Disk, GRUB_FOLDER, Label, Made, Uuid},
    newc::Archive,
    pack::{
        compress::Format,
        kernel::{Arch, KernelInfo},
        size::Limits,
    },
};
use serde::Serialize;
use verify::{Fields, LIMITS, Store};

use super::config;
use crate::{
    cli::UsageError,
    output::{self, Existing},
    progress,
};

/// The menu's entries, and the configuration around them.
const ENTRIES: &str = include_str!("../../../grub/phase.cfg");
const CONFIGURATION: &str = include_str!("../../../grub/image.cfg");
/// What published trees call a release, in the folder of its channel and architecture.
const MANIFEST: &str = "manifest.dsse.json";
/// Largest kernel in bytes.
const KERNEL_BYTES: u64 = 1 << 30;
/// Longest `--parameters`: with the menu's own they stay below the 2,048 bytes of x86 kernels.
const PARAMETERS: usize = 1024;

/// Makes a disk image for `dd`: GPT, with GRUB for BIOS and for UEFI of 64 and 32 bits.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DiskArgs {
    /// The boot kernel, an `x86_64` bzImage
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The boot initramfs, of `phase image initramfs --stage boot`
    #[arg(long, value_name = "FILE")]
    pub initramfs: PathBuf,
    /// A published tree to carry, which private mode boots from; the boot partition is labelled PHASE then
    #[arg(long, value_name = "DIR")]
    pub release: Option<PathBuf>,
    /// Adds a partition PHASE-DATA (ext4) of so many MiB, where the machine remembers what it acknowledged
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    pub data: Option<u64>,
    /// Kernel parameters of every entry, instead of `console=ttyS0,115200 console=tty0 quiet`
    #[arg(long, value_name = "TEXT")]
    pub parameters: Option<String>,
    /// The folder that has GRUB's modules, one folder for each platform
    #[arg(long, value_name = "DIR", default_value = GRUB_FOLDER)]
    pub grub: PathBuf,
    /// Time of every file in seconds since 1970
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    pub mtime: u32,
    /// Where the image goes
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  phase image disk --kernel vmlinuz --initramfs boot.cpio.zst --out stick.img
  phase image disk --kernel vmlinuz --initramfs boot.cpio.zst --release tree \\
      --data 64 --out stick.img

To remember on the image's own PHASE-DATA, think of a GUID for it (uuidgen) and
make the initramfs with --state disk:GUID; the partition gets it.";

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub out: PathBuf,
    /// Bytes.
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
    let existing = Existing::from_force(args.force);
    if existing == Existing::Keep {
        output::refuse_existing(&args.out)?;
    }
    check_kernel(&args.kernel).with_context(|| args.kernel.display().to_string())?;
    let remembers_on = remembers_on(&args.initramfs).with_context(|| args.initramfs.display().to_string())?;
    let mut files = boot_files(args)?;
    if let Some(tree) = &args.release {
        files.extend(release(tree)?);
    }
    let disk = Disk {
        grub: args.grub.clone(),
        files,
        label: if args.release.is_some() { Label::Release } else { Label::Boot },
        data: args.data.map(|mib| Data { size: mib << 20, partuuid: remembers_on }),
        mtime: args.mtime,
    };
    let image = output::temporary_beside(&args.out)?;
    let bar = progress::spinner("making the disk");
    let Made { size, guid, serial, data } = disk.write(image.path())?;
    bar.finish_and_clear();
    output::persist(image, &args.out, 0o644, existing)?;
    Ok(Report {
        out: args.out.clone(),
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

fn check_kernel(path: &Path) -> anyhow::Result<()> {
    let info = KernelInfo::parse(&output::read_limited(path, KERNEL_BYTES)?)?;
    anyhow::ensure!(
        info.arch == Arch::X86_64,
        "the kernel is for {}; disk images are for x86_64 so far",
        info.arch.as_str()
    );
    Ok(())
}

/// The partition that a boot initramfs remembers on; fails for anything but a boot initramfs.
fn remembers_on(path: &Path) -> anyhow::Result<Option<Uuid>> {
    let limit = Limits::DEFAULT.unpacked;
    let bytes = output::read_limited(path, limit)?;
    let archive = Format::of(&bytes)?.decompress(&mut bytes.as_slice(), limit)?;
    let mut members = BTreeMap::new();
    for entry in Archive::new(&archive) {
        let entry = entry?;
        members.insert(entry.name, entry.data);
    }
    let stage = members.get(&b"etc/phase/stage"[..]).map(|data| data.trim_ascii());
    anyhow::ensure!(
        stage == Some(b"boot"),
        "this is no boot initramfs: its etc/phase/stage is {}, wanted \"boot\" (phase image initramfs --stage boot)",
        stage.map_or("not there".to_owned(), |stage| format!("\"{}\"", stage.escape_ascii()))
    );
    members.get(&b"etc/phase/config.json"[..]).map_or(Ok(None), |config| partition_of(config))
}

/// The partition that a configuration names.
fn partition_of(bytes: &[u8]) -> anyhow::Result<Option<Uuid>> {
    config::check(bytes)?;
    let mut fields = Fields::parse("config", bytes, LIMITS.trust_bytes)?;
    let Some(mut state) = fields.optional("state", Fields::object)? else { return Ok(None) };
    match Store::read(&mut state)? {
        Store::Disk { partuuid } => Ok(Some(Uuid::parse_str(partuuid.as_str())?)),
        Store::None | Store::Tpm { .. } => Ok(None),
    }
}

fn boot_files(args: &DiskArgs) -> anyhow::Result<Vec<BootFile>> {
    let parameters = args.parameters.as_deref().map(parameters).transpose()?;
    let configuration = parameters.unwrap_or_default() + CONFIGURATION;
    let file = |path: &str, content| BootFile { path: path.to_owned(), content };
    Ok(vec![
        file("boot/grub/grub.cfg", Content::Bytes(configuration.into_bytes())),
        file("boot/grub/phase.cfg", Content::Bytes(ENTRIES.into())),
        file("boot/phase/vmlinuz", Content::File(args.kernel.clone())),
        file("boot/phase/boot.cpio.zst", Content::File(args.initramfs.clone())),
    ])
}

/// The line of grub.cfg that sets them. Characters that GRUB would read or expand are refused.
fn parameters(text: &str) -> anyhow::Result<String> {
    let plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !br#"'"\*?$"#.contains(&byte);
    if text.len() > PARAMETERS || !text.bytes().all(plain) {
        let problem = format!(
            "--parameters is {text:?}; wanted at most {PARAMETERS} printable ASCII characters without ' \" \\ * ? $"
        );
        return Err(UsageError(problem).into());
    }
    Ok(format!("set phase_parameters='{text}'\n"))
}

/// The files of a published tree, below `phase/`, where private mode looks.
fn release(tree: &Path) -> anyhow::Result<Vec<BootFile>> {
    let mut files = Vec::new();
    let mut folders = vec![(tree.to_owned(), "phase".to_owned())];
    while let Some((folder, path)) = folders.pop() {
        let context = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(context)? {
            let entry = entry.with_context(context)?;
            let (source, name) = (entry.path(), entry.file_name());
            let name = name.to_str().with_context(|| format!("the name of {} is not UTF-8", source.display()))?;
            let path = format!("{path}/{name}");
            let kind = entry.file_type().with_context(context)?;
            if kind.is_dir() {
                folders.push((source, path));
            } else {
                anyhow::ensure!(kind.is_file(), "{} is neither a file nor a directory", source.display());
                files.push(BootFile { path, content: Content::File(source) });
            }
        }
    }
    let published = |path: &str| matches!(path.split('/').collect::<Vec<_>>()[..], [_, _, _, MANIFEST]);
    anyhow::ensure!(
        files.iter().any(|file| published(&file.path)),
        "{} has no CHANNEL/ARCH/{MANIFEST} in it: wanted a tree of `phase publish --tree`",
        tree.display()
    );
    Ok(files)
}
