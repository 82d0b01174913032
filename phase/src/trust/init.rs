//! `phase trust init`: the first trust file of a channel, or of a new line of them.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use verify::{Channel, KeyId, LIMITS, Policy, Reaction, Role, Roles, Timestamp, Trust};

use super::{Logging, role, separate};
use crate::{
    cli::UsageError,
    clock,
    output::{self, Existing},
};

/// Writes the trust file that a channel begins with.
#[derive(clap::Args)]
#[command(after_help = "\
The root role signs later trust files, the release role signs manifests. A key holds one role only, and the \
root keys belong offline. A key's name in the file is the name of its .pub file.

Examples:
  phase trust init --channel demo --root-key keys/root.pub \\
      --release-key keys/release.pub --out trust.json
  phase trust init --channel prod --root-key a.pub b.pub c.pub \\
      --root-threshold 2 --release-key ci.pub human.pub --release-threshold 2 \\
      --max-validity-days 30 --out trust.json
  phase trust init --channel prod --root-key a.pub --release-key ci.pub \\
      --sigsum-policy sigsum.policy --sigsum-submitter ci.pub --out trust.json")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct InitArgs {
    /// The only channel whose releases are accepted
    #[arg(long)]
    pub channel: Channel,
    /// Public keys that sign trust files
    #[arg(long, value_name = "PUB", required = true, num_args = 1..)]
    pub root_key: Vec<PathBuf>,
    /// How many of the root keys have to sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub root_threshold: usize,
    /// Public keys that sign manifests
    #[arg(long, value_name = "PUB", required = true, num_args = 1..)]
    pub release_key: Vec<PathBuf>,
    /// How many of the release keys have to sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub release_threshold: usize,
    /// Take a key that is in both roles: with it, who can sign releases can change the trust file, too
    #[arg(long)]
    pub allow_shared_key: bool,
    /// The oldest release that is accepted
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub minimum_version: u64,
    /// What happens to a manifest that is out of date: refuse or warn
    #[arg(long, value_name = "REACTION", default_value_t = Reaction::Refuse)]
    pub expiry: Reaction,
    /// Let whoever sits at the console open the rescue prompt
    #[arg(long)]
    pub rescue_prompt: bool,
    /// What happens if a machine cannot read its state: refuse or warn
    #[arg(long, value_name = "REACTION", default_value_t = Reaction::Warn)]
    pub state: Reaction,
    /// Most days that a manifest may be valid
    #[arg(long, value_name = "N", default_value_t = LIMITS.validity_days)]
    pub max_validity_days: u64,
    /// Where releases have to be logged
    #[command(flatten)]
    pub logging: Logging,
    /// Its epoch, if machines may remember others: above all that were in force, when the root keys of those are lost
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub epoch: u64,
    /// When the file was made, the earliest time that machines believe (default: now)
    #[arg(long, value_name = "TIME")]
    pub built: Option<Timestamp>,
    /// Where the trust file goes
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub trust: PathBuf,
    /// Its epoch.
    pub epoch: u64,
    /// Ids of the keys that sign trust files.
    pub root: Vec<KeyId>,
    /// Ids of the keys that sign manifests.
    pub release: Vec<KeyId>,
}

/// Runs the command.
pub(super) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let report = init(args)?;
    output::show(&report, args.json, |report| print(args, report))?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &InitArgs, report: &Report) {
    println!("trust file   {} (channel {}, epoch {})", report.trust.display(), args.channel, report.epoch);
    for (role, threshold, keys) in
        [("root", args.root_threshold, &report.root), ("release", args.release_threshold, &report.release)]
    {
        for id in keys {
            println!("{role:12} {id} ({threshold} of {})", keys.len());
        }
    }
}

/// Makes the trust file.
///
/// # Errors
/// A key cannot be read or is in both roles, a threshold does not fit, or the file exists.
pub fn init(args: &InitArgs) -> anyhow::Result<Report> {
    let existing = Existing::from_force(args.force);
    let trust = Trust {
        channel: args.channel.clone(),
        epoch: args.epoch,
        built: args.built.unwrap_or_else(clock::now),
        minimum_version: args.minimum_version,
        // A new line of trust files owes nothing to what was acknowledged under another.
        floor_epoch: if args.epoch > 1 { args.epoch } else { 0 },
        roles: Roles {
            root: role("root", args.root_threshold, &args.root_key)?,
            release: role("release", args.release_threshold, &args.release_key)?,
        },
        policy: Policy {
            expiry: args.expiry,
            rescue_prompt: args.rescue_prompt,
            max_validity_days: args.max_validity_days,
            state: args.state,
            transparency: args.logging.transparency()?,
        },
    };
    separate(&trust.roles, args.allow_shared_key)?;
    let json = trust.to_json()?;
    // What a machine would refuse is not written.
    Trust::parse(json.as_bytes()).map_err(|error| UsageError(error.to_string()))?;
    output::write(&args.out, json.as_bytes(), 0o644, existing)?;
    let ids = |role: &Role| role.keys().iter().map(verify::PublicKey::id).collect();
    Ok(Report {
        trust: args.out.clone(),
        epoch: args.epoch,
        root: ids(&trust.roles.root),
        release: ids(&trust.roles.release),
    })
}
