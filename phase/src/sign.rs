//! `phase sign`: an envelope (DSSE) around a manifest, or more signatures in an envelope of a manifest or a trust file.
//!
//! Only what a machine would be able to read is signed: the document is parsed first. The envelope file is all that
//! holders of keys on different machines pass on, one by one or as copies that [`Args::merge`] puts together again.

use std::{io::Write, path::Path, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use verify::{Envelope, KeyId, LIMITS, Manifest, Sha256Digest, Trust, dsse, names::quoted};

use crate::{
    cli::UsageError,
    output::{self, Existing},
    signer::Signers,
    trust,
};

/// Signs a manifest, or adds signatures to an envelope.
#[derive(clap::Args)]
#[command(after_help = "\
What is to be signed is shown on standard error before a key is opened. A key file may be PKCS#8 PEM, OpenSSH, minisign,
signify, or 32 raw bytes. Scripts give its passphrase in PHASE_PASSPHRASE. A key that has signed already
replaces its signature. A --signer is run by `sh -c`; its signature is checked against --signer-public before anything is
written.

Examples:
  phase sign --key keys/release manifest.json --out manifest.dsse.json
  phase sign --key keys/second --add manifest.dsse.json        # in place
  phase sign --merge from-ada.json --merge from-bo.json --add manifest.dsse.json
  phase sign --signer 'openssl pkeyutl -sign -rawin -inkey k.pem -in /dev/stdin' \\
      --signer-public k.pub --add manifest.dsse.json
  phase sign --print-pae manifest.json > to-be-signed.bin      # for a key elsewhere")]
pub struct Args {
    /// Who signs
    #[command(flatten)]
    pub signers: Signers,
    /// The manifest
    #[arg(value_name = "MANIFEST", required_unless_present = "add", conflicts_with = "add")]
    pub manifest: Option<PathBuf>,
    /// The envelope that gets the signatures; changed in place unless --out is given
    #[arg(long, value_name = "ENVELOPE")]
    pub add: Option<PathBuf>,
    /// Takes over the signatures of another envelope of the same document; may be repeated
    #[arg(long, value_name = "ENVELOPE", requires = "add")]
    pub merge: Vec<PathBuf>,
    /// Where the envelope goes
    #[arg(long, value_name = "FILE", required_unless_present_any = ["add", "print_pae"])]
    pub out: Option<PathBuf>,
    /// Sign nothing: write the bytes that a signature covers to standard output
    #[arg(long, conflicts_with_all = ["key", "signer", "merge", "out", "json"])]
    pub print_pae: bool,
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
    payload_type: String,
    payload_sha256: Sha256Digest,
    key_ids: Vec<KeyId>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let only_merged = !args.merge.is_empty() && args.signers.is_empty();
    if !args.print_pae && !only_merged {
        args.signers.check()?;
    }
    let mut envelope = source(args)?;
    let shown = describe(&envelope)?;
    if args.print_pae {
        std::io::stdout().write_all(&envelope.pae()).context("cannot write to standard output")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (out, existing) = destination(args)?;
    // Before a passphrase is asked or a token touched: nobody does that for nothing.
    existing.allows(out)?;
    for copy in &args.merge {
        merge(&mut envelope, copy)?;
    }
    if !only_merged {
        // Before a passphrase is typed or a token touched: whoever signs goes by what is signed, not by what was said of it.
        eprintln!("to be signed, sha256 {}\n{shown}\n{}", Sha256Digest::of(&envelope.payload), details(&envelope)?);
        args.signers.open()?.sign(&mut envelope)?;
    }
    let json = envelope.to_json()?;
    // What nobody could read is not written: too many signatures, say.
    Envelope::parse(json.as_bytes()).context("nothing was written")?;
    output::write(out, json.as_bytes(), 0o644, existing)?;
    let report = Report {
        envelope: out.to_owned(),
        payload_sha256: Sha256Digest::of(&envelope.payload),
        payload_type: envelope.payload_type,
        key_ids: envelope.signatures.iter().map(|signature| signature.keyid).collect(),
    };
    output::show(&report, args.json, |report| {
        println!("envelope     {}", report.envelope.display());
        println!("{shown}");
        println!("             sha256 {}", report.payload_sha256);
        for id in &report.key_ids {
            println!("signed by    {id}");
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Reads an envelope file. Its signatures are not checked.
///
/// # Errors
/// It cannot be read, or is no envelope.
pub fn read_envelope(path: &Path) -> anyhow::Result<Envelope> {
    let bytes = output::read_limited(path, LIMITS.envelope_bytes as u64)?;
    Envelope::parse(&bytes).with_context(|| path.display().to_string())
}

/// The envelope to sign; a new one has no signatures yet.
fn source(args: &Args) -> anyhow::Result<Envelope> {
    match (&args.add, &args.manifest) {
        (Some(add), _) => read_envelope(add),
        (None, Some(manifest)) => {
            let payload = output::read_limited(manifest, LIMITS.manifest_bytes as u64)?;
            Ok(Envelope::new(dsse::MANIFEST_TYPE, payload))
        }
        // clap's `required_unless_present` has refused this already.
        (None, None) => bail!(UsageError("MANIFEST or --add is needed".to_owned())),
    }
}

/// Where the envelope goes, and what happens to a file there.
fn destination(args: &Args) -> anyhow::Result<(&Path, Existing)> {
    match (&args.out, &args.add) {
        (Some(out), _) => Ok((out, Existing::from_force(args.force))),
        // Without --out, replacing the envelope is what was asked for.
        (None, Some(add)) => Ok((add, Existing::Replace)),
        // clap's `required_unless_present_any` has refused this already.
        (None, None) => bail!(UsageError("--out is needed".to_owned())),
    }
}

/// A line on what the envelope holds, for the person who signs it.
///
/// # Errors
/// It is nothing that a machine would read.
fn describe(envelope: &Envelope) -> anyhow::Result<String> {
    const NOT_SIGNED: &str = "not signed, since no machine would accept it";
    match envelope.payload_type.as_str() {
        dsse::MANIFEST_TYPE => {
            let manifest = Manifest::parse(&envelope.payload).context(NOT_SIGNED)?;
            Ok(format!("manifest     {} {} version {}", manifest.channel, manifest.arch, manifest.version))
        }
        dsse::TRUST_TYPE => {
            let trust = Trust::parse(&envelope.payload).context(NOT_SIGNED)?;
            Ok(format!("trust file   {} epoch {}", trust.channel, trust.epoch))
        }
        other => bail!(
            "{NOT_SIGNED}: the envelope holds {}; wanted {} or {}",
            quoted(other),
            dsse::MANIFEST_TYPE,
            dsse::TRUST_TYPE
        ),
    }
}

/// Everything else that it says, in lines; of the pieces of files, whose digests are many, only a list's.
fn details(envelope: &Envelope) -> anyhow::Result<String> {
    if envelope.payload_type == dsse::TRUST_TYPE {
        return Ok(trust::describe(&Trust::parse(&envelope.payload)?)?);
    }
    let fields = trust::flat(&serde_json::to_value(Manifest::parse(&envelope.payload)?)?);
    let said = fields.iter().filter(|(name, _)| !name.ends_with(".chunks"));
    let said = said.filter(|(name, _)| !matches!(name.as_str(), "schema" | "channel" | "arch" | "version"));
    Ok(said.map(|(name, value)| format!("             {name}: {value}")).collect::<Vec<_>>().join("\n"))
}

/// Takes over the signatures of `copy`.
///
/// # Errors
/// It is an envelope of something else, or has another signature of one key (Ed25519 makes one per document: one of the
/// two is bad, and which, only the public key tells).
fn merge(envelope: &mut Envelope, copy: &Path) -> anyhow::Result<()> {
    let other = read_envelope(copy)?;
    let name = copy.display();
    ensure!(
        other.payload_type == envelope.payload_type && other.payload == envelope.payload,
        "{name} holds another document (sha256 {}) than the envelope (sha256 {}); nothing was written",
        Sha256Digest::of(&other.payload),
        Sha256Digest::of(&envelope.payload)
    );
    for theirs in other.signatures {
        match envelope.signatures.iter().find(|ours| ours.keyid == theirs.keyid) {
            None => envelope.add_signature(theirs.keyid, theirs.sig),
            Some(ours) => ensure!(
                ours.sig == theirs.sig,
                "{name} has another signature of key {} than the envelope; one of them is bad; nothing was written",
                theirs.keyid
            ),
        }
    }
    Ok(())
}
