//! `phase discover`: what can be found from here, and what a machine with this trust file would make of it.

use std::{path::PathBuf, process::ExitCode, time::Duration, time::Instant};

use anyhow::Context;
use discover::{
    Found, Origin,
    cli::{Failure, Listed, Places, failures, listed, look, printable, remarks},
};
use serde::Serialize;
use verify::{Arch, Candidate, Floors, LIMITS, Now, Rules, Trust, rotation, verified};

use crate::{cli::UsageError, clock, output};

/// How long the proofs of a transparency log are waited for.
const PROVING: Duration = Duration::from_secs(10);

/// Lists the releases that can be found from here, and verifies each as a machine with this trust file would.
#[derive(clap::Args)]
#[command(after_help = "\
A release is accepted or refused by its signatures alone; where it was found, and what it claims, ranks nothing. The newest \
accepted one is what a machine boots.

Examples:
  phase discover --trust trust.json --channel demo --origin http://192.0.2.10:8000
  phase discover --trust trust.json --channel demo --mdns --json
  phase discover --trust trust.json --channel demo --dht \\
      --locator d75a…511a --bootstrap dht.example.org:6881

Exit status: 0 a release was accepted, 1 none was, 2 wrong usage.")]
pub struct Args {
    /// The trust file of the machines
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// Where to look
    #[command(flatten)]
    pub places: Places,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// The epoch of the trust file in force, after those that were found.
    epoch: u64,
    candidates: Vec<Judged>,
    failures: Vec<Failure>,
    remarks: Vec<String>,
}

/// A release that was found, and the verdict.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    listed: Listed,
    /// The verified version; absent if it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// One stable word for the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
    /// The verdict in words.
    message: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = output::read_limited(&args.trust, LIMITS.trust_bytes as u64)?;
    let trust = Trust::parse(&bytes).with_context(|| args.trust.display().to_string())?;
    if args.places.channel != trust.channel.as_str() {
        let (file, ours, asked) = (args.trust.display(), &trust.channel, &args.places.channel);
        return Err(UsageError(format!("--channel {asked}: {file} is for channel {ours}")).into());
    }
    let arch: Arch = args.places.arch.parse().map_err(|error: verify::ValueError| UsageError(error.to_string()))?;
    let found = look(&args.places, trust.epoch).map_err(UsageError)?;
    let report = judge(found, trust, arch, &args.places);
    output::show(&report, args.json, print)?;
    let accepted = report.candidates.iter().any(|judged| judged.version.is_some());
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(mut found: Found, trust: Trust, arch: Arch, places: &Places) -> Report {
    let mut remarks = remarks(&found);
    let followed = rotation::follow(trust, std::mem::take(&mut found.gathered.rotations));
    remarks.extend(
        followed.refused().iter().map(|(source, refusal)| printable(&format!("a trust file of {source}: {refusal}"))),
    );
    let (trust, _) = followed.into_parts();
    if trust.policy.transparency.is_some() {
        let origins: Vec<Origin> = found.places.iter().map(|(_, origin)| origin.clone()).collect();
        let place = (&*places.channel, &*places.arch);
        let failed = discover::prove(&mut found.gathered.candidates, &origins, place, Instant::now() + PROVING);
        remarks.extend(failed.iter().map(|(_, error)| printable(&error.to_string())));
    }
    let now = Now { time: clock::now().max(trust.built), trusted: true };
    let rules = Rules { trust: &trust, arch, now, floors: Floors::default() };
    let judged = |candidate: &discover::Candidate| {
        let release = Candidate { envelope: candidate.envelope.clone(), proof: candidate.proof.clone() };
        let (version, refused, message) = match verified::manifest(&release, &rules) {
            Ok(release) => (
                Some(release.version),
                None,
                format!(
                    "accepted, signed by {} key{}",
                    release.key_ids().len(),
                    if release.key_ids().len() == 1 { "" } else { "s" }
                ),
            ),
            Err(refusal) => (None, Some(refusal.kind()), printable(&format!("{refusal}; {}", refusal.advice()))),
        };
        Judged { listed: listed(&found, candidate), version, refused, message }
    };
    let mut candidates: Vec<_> = found.gathered.candidates.iter().map(judged).collect();
    // What a machine would boot comes first.
    candidates.sort_by(|a, b| b.version.cmp(&a.version).then_with(|| a.listed.source.cmp(&b.listed.source)));
    Report { epoch: trust.epoch, candidates, failures: failures(&found), remarks }
}

fn print(report: &Report) {
    let best = report.candidates.first().and_then(|judged| judged.version);
    for Judged { listed, version, message, .. } in &report.candidates {
        let Listed { source, found, .. } = listed;
        match version {
            Some(version) if Some(*version) == best => {
                println!("version {version}  {source} ({found}): {message}; this is what a machine boots");
            }
            Some(version) => println!("version {version}  {source} ({found}): {message}"),
            // Digests and advice make it long; the places stay readable below each other.
            None => println!("refused    {source} ({found})\n           {message}"),
        }
    }
    for failure in &report.failures {
        eprintln!("not used: {}", failure.message);
    }
    for remark in &report.remarks {
        eprintln!("not used: {remark}");
    }
    if report.candidates.is_empty() {
        eprintln!("nothing was found");
    } else if best.is_none() {
        eprintln!("no release was accepted");
    }
}
