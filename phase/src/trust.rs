//! `phase trust`: the files that tell machines which keys count. One goes into the boot initramfs; its successors, each signed by
//! the root keys of both, go into the published tree.

mod chain;
mod changes;
mod follow;
mod init;
mod logging;
mod publish;
mod rotate;
mod show;

use std::{path::Path, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use verify::{Role, Roles};

use crate::{cli::UsageError, key::PublicKey};

pub use changes::flat;
pub use init::{InitArgs, Report, init};
pub use logging::Logging;
pub use show::describe;

/// Makes, rotates and shows trust files.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(InitArgs),
    Rotate(Box<rotate::RotateArgs>),
    Show(show::ShowArgs),
    Follow(follow::FollowArgs),
    Publish(publish::PublishArgs),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Init(args) => init::run(args),
        Command::Rotate(args) => rotate::run(args),
        Command::Show(args) => show::run(args),
        Command::Follow(args) => follow::run(args),
        Command::Publish(args) => publish::run(args),
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

/// Refuses a key that is in both roles, unless that is `allowed`: who steals it as a release key, which may live in a CI,
/// could rotate the owner out.
///
/// # Errors
/// There is such a key.
fn separate(roles: &Roles, allowed: bool) -> Result<(), UsageError> {
    let of_both = |key: &&verify::PublicKey| roles.root.keys().iter().any(|root| root.id() == key.id());
    match roles.release.keys().iter().find(of_both) {
        Some(key) if !allowed => Err(UsageError(format!(
            "the key {} ({}) is in both roles; wanted root keys that are no release keys, so that a stolen release key cannot \
             change the trust file: `phase keygen` makes another, --allow-shared-key is for labs",
            key.name(),
            key.id()
        ))),
        _ => Ok(()),
    }
}
