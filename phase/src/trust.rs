//! `phase trust`: the files that tell machines which keys count. One goes into the boot initramfs; its successors, each signed by
//! the root keys of both, go into the published tree.

mod init;

use std::{path::Path, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use verify::Role;

use crate::{cli::UsageError, key::PublicKey};

pub use init::{InitArgs, Report, init};

/// Makes trust files.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(InitArgs),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Init(args) => init::run(args),
    }
}

fn role(name: &str, threshold: usize, files: &[PathBuf]) -> anyhow::Result<Role> {
    let keys = files.iter().map(|file| key(file)).collect::<anyhow::Result<_>>()?;
    Role::new(threshold, keys).map_err(|error| UsageError(format!("role {name}: {error}")).into())
}

fn key(file: &Path) -> anyhow::Result<verify::PublicKey> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    PublicKey::read(file)?.named(&stem).with_context(|| file.display().to_string())
}
