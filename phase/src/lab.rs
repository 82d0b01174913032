//! `phase lab`: real parts to try things on — Debian's kernel and packages, a Debian root, a tiny root for tests; of this
//! host's architecture or of another one.
//!
//! Everything is made inside the output folder and nothing is installed. What is made depends on its inputs alone: the
//! same packages give the same bytes, and what is there already is not made again.

use std::{path::PathBuf, process::ExitCode};

mod apt;
pub mod build_kernel;
pub(crate) mod command;
pub mod kernel;
mod kernel_config;
pub mod package;
pub mod rootfs;
pub mod tiny_root;

/// Makes the parts that a demo or a test boots: kernel, root file systems.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    BuildKernel(build_kernel::Args),
    Kernel(kernel::Args),
    Package(package::Args),
    Rootfs(rootfs::Args),
    TinyRoot(tiny_root::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.part {
        Part::BuildKernel(args) => build_kernel::run(args),
        Part::Kernel(args) => kernel::run(args),
        Part::Package(args) => package::run(args),
        Part::Rootfs(args) => rootfs::run(args),
        Part::TinyRoot(args) => tiny_root::run(args),
    }
}

/// Where parts are made if nothing else is said: inside the checkout, ignored by git.
pub fn build_directory() -> PathBuf {
    PathBuf::from("build")
}
