//! `phase trust show`: what trust files and rotations say, who signed them, and whether they lead anywhere.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use serde::Serialize;
use verify::{Envelope, Followed, KeyId, LIMITS, Role, Sha256Digest, Trust, dsse};

use super::{
    chain::{self, Missing},
    changes,
};
use crate::output;

/// Shows trust files and the envelopes of rotations.
#[derive(clap::Args)]
#[command(after_help = "\
Without --from nothing is verified: a file's own keys say nothing about whether to believe it. With --from, every \
envelope has to be a step of the chain that begins at this trust file; how each differs from the one before is shown, and \
which signatures are missing.

Examples:
  phase trust show trust.json
  phase trust show 2.dsse.json --from trust.json      # before signing it
  phase trust show 2.dsse.json 3.dsse.json --from trust.json --json

Exit status: 0 shown, and with --from every envelope is a step; 1 one is not; 2 wrong usage.")]
pub(super) struct ShowArgs {
    /// Trust files, or envelopes of trust files
    #[arg(value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    /// The trust file that the envelopes follow
    #[arg(long, value_name = "TRUST")]
    from: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// One file; `--json` prints a list of them.
#[derive(Serialize)]
struct Shown {
    file: PathBuf,
    sha256: Sha256Digest,
    trust: Trust,
    /// Who is said to have signed; of a plain trust file nobody.
    key_ids: Vec<KeyId>,
    /// What `--from` tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
}

/// A rotation beside the chain that it may be a step of.
#[derive(Serialize)]
struct Step {
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    changes: Vec<String>,
    missing: Vec<Missing>,
}

/// Runs the command.
pub(super) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let read: Vec<_> = args.file.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?;
    let steps = match &args.from {
        Some(from) => steps(from, &read)?,
        None => read.iter().map(|_| None).collect(),
    };
    let shown: Vec<Shown> = read
        .into_iter()
        .zip(steps)
        .map(|(Read { path, payload, trust, envelope }, step)| Shown {
            file: path,
            sha256: Sha256Digest::of(&payload),
            trust,
            key_ids: envelope.into_iter().flat_map(|envelope| envelope.signatures).map(|claim| claim.keyid).collect(),
            step,
        })
        .collect();
    if args.json {
        println!("{}", serde_json::to_string(&shown)?);
    } else {
        for one in &shown {
            print(one)?;
        }
    }
    let refused = shown.iter().any(|one| one.step.as_ref().is_some_and(|step| !step.accepted));
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A file, parsed and not verified.
struct Read {
    path: PathBuf,
    payload: Vec<u8>,
    trust: Trust,
    envelope: Option<Envelope>,
}

fn read(path: &Path) -> anyhow::Result<Read> {
    let context = || path.display().to_string();
    let bytes = output::read_limited(path, LIMITS.envelope_bytes as u64)?;
    // A trust file has no `payloadType`, an envelope no `schema`: only one of the two can be read.
    let (payload, envelope) = match Envelope::parse(&bytes) {
        Ok(envelope) if envelope.payload_type == dsse::TRUST_TYPE => (envelope.payload.clone(), Some(envelope)),
        Ok(envelope) => {
            bail!(
                "{} is an envelope of {}, wanted a trust file or an envelope of one",
                path.display(),
                envelope.payload_type.escape_default()
            )
        }
        Err(_) => (bytes, None),
    };
    let trust = Trust::parse(&payload).with_context(context)?;
    Ok(Read { path: path.to_owned(), payload, trust, envelope })
}

/// Beside each envelope what `from` makes of it.
fn steps(from: &Path, read: &[Read]) -> anyhow::Result<Vec<Option<Step>>> {
    let envelopes: Vec<_> = read.iter().filter(|one| one.envelope.is_some()).map(|one| one.path.clone()).collect();
    let followed = chain::look(from, &envelopes)?;
    let mut chain = vec![crate::publish::live::read_trust(from)?];
    for (_, envelope) in followed.accepted() {
        chain.push(Trust::parse(&Envelope::parse(envelope)?.payload)?);
    }
    read.iter()
        .map(|one| one.envelope.as_ref().map(|envelope| step(one, envelope, &chain, &followed)).transpose())
        .collect()
}

fn step(one: &Read, envelope: &Envelope, chain: &[Trust], followed: &Followed<PathBuf>) -> anyhow::Result<Step> {
    let refusal = followed.refused().iter().find(|(path, _)| *path == one.path).map(|(_, refusal)| refusal);
    let before = chain.iter().find(|trust| trust.epoch + 1 == one.trust.epoch);
    let (changes, missing) = match before {
        Some(before) => {
            let owing = [before, &one.trust].into_iter().filter_map(|trust| Missing::from(trust, envelope));
            (changes::between(before, &one.trust)?, owing.collect())
        }
        None => (Vec::new(), Vec::new()),
    };
    Ok(Step { accepted: refusal.is_none(), refusal: refusal.map(ToString::to_string), changes, missing })
}

fn print(shown: &Shown) -> anyhow::Result<()> {
    let Shown { file, sha256, trust, key_ids, step } = shown;
    println!("trust file   {} (channel {}, epoch {})", file.display(), trust.channel, trust.epoch);
    println!("             sha256 {sha256}");
    println!("{}", describe(trust)?);
    for id in key_ids {
        println!("says signed  {id} {}", name(&trust.roles.root, *id));
    }
    if let Some(Step { refusal, changes, missing, .. }) = step {
        for change in changes {
            println!("change       {change}");
        }
        Missing::print(missing, file);
        match refusal {
            None => println!("verified     it follows from the trust file of --from"),
            Some(refusal) => println!("refused      {refusal}"),
        }
    }
    Ok(())
}

/// Everything that a trust file says but its channel and epoch, in lines for people.
///
/// # Errors
/// It cannot be written as JSON.
pub fn describe(trust: &Trust) -> serde_json::Result<String> {
    let fields = changes::fields(trust)?.into_iter().filter(|(name, _)| !matches!(name.as_str(), "channel" | "epoch"));
    let mut lines: Vec<String> = fields.map(|(name, value)| format!("             {name}: {value}")).collect();
    for (name, role) in [("root", &trust.roles.root), ("release", &trust.roles.release)] {
        lines.push(format!("{name:12} {} of {} have to sign", role.threshold(), role.keys().len()));
        lines.extend(role.keys().iter().map(|key| format!("             {} {}", key.id(), key.name())));
    }
    Ok(lines.join("\n"))
}

/// What a key is called, if it is one of the role.
fn name(role: &Role, id: KeyId) -> &str {
    role.keys().iter().find(|key| key.id() == id).map_or("", verify::PublicKey::name)
}
