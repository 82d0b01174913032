//! `phase publish`: files become a signed release in a published tree.
//!
//! Everything that can be refused is refused before the tree changes: the command line, the keys, the version, and what
//! the manifest will say. Blobs go in first; the envelope, checked against the trust file if one is given, last.

mod draft;
pub(crate) mod live;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde::Serialize;
use verify::{Arch, Candidate, Channel, Envelope, Handoff, KeyId, Manifest, Sha256Digest, Timestamp, Upper, dsse};

use crate::{
    announce::{self, Announcer},
    cli::UsageError,
    output::{self, Existing},
    signer::Signers,
    tree::{Blob, Tree},
};

/// Signs a release and publishes it in a tree that any static web server can carry.
#[derive(clap::Args)]
#[command(after_help = "\
The tree gets <channel>/<arch>/manifest.dsse.json and blobs/sha256/<digest>. Blobs are written first and the \
envelope last, each by rename, so the tree may be served while this runs. --prune removes blobs that a slow machine \
may still be downloading. With --unsigned the files are stored and the manifest is written for `phase sign`; what holders \
of keys signed goes live with `phase put-live`.

Examples:
  phase publish --tree tree --channel demo --version 7 --key keys/release \\
      --trust trust.json --kernel vmlinuz --initramfs initramfs.zst \\
      --rootfs root.squashfs --cmdline 'console=ttyS0 quiet' \\
      --handoff kexec,direct
  phase publish --tree tree --channel demo --version 8 --key keys/release \\
      --handoff direct --rootfs root.squashfs --upper persistent
  phase publish --tree tree --channel demo --version 9 --unsigned manifest.json \\
      --handoff direct --rootfs root.squashfs")]
pub struct Args {
    /// The tree; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub tree: PathBuf,
    /// The line of releases
    #[arg(long)]
    pub channel: Channel,
    /// The machines that it runs on
    #[arg(long, default_value_t = Arch::COMPILED)]
    pub arch: Arch,
    /// The release's version, above the published one
    #[arg(long, value_name = "N")]
    pub version: u64,
    /// Who signs
    #[command(flatten)]
    pub signers: Signers,
    /// The release's kernel
    #[arg(long, value_name = "FILE", requires = "initramfs")]
    pub kernel: Option<PathBuf>,
    /// The release's initramfs
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initramfs: Option<PathBuf>,
    /// The release's root file system, a squashfs
    #[arg(long, value_name = "FILE")]
    pub rootfs: Option<PathBuf>,
    /// The release's kernel command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub cmdline: String,
    /// PID 1 in the release's root
    #[arg(long, value_name = "PATH", default_value = "/sbin/init")]
    pub init: String,
    /// Hand-offs that are allowed, best first: kexec, direct, foreign
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "kexec")]
    pub handoff: Vec<Handoff>,
    /// Where changes to the root may go: `persistent` lets a machine whose owner wants it keep them on its own disk. Without
    /// it they go to memory. Boot media that are older than this option refuse such a release
    #[arg(long, value_name = "WHERE")]
    pub upper: Option<Upper>,
    /// The oldest trust file (epoch) that may accept it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub min_epoch: u64,
    /// Days from --issued on until it is out of date
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub expires_days: u64,
    /// When it was made, like 2026-11-20T12:00:00Z (default: now)
    #[arg(long, value_name = "TIME")]
    pub issued: Option<Timestamp>,
    /// Check the release as a machine with this trust file would, before it goes live
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Do not sign and do not go live: store the files and write the manifest here, for the holders of keys
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["key", "signer", "trust", "prune"])]
    pub unsigned: Option<PathBuf>,
    /// Where else it is made known
    #[command(flatten)]
    pub dht: announce::Dht,
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

/// What was published; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The line of releases.
    pub channel: Channel,
    /// The machines that it runs on.
    pub arch: Arch,
    /// The release's version.
    pub version: u64,
    /// When it is out of date.
    pub expires: Timestamp,
    /// Where the envelope stands; nowhere with --unsigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<PathBuf>,
    /// Where the manifest waits for signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsigned: Option<PathBuf>,
    /// Digest of the manifest.
    pub manifest_sha256: Sha256Digest,
    /// Who signed.
    pub key_ids: Vec<KeyId>,
    /// The files, in the order of the manifest.
    pub blobs: Vec<BlobReport>,
    /// Names of the blobs that were removed.
    pub pruned: Vec<String>,
    /// What the DHT has been told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dht: Option<announce::Report>,
}

