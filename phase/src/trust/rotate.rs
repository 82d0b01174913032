//! `phase trust rotate`: the next trust file, as an envelope that the holders of the root keys sign.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, ensure};
use serde::Serialize;
use verify::{Envelope, KeyId, LIMITS, PublicKey, Reaction, Role, Sha256Digest, Timestamp, Trust, dsse, rotation};

use super::{
    Logging,
    chain::{self, Missing},
    changes, key, separate,
};
use crate::{
    cli::UsageError,
    clock,
    output::{self, Existing},
    signer::Signers,
};

/// Makes the trust file that takes the place of another, signed by root keys of both.
#[derive(clap::Args)]
#[command(after_help = "\
The next file has the next epoch; what no option changes stays. It needs signatures of enough root keys of the file that \
it follows and of its own. If some are missing, the envelope is written all the same, and each holder adds one with \
`phase sign --add`. Every change is printed: read it before you sign, and the date, too, since no later file may be \
older.

Examples:
  phase trust rotate --from trust.json --remove-release ci --add-release ci2.pub \\
      --reset-floors --key keys/root --out 2.dsse.json      # the key of `ci` was stolen
  phase trust rotate --from trust.json --chain 2.dsse.json --add-root b.pub c.pub \\
      --root-threshold 2 --key keys/root --key keys/b --out 3.dsse.json
  phase trust rotate --from trust.json --expiry warn --key keys/root --out 2.dsse.json")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct RotateArgs {
    /// The trust file of the machines' boot media
    #[arg(long, value_name = "TRUST")]
    from: PathBuf,
    /// The rotations since then
    #[arg(long, value_name = "ENVELOPE", num_args = 1..)]
    chain: Vec<PathBuf>,
    /// Public keys that sign trust files from now on
    #[arg(long, value_name = "PUB", num_args = 1..)]
    add_root: Vec<PathBuf>,
    /// Keys that do no longer, by their name in the trust file or their id
    #[arg(long, value_name = "NAME|ID", num_args = 1..)]
    remove_root: Vec<String>,
    /// How many of the root keys have to sign
    #[arg(long, value_name = "N")]
    root_threshold: Option<usize>,
    /// Public keys that sign manifests from now on
    #[arg(long, value_name = "PUB", num_args = 1..)]
    add_release: Vec<PathBuf>,
    /// Keys that do no longer, by their name in the trust file or their id
    #[arg(long, value_name = "NAME|ID", num_args = 1..)]
    remove_release: Vec<String>,
    /// How many of the release keys have to sign
    #[arg(long, value_name = "N")]
    release_threshold: Option<usize>,
    /// Take a key that is in both roles: with it, who can sign releases can change the trust file, too
    #[arg(long)]
    allow_shared_key: bool,
    /// The oldest release that is accepted
    #[arg(long, value_name = "N")]
    minimum_version: Option<u64>,
    /// Take back every version and time that machines have acknowledged until now
    #[arg(long)]
    reset_floors: bool,
    /// What happens to a manifest that is out of date: refuse or warn
    #[arg(long, value_name = "REACTION")]
    expiry: Option<Reaction>,
    /// What happens if a machine cannot read its state: refuse or warn
    #[arg(long, value_name = "REACTION")]
    state: Option<Reaction>,
    /// Whether whoever sits at the console may open the rescue prompt
    #[arg(long, value_name = "true|false")]
    rescue_prompt: Option<bool>,
    /// Most days that a manifest may be valid
    #[arg(long, value_name = "N")]
    max_validity_days: Option<u64>,
    /// Where releases have to be logged from now on
    #[command(flatten)]
    logging: Logging,
    /// Releases need not be logged any more
    #[arg(long, conflicts_with = "sigsum_policy")]
    no_sigsum: bool,
    /// When the file was made (default: now)
    #[arg(long, value_name = "TIME")]
    built: Option<Timestamp>,
    /// Who signs
    #[command(flatten)]
    signers: Signers,
    /// Where the envelope goes; `phase trust publish` names it
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
    envelope: PathBuf,
    trust_sha256: Sha256Digest,
    epoch: u64,
    changes: Vec<String>,
    key_ids: Vec<KeyId>,
    /// Whether machines accept it.
    complete: bool,
    missing: Vec<Missing>,
}

/// Runs the command.
pub(super) fn run(args: &RotateArgs) -> anyhow::Result<ExitCode> {
    let report = rotate(args)?;
    output::show(&report, args.json, |report| print(args, report))?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &RotateArgs, report: &Report) {
    println!("envelope     {}", report.envelope.display());
    println!("trust file   epoch {}, sha256 {}", report.epoch, report.trust_sha256);
    for change in &report.changes {
        println!("change       {change}");
    }
    for id in &report.key_ids {
        println!("signed by    {id}");
    }
    Missing::print(&report.missing, &report.envelope);
    if !args.remove_release.is_empty() && !args.reset_floors {
        println!(
            "note         if a removed key was stolen, say --reset-floors as well: it takes back what its releases"
        );
        println!("             made machines remember");
    }
}

