//! `phase lab package`: a Debian package, fetched by its name and unpacked, never installed. For what another architecture's
//! machine starts from: GRUB's modules, systemd's stub, a static busybox.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::Serialize;
use verify::Arch;

use super::{
    apt::{Apt, Package},
    build_directory,
};
use crate::output;

/// Fetches a Debian package by name and unpacks it.
#[derive(clap::Args)]
#[command(after_help = "\
The package comes from the host's own apt sources. For another architecture, apt gets lists of its own in build/apt; which \
architectures the host's dpkg knows stays as it is.

Examples:
  phase lab package grub-efi-arm64-bin --arch aarch64    # to build/package/aarch64
  phase lab package busybox-static --arch aarch64 --json")]
pub struct Args {
    /// The package's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The architecture: `x86_64` or `aarch64`; the host's own if not given
    #[arg(long, default_value_t = Arch::COMPILED)]
    pub arch: Arch,
    /// Where it goes: DIR/ARCH/NAME
    #[arg(long, value_name = "DIR", default_value_os_t = default_out())]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What is there; `--json` prints it.
#[derive(Serialize)]
struct Report {
    root: PathBuf,
    package: String,
    version: String,
    arch: Arch,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (package, root) = fetch(&args.name, args.arch, &args.out)?;
    let words = package.to_string();
    let report = Report { root, package: package.name, version: package.version, arch: args.arch };
    output::show(&report, args.json, |report| println!("{}  {words}", report.root.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Unpacks the package `name` into `out`/ARCH/NAME, unless it is there.
pub(super) fn fetch(name: &str, arch: Arch, out: &Path) -> anyhow::Result<(Package, PathBuf)> {
    let apt = Apt::of(arch)?;
    let (package, _) = apt.candidate(name)?;
    let root = out.join(arch.as_str()).join(name);
    apt.unpack(&package, &root, |_| Ok(()))?;
    Ok((package, root))
}

/// Where packages go if nothing else is said.
pub(super) fn default_out() -> PathBuf {
    build_directory().join("package")
}
