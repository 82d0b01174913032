//! `phase image`: the initramfs of stage one, with its trust and configuration, and that of a release, with its modules;
//! what machines start from around the first (disk, disc, UKI, network folder), and images written to sticks.
//!
//! What a machine would refuse at boot (a trust file, a configuration, a module that the kernel lacks) is refused here.

pub mod all;
pub mod config;
pub mod disk;
pub mod folder;
pub mod iso;
pub mod parts;
pub mod pxe;
pub mod secure_boot;
mod settings;
pub mod uki;
pub mod write;

use std::{fmt::Write as _, path::Path, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use discover::{Limits, Tls, tls::Clock};
use initramfs::pack::{
    BootInitramfs, Built,
    archive::Listed,
    image::Stage,
    sets::{self, Set},
};
use serde::Serialize;
use verify::{LIMITS, Trust};

use crate::{
    cli::UsageError,
    output::{self, Existing},
    progress,
};
pub use settings::Settings;

/// Makes boot images, and writes them to sticks.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    All(Box<all::AllArgs>),
    Disk(disk::DiskArgs),
    Initramfs(Box<InitramfsArgs>),
    Iso(iso::IsoArgs),
    Pxe(pxe::PxeArgs),
    Uki(uki::UkiArgs),
    Write(write::WriteArgs),
}

/// Which stage an initramfs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// Stage one: finds, proves and starts a release
    Boot,
    /// Stage two: puts the release's root together
    Root,
}

/// Packs an initramfs around the static program `init`.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct InitramfsArgs {
    /// The static program that becomes /init
    #[arg(long, value_name = "FILE")]
    pub init: PathBuf,
    /// Which stage it is for
    #[arg(long, value_enum)]
    pub stage: StageName,
    /// The trust file (stage boot)
    #[arg(long, value_name = "FILE", required_if_eq("stage", "boot"))]
    pub trust: Option<PathBuf>,
    /// The configuration, checked as it is (stage boot)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["origin", "dht_locator", "dht_bootstrap", "on_failure", "attempts", "state", "upper", "measure"])]
    pub config: Option<PathBuf>,
    /// What config.json says
    #[command(flatten)]
    pub settings: Settings,
    /// The only certificates that https servers are believed by (PEM, or one in DER), instead of the roots of Mozilla's
    /// programme (stage boot)
    #[arg(long, value_name = "FILE")]
    pub tls_roots: Option<PathBuf>,
    /// Where the kernel's package was unpacked: the folder that has lib/modules/VERSION
    #[arg(long, value_name = "DIR")]
    pub kernel_root: Option<PathBuf>,
    /// Modules, or sets of them, to pack with all that they need
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "kernel_root")]
    pub modules: Vec<String>,
    /// Leave modules compressed, for kernels with `CONFIG_MODULE_DECOMPRESS`; otherwise they are unpacked, so that every
    /// kernel can load them
    #[arg(long, requires = "modules")]
    pub keep_compressed: bool,
    /// Time of every file in seconds since 1970
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    pub mtime: u32,
    /// Where the initramfs goes
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print the result, with a listing, as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub out: PathBuf,
    /// Its stage.
    pub stage: StageName,
    /// Bytes.
    pub size: usize,
    /// Bytes that it would have without modules.
    pub size_without_modules: usize,
    /// Bytes that it takes in memory once it is unpacked.
    pub unpacked_size: u64,
    /// Modules that were asked for and are part of the kernel.
    pub builtin: Vec<String>,
    /// Modules that a set wished for and the kernel does not have.
    pub absent: Vec<String>,
    /// What is in it.
    pub listing: Vec<Member>,
}