fn rotate(args: &RotateArgs) -> anyhow::Result<Report> {
    let existing = Existing::from_force(args.force);
    existing.allows(&args.out)?;
    let in_force = chain::follow(&args.from, &args.chain)?.into_parts().0;
    let next = next(&in_force, args)?;
    separate(&next.roles, args.allow_shared_key)?;
    let payload = next.to_json()?;
    Trust::parse(payload.as_bytes()).map_err(|error| UsageError(error.to_string()))?;
    rotation::continues(&in_force, &next).context("nothing was written, since no machine would accept it")?;

    let mut envelope = Envelope::new(dsse::TRUST_TYPE, payload.into_bytes());
    args.signers.open()?.sign(&mut envelope)?;
    for signature in &envelope.signatures {
        let counts = [&in_force, &next].iter().any(|trust| has(&trust.roles.root, signature.keyid));
        ensure!(
            counts,
            "key {} is no root key of epoch {} or {}; nothing was written",
            signature.keyid,
            in_force.epoch,
            next.epoch
        );
    }
    let json = envelope.to_json()?;
    output::write(&args.out, json.as_bytes(), 0o644, existing)?;
    let missing: Vec<_> = [&in_force, &next].into_iter().filter_map(|trust| Missing::from(trust, &envelope)).collect();
    Ok(Report {
        envelope: args.out.clone(),
        trust_sha256: Sha256Digest::of(&envelope.payload),
        epoch: next.epoch,
        changes: changes::between(&in_force, &next)?,
        key_ids: envelope.signatures.iter().map(|signature| signature.keyid).collect(),
        complete: missing.is_empty(),
        missing,
    })
}

/// The trust file that the command line asks for.
fn next(in_force: &Trust, args: &RotateArgs) -> anyhow::Result<Trust> {
    let mut next = in_force.clone();
    next.epoch += 1;
    next.built = args.built.unwrap_or_else(clock::now);
    // A wrong clock at one ceremony would stay with the fleet: no later file may be older.
    let days = LIMITS.clock_seconds / (24 * 3600);
    if next.built > in_force.built.plus_days(days) {
        let (built, last) = (next.built, in_force.built);
        let problem = format!("it would be made at {built}, more than 15 years after the last one ({last})");
        return Err(UsageError(format!("{problem}: set the clock, or give --built")).into());
    }
    let roots = Change { add: &args.add_root, remove: &args.remove_root, threshold: args.root_threshold };
    next.roles.root = roots.of("root", &in_force.roles.root)?;
    let releases = Change { add: &args.add_release, remove: &args.remove_release, threshold: args.release_threshold };
    next.roles.release = releases.of("release", &in_force.roles.release)?;
    if args.reset_floors {
        next.floor_epoch = next.epoch;
    }
    next.minimum_version = args.minimum_version.unwrap_or(next.minimum_version);
    next.policy.expiry = args.expiry.unwrap_or(next.policy.expiry);
    next.policy.state = args.state.unwrap_or(next.policy.state);
    next.policy.rescue_prompt = args.rescue_prompt.unwrap_or(next.policy.rescue_prompt);
    next.policy.max_validity_days = args.max_validity_days.unwrap_or(next.policy.max_validity_days);
    if args.no_sigsum {
        next.policy.transparency = None;
    }
    next.policy.transparency = args.logging.transparency()?.or(next.policy.transparency);
    Ok(next)
}

/// What becomes of a role.
struct Change<'a> {
    add: &'a [PathBuf],
    remove: &'a [String],
    threshold: Option<usize>,
}

impl Change<'_> {
    fn of(&self, name: &str, role: &Role) -> anyhow::Result<Role> {
        let mut keys = role.keys().to_vec();
        for removed in self.remove {
            let index = find(&keys, removed).map_err(|problem| UsageError(format!("role {name}: {problem}")))?;
            keys.remove(index);
        }
        for file in self.add {
            keys.push(key(file)?);
        }
        let threshold = self.threshold.unwrap_or(role.threshold());
        Role::new(threshold, keys).map_err(|error| UsageError(format!("role {name}: {error}")).into())
    }
}

/// The one key with this name or id.
fn find(keys: &[PublicKey], wanted: &str) -> Result<usize, String> {
    let mut found = keys.iter().enumerate().filter(|(_, key)| key.name() == wanted || key.id().to_string() == wanted);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => Err(format!("two keys have the name {wanted:?}; say which by its id")),
        (None, _) => {
            let names: Vec<_> = keys.iter().map(|key| format!("{} ({})", key.name(), key.id())).collect();
            Err(format!("there is no key {wanted:?}; there are {}", names.join(", ")))
        }
    }
}

fn has(role: &Role, id: KeyId) -> bool {
    role.keys().iter().any(|key| key.id() == id)
}
