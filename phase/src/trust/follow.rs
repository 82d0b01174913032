//! `phase trust follow`: the plain trust file at the end of a chain of rotations, for new boot media.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use verify::{Channel, Envelope, Sha256Digest};

use super::chain;
use crate::output::{self, Existing};

/// Writes the trust file that a chain of rotations leads to, for new boot media.
#[derive(clap::Args)]
#[command(after_help = "\
The chain is checked as a machine checks it; the order of the envelopes does not matter.

Examples:
  phase trust follow --from trust.json 2.dsse.json 3.dsse.json --out trust-3.json
  phase trust follow --from trust.json tree/trust/*.dsse.json --out trust-now.json

Exit status: 0 written, 1 refused, 2 wrong usage.")]
pub(super) struct FollowArgs {
    /// The trust file to begin with
    #[arg(long, value_name = "TRUST")]
    from: PathBuf,
    /// The rotations since then
    #[arg(value_name = "ENVELOPE", required = true)]
    envelope: Vec<PathBuf>,
    /// Where the trust file goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    trust: PathBuf,
    channel: Channel,
    epoch: u64,
    sha256: Sha256Digest,
}

/// Runs the command.
pub(super) fn run(args: &FollowArgs) -> anyhow::Result<ExitCode> {
    let followed = chain::follow(&args.from, &args.envelope)?;
    // The signed bytes themselves: their digest is the one that the holders of the keys saw.
    let bytes = match followed.accepted().last() {
        Some((_, envelope)) => Envelope::parse(envelope)?.payload,
        None => followed.trust().to_json()?.into_bytes(),
    };
    output::write(&args.out, &bytes, 0o644, Existing::from_force(args.force))?;
    let report = Report {
        trust: args.out.clone(),
        channel: followed.trust().channel.clone(),
        epoch: followed.trust().epoch,
        sha256: Sha256Digest::of(&bytes),
    };
    output::show(&report, args.json, |report| {
        println!("trust file   {} (channel {}, epoch {})", report.trust.display(), report.channel, report.epoch);
        println!("             sha256 {}", report.sha256);
    })?;
    Ok(ExitCode::SUCCESS)
}