/// One file in an initramfs.
#[derive(Debug, Serialize)]
pub struct Member {
    /// Where it stands in the machine, from `/` on.
    pub path: String,
    /// `st_mode`: type and permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::All(args) => output::show(&all::all(args)?, args.folder.json, all::print)?,
        Command::Disk(args) => output::show(&disk::disk(args)?, args.output.json, disk::print)?,
        Command::Initramfs(args) => output::show(&initramfs(args)?, args.json, print)?,
        Command::Iso(args) => output::show(&iso::iso(args)?, args.output.json, iso::print)?,
        Command::Pxe(args) => output::show(&pxe::pxe(args)?, args.folder.json, pxe::print)?,
        Command::Uki(args) => output::show(&uki::uki(args)?, args.output.json, uki::print)?,
        Command::Write(args) => return write::run(args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the initramfs and writes it.
///
/// # Errors
/// The trust file, the configuration, the program or the modules are not what a machine would take, or the output
/// exists.
pub fn initramfs(args: &InitramfsArgs) -> anyhow::Result<Report> {
    let existing = Existing::from_force(args.force);
    existing.allows(&args.out)?;
    let plan = BootInitramfs {
        init: args.init.clone(),
        stage: stage(args)?,
        kernel_root: args.kernel_root.clone(),
        modules: args.modules.clone(),
        keep_compressed: args.keep_compressed,
        extra: Vec::new(),
        mtime: args.mtime,
    };
    let bar = progress::spinner("packing");
    let built = plan.build()?;
    let size_without_modules = if plan.modules.is_empty() {
        built.bytes.len()
    } else {
        BootInitramfs { modules: Vec::new(), ..plan }.build()?.bytes.len()
    };
    bar.finish_and_clear();
    output::write(&args.out, &built.bytes, 0o644, existing)?;
    let Built { bytes, unpacked_size, listing, builtin, absent } = built;
    let member = |Listed { path, mode, size, .. }| Member { path, mode, size };
    Ok(Report {
        out: args.out.clone(),
        stage: args.stage,
        size: bytes.len(),
        size_without_modules,
        unpacked_size,
        builtin,
        absent,
        listing: listing.into_iter().map(member).collect(),
    })
}

fn stage(args: &InitramfsArgs) -> anyhow::Result<Stage> {
    let options = args.config.is_some() || args.tls_roots.is_some() || !args.settings.is_empty();
    match (args.stage, &args.trust) {
        (StageName::Root, None) if !options => Ok(Stage::Root),
        (StageName::Root, _) => {
            let problem = "--trust, --config, --tls-roots, --origin, --dht-locator, --dht-bootstrap, --on-failure, --attempts, \
                           --state, --upper and --measure are for --stage boot only";
            Err(UsageError(problem.to_owned()).into())
        }
        (StageName::Boot, Some(trust)) => Ok(Stage::Boot {
            trust: read_trust(trust)?,
            config: configuration(args)?,
            tls_roots: args.tls_roots.as_deref().map(read_roots).transpose()?,
        }),
        // clap's `required_if_eq` has refused this already.
        (StageName::Boot, None) => Err(UsageError("--stage boot needs --trust".to_owned()).into()),
    }
}

fn read_trust(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = output::read_limited(path, LIMITS.trust_bytes as u64)?;
    Trust::parse(&bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// The bytes of a list of roots that a machine takes.
fn read_roots(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = output::read_limited(path, Limits::default().roots_bytes as u64)?;
    Tls::pinned(&bytes, Clock::Trusted).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// The bytes of config.json; nothing if nothing was said, and the machine takes its defaults.
fn configuration(args: &InitramfsArgs) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(path) = &args.config {
        let bytes = output::read_limited(path, LIMITS.trust_bytes as u64)?;
        config::check(&bytes).with_context(|| path.display().to_string())?;
        return Ok(Some(bytes));
    }
    if args.settings.is_empty() {
        return Ok(None);
    }
    let json = args.settings.config().and_then(|config| config.to_json());
    json.map(Some).map_err(|error| UsageError(format!("{error:#}")).into())
}

fn print(report: &Report) {
    let kib = |bytes: usize| bytes.div_ceil(1024);
    println!("initramfs    {}", report.out.display());
    println!("size         {} KiB, {} KiB without modules", kib(report.size), kib(report.size_without_modules));
    println!("unpacked     {} KiB", report.unpacked_size.div_ceil(1024));
    println!("members      {} (--json lists them)", report.listing.len());
    for (what, modules) in [("in the kernel", &report.builtin), ("not there", &report.absent)] {
        if !modules.is_empty() {
            println!("{what:12} {}", modules.join(" "));
        }
    }
}

fn after_help() -> String {
    let mut help = "Sets of modules:\n".to_owned();
    for Set { name, purpose, .. } in sets::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(help, "  {name:10} {purpose}");
    }
    help + "
Examples:
  phase image initramfs --stage boot --init init --trust trust.json \\
      --origin http://192.0.2.10:8000 --kernel-root linux-image-amd64 \\
      --modules net,root --out boot.cpio.zst
  phase image initramfs --stage boot --init init --trust trust.json \\
      --origin http://192.0.2.10:8000 --state disk:$(blkid -s PARTUUID -o value /dev/sdb2) \\
      --kernel-root linux-image-amd64 --modules net,root,disk --out boot.cpio.zst
  phase image initramfs --stage boot --init init --trust trust.json \\
      --origin http://192.0.2.10:8000 --state disk:$(blkid -s PARTUUID -o value /dev/sdb2) \\
      --upper persistent --kernel-root linux-image-amd64 --modules net,root,disk \\
      --out boot.cpio.zst
  phase image initramfs --stage boot --init init --trust trust.json \\
      --origin https://boot.example.org --tls-roots our-ca.pem \\
      --dht-locator keys/locator.pub --kernel-root linux-image-amd64 \\
      --modules net,root --out boot.cpio.zst
  phase image initramfs --stage root --init init --modules root \\
      --kernel-root linux-image-amd64 --out initramfs.cpio.zst
  phase image initramfs --stage root --init init --modules root,disk \\
      --kernel-root linux-image-amd64 --out initramfs.cpio.zst    # for --upper persistent"
}
