//! `phase trust publish`: rotations become part of a published tree, where machines look for them.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use verify::Channel;

use super::chain;
use crate::{
    output::{self, Existing},
    tree::Tree,
};

/// Puts rotations into a published tree, where machines look for them.
#[derive(clap::Args)]
#[command(after_help = "\
The chain is checked as a machine checks it, so an envelope that lacks signatures is refused. Each becomes \
<tree>/trust/<epoch>.dsse.json; they stay there for as long as a machine may start from an older trust file. Publish the \
next releases with `--min-epoch`, so that a machine from which a rotation is withheld notices.

Examples:
  phase trust publish --tree tree --from trust.json 2.dsse.json
  phase trust publish --tree tree --from trust.json tree/trust/2.dsse.json 3.dsse.json

Exit status: 0 published, 1 refused, 2 wrong usage.")]
pub(super) struct PublishArgs {
    /// The tree; made if it is not there
    #[arg(long, value_name = "DIR")]
    tree: PathBuf,
    /// The trust file to begin with
    #[arg(long, value_name = "TRUST")]
    from: PathBuf,
    /// The rotations since then
    #[arg(value_name = "ENVELOPE", required = true)]
    envelope: Vec<PathBuf>,
    /// Replace another trust file of the same epoch
    #[arg(long)]
    force: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    channel: Channel,
    epoch: u64,
    envelopes: Vec<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &PublishArgs) -> anyhow::Result<ExitCode> {
    let followed = chain::follow(&args.from, &args.envelope)?;
    let tree = Tree::open(&args.tree)?;
    let existing = Existing::from_force(args.force);
    // In the order of their epochs: a machine that looks while this runs finds a chain without gaps.
    let envelopes = followed.accepted().iter().map(|(epoch, envelope)| tree.put_rotation(*epoch, envelope, existing));
    let report = Report {
        envelopes: envelopes.collect::<anyhow::Result<_>>()?,
        channel: followed.trust().channel.clone(),
        epoch: followed.trust().epoch,
    };
    output::show(&report, args.json, |report| {
        println!("published    {} up to trust epoch {}", report.channel, report.epoch);
        for envelope in &report.envelopes {
            println!("envelope     {}", envelope.display());
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
