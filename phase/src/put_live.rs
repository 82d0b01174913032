//! `phase put-live`: an envelope that the holders of keys have signed, each where the key is, becomes the published one.
//!
//! `phase publish --unsigned` has stored its files before. Nothing of the tree changes unless a machine would take the
//! release: signatures up to the threshold, dates, a version above the published one, and every blob there and whole.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde::Serialize;
use verify::{Arch, Candidate, Channel, KeyId, LIMITS, Manifest, Sha256Digest, Timestamp};

use crate::{output, publish::live, sign, tree::Tree};

/// Publishes a release that was stored by `phase publish --unsigned` and signed since.
#[derive(clap::Args)]
#[command(after_help = "\
Checked before the tree changes: the signatures and dates, as a machine with the trust file would; that the version is
above the published one; and that every blob of the manifest is in the tree, by its digest. A trust file with
`policy.transparency` wants --proof.

Examples, for two holders who pass the envelope on:
  phase publish --tree tree --channel demo --version 7 --unsigned manifest.json \\
      --rootfs root.squashfs --handoff direct
  phase sign --key ada manifest.json --out manifest.dsse.json
  phase sign --key bo --add manifest.dsse.json
  phase put-live --tree tree --trust trust.json manifest.dsse.json")]
pub struct Args {
    /// The tree
    #[arg(long, value_name = "DIR")]
    pub tree: PathBuf,
    /// The trust file of the machines that will boot it
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// The signed envelope
    #[arg(value_name = "ENVELOPE")]
    pub envelope: PathBuf,
    /// The proof that it was logged, as `sigsum-submit` writes it for the manifest's bytes
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Publish although the version is not above the published one
    #[arg(long)]
    pub allow_older: bool,
    /// Then remove the blobs that no envelope of the tree names
    #[arg(long)]
    pub prune: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What went live; `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    channel: Channel,
    arch: Arch,
    version: u64,
    expires: Timestamp,
    envelope: PathBuf,
    manifest_sha256: Sha256Digest,
    key_ids: Vec<KeyId>,
    pruned: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = put_live(args)?;
    output::show(&report, args.json, print)?;
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report) {
    println!("published    {} {} version {}", report.channel, report.arch, report.version);
    println!("envelope     {}", report.envelope.display());
    println!("manifest     sha256 {}, until {}", report.manifest_sha256, report.expires);
    for id in &report.key_ids {
        println!("signed by    {id}");
    }
    for name in &report.pruned {
        println!("removed      {name}");
    }
}

fn put_live(args: &Args) -> anyhow::Result<Report> {
    let trust = live::read_trust(&args.trust)?;
    let envelope = sign::read_envelope(&args.envelope)?;
    let proof = args.proof.as_deref().map(|file| output::read_limited(file, LIMITS.proof_bytes as u64)).transpose()?;
    let candidate = Candidate { envelope: envelope.to_json()?.into_bytes(), proof };
    // Its arch says which machines are asked; what they would say to it is the check.
    let arch = Manifest::parse(&envelope.payload).with_context(|| args.envelope.display().to_string())?.arch;
    let release = live::check(&candidate, &trust, arch)?;
    let tree = Tree::open_existing(&args.tree)?;
    live::refuse_older(&tree, &release, args.allow_older)?;
    tree.check_blobs(&release).context("not published; store the files again with `phase publish --unsigned`")?;
    let path = tree.put_release(&release, &candidate)?;
    Ok(Report {
        channel: release.channel.clone(),
        arch,
        version: release.version,
        expires: release.expires,
        envelope: path,
        manifest_sha256: release.digest(),
        key_ids: release.key_ids().to_vec(),
        pruned: if args.prune { tree.prune().context("the release is published")? } else { Vec::new() },
    })
}