/// One file of the release.
#[derive(Debug, Serialize)]
pub struct BlobReport {
    /// Its name in the manifest.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Whether the tree had it already.
    pub kept: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = publish(args)?;
    output::show(&report, args.json, print)?;
    Ok(ExitCode::SUCCESS)
}

/// Publishes a release.
///
/// # Errors
/// A [`UsageError`] if the command line cannot give a valid manifest, else what failed. The release that was published
/// before is untouched in every case but a failed prune or a DHT that does not answer.
pub fn publish(args: &Args) -> anyhow::Result<Report> {
    draft::check_handoffs(args)?;
    let mut manifest = draft::draft(args)?;
    Manifest::parse(manifest.to_json()?.as_bytes()).map_err(|error| UsageError(error.to_string()))?;
    let signers = match &args.unsigned {
        Some(out) => output::refuse_existing(out).map(|()| None)?,
        None => Some(args.signers.open()?),
    };
    let trust = args.trust.as_deref().map(live::read_trust).transpose()?;
    let announcer = Announcer::of(&args.dht)?;
    let tree = Tree::open(&args.tree)?;
    live::refuse_older(&tree, &manifest, args.allow_older)?;

    let mut blobs = Vec::new();
    for (artifact, path) in draft::artifacts_mut(&mut manifest).zip(draft::files(args)) {
        let Blob { size, sha256, pieces, kept } = tree.store(path, artifact.size)?;
        (artifact.sha256, artifact.pieces) = (sha256, pieces);
        blobs.push(BlobReport { name: artifact.name.clone(), size, sha256, kept });
    }

    let mut envelope = Envelope::new(dsse::MANIFEST_TYPE, manifest.to_json()?.into_bytes());
    let mut report = Report {
        channel: manifest.channel.clone(),
        arch: manifest.arch,
        version: manifest.version,
        expires: manifest.expires,
        envelope: None,
        unsigned: None,
        manifest_sha256: Sha256Digest::of(&envelope.payload),
        key_ids: Vec::new(),
        blobs,
        pruned: Vec::new(),
        dht: None,
    };
    if let Some(signers) = signers {
        signers.sign(&mut envelope)?;
        let release = Candidate::from(envelope.to_json()?.into_bytes());
        if let Some(trust) = &trust {
            live::check(&release, trust, args.arch)?;
        }
        report.key_ids = envelope.signatures.iter().map(|signature| signature.keyid).collect();
        report.envelope = Some(tree.put_release(&manifest, &release)?);
    }
    if let Some(out) = &args.unsigned {
        output::write(out, &envelope.payload, 0o644, Existing::Keep)?;
        report.unsigned = Some(out.clone());
    }
    if args.prune {
        report.pruned = tree.prune().context("the release is published")?;
    }
    if let Some(announcer) = announcer {
        let told = announcer.announce(&manifest.channel, manifest.arch, manifest.version);
        report.dht =
            Some(told.context("the release is published, but the DHT does not know it; try `phase announce`")?);
    }
    Ok(report)
}

fn print(report: &Report) {
    let done = if report.unsigned.is_some() { "stored      " } else { "published   " };
    println!("{done} {} {} version {}", report.channel, report.arch, report.version);
    if let Some(envelope) = &report.envelope {
        println!("envelope     {}", envelope.display());
    }
    if let Some(unsigned) = &report.unsigned {
        println!("unsigned     {}: not live before `phase sign` and `phase put-live`", unsigned.display());
    }
    println!("manifest     sha256 {}, until {}", report.manifest_sha256, report.expires);
    for blob in &report.blobs {
        let kept = if blob.kept { ", was there" } else { "" };
        println!("             {} {} ({} bytes{kept})", blob.sha256, blob.name, blob.size);
    }
    for id in &report.key_ids {
        println!("signed by    {id}");
    }
    for name in &report.pruned {
        println!("removed      {name}");
    }
    report.dht.iter().for_each(announce::print);
}
