//! `phase sign`: an envelope (DSSE) around a manifest, or one more signature in an envelope.
//!
//! Only what a machine would be able to read is signed: the manifest is parsed first.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde::Serialize;
use verify::{Envelope, KeyId, LIMITS, Manifest, Sha256Digest, dsse};

use crate::{
    key::PrivateKey,
    output::{self, Existing},
};

/// Signs a manifest, or adds signatures to an envelope.
#[derive(clap::Args)]
#[command(after_help = "\
Scripts give the passphrase in PHASE_PASSPHRASE. A key that has signed already replaces its signature.

Examples:
  phase sign --key keys/release manifest.json --out manifest.dsse.json
  phase sign --key keys/second --add manifest.dsse.json        # in place")]
pub struct Args {
    /// Private keys to sign with
    #[arg(long, value_name = "KEY", required = true)]
    pub key: Vec<PathBuf>,
    /// The manifest
    #[arg(value_name = "MANIFEST", required_unless_present = "add", conflicts_with = "add", requires = "out")]
    pub manifest: Option<PathBuf>,
    /// The envelope that gets the signatures; changed in place unless --out is given
    #[arg(long, value_name = "ENVELOPE")]
    pub add: Option<PathBuf>,
    /// Where the envelope goes
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    envelope: PathBuf,
    manifest_sha256: Sha256Digest,
    key_ids: Vec<KeyId>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mut envelope, out, existing) = source(args)?;
    let manifest = Manifest::parse(&envelope.payload).context("not signed, since no machine would accept it")?;
    sign_with(&mut envelope, &read_keys(&args.key)?);
    output::write(&out, envelope.to_json()?.as_bytes(), 0o644, existing)?;
    let report = Report {
        envelope: out,
        manifest_sha256: Sha256Digest::of(&envelope.payload),
        key_ids: envelope.signatures.iter().map(|signature| signature.keyid).collect(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("envelope     {}", report.envelope.display());
        println!("manifest     {} {} version {}", manifest.channel, manifest.arch, manifest.version);
        println!("             sha256 {}", report.manifest_sha256);
        for id in &report.key_ids {
            println!("signed by    {id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a signature of each key.
pub fn sign_with(envelope: &mut Envelope, keys: &[PrivateKey]) {
    let message = envelope.pae();
    for key in keys {
        envelope.add_signature(key.public().id(), key.sign(&message));
    }
}

/// Reads the keys, asking for passphrases as needed.
pub fn read_keys(files: &[PathBuf]) -> anyhow::Result<Vec<PrivateKey>> {
    files.iter().map(|file| PrivateKey::read(file)).collect()
}

/// The envelope to sign, where it goes, and what happens to a file there.
fn source(args: &Args) -> anyhow::Result<(Envelope, PathBuf, Existing)> {
    let existing = Existing::from_force(args.force);
    match (&args.add, &args.manifest, &args.out) {
        (Some(add), _, out) => {
            let bytes = output::read_limited(add, LIMITS.envelope_bytes as u64)?;
            let envelope = Envelope::parse(&bytes).with_context(|| add.display().to_string())?;
            anyhow::ensure!(
                envelope.payload_type == dsse::MANIFEST_TYPE,
                "{} holds {:?}; wanted {:?}",
                add.display(),
                envelope.payload_type,
                dsse::MANIFEST_TYPE
            );
            // Without --out, replacing the envelope is what was asked for.
            let (out, existing) = out.clone().map_or((add.clone(), Existing::Replace), |out| (out, existing));
            Ok((envelope, out, existing))
        }
        (None, Some(manifest), Some(out)) => {
            let payload = output::read_limited(manifest, LIMITS.manifest_bytes as u64)?;
            Ok((Envelope::new(dsse::MANIFEST_TYPE, payload), out.clone(), existing))
        }
        // clap's `requires` has refused this already.
        (None, _, _) => anyhow::bail!("MANIFEST and --out, or --add, are needed"),
    }
}
