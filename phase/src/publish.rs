//! `phase publish`: files become a signed release in a published tree.
//!
//! Everything that can be refused is refused before the tree changes: the command line, the keys, the version, and what
//! the manifest will say. Blobs go in first; the envelope, checked against the trust file if one is given, last.

mod draft;

use std::{path::Path, path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde::Serialize;
use verify::{
    Arch, Channel, Envelope, Floors, Handoff, KeyId, LIMITS, Manifest, Now, Rules, Sha256Digest, Timestamp, Trust,
    dsse, verified,
};

use crate::{
    cli::UsageError,
    clock, output, sign,
    tree::{Blob, Tree},
};

/// Signs a release and publishes it in a tree that any static web server can carry.
#[derive(clap::Args)]
#[command(after_help = "\
The tree gets <channel>/<arch>/manifest.dsse.json and blobs/sha256/<digest>. Blobs are written first and the \
envelope last, each by rename, so the tree may be served while this runs. --prune removes blobs that a slow machine \
may still be downloading.

Examples:
  phase publish --tree tree --channel demo --version 7 --key keys/release \\
      --trust trust.json --kernel vmlinuz --initramfs initramfs.zst \\
      --rootfs root.squashfs --cmdline 'console=ttyS0 quiet' \\
      --handoff kexec,direct
  phase publish --tree tree --channel demo --version 8 --key keys/release \\
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
    /// Private keys to sign with
    #[arg(long, value_name = "KEY", required = true)]
    pub key: Vec<PathBuf>,
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
    /// Where the envelope stands.
    pub envelope: PathBuf,
    /// Digest of the manifest that was signed.
    pub manifest_sha256: Sha256Digest,
    /// Who signed.
    pub key_ids: Vec<KeyId>,
    /// The files, in the order of the manifest.
    pub blobs: Vec<BlobReport>,
    /// Names of the blobs that were removed.
    pub pruned: Vec<String>,
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
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

/// Publishes a release.
///
/// # Errors
/// A [`UsageError`] if the command line cannot give a valid manifest, else what failed. The release that was published
/// before is untouched in every case but a failed prune.
pub fn publish(args: &Args) -> anyhow::Result<Report> {
    draft::check_handoffs(args)?;
    let mut manifest = draft::draft(args)?;
    Manifest::parse(manifest.to_json()?.as_bytes()).map_err(|error| UsageError(error.to_string()))?;
    let keys = sign::read_keys(&args.key)?;
    let trust = args.trust.as_deref().map(read_trust).transpose()?;
    let tree = Tree::open(&args.tree)?;
    refuse_older(&tree, args)?;

    let mut blobs = Vec::new();
    for (artifact, path) in draft::artifacts_mut(&mut manifest).zip(draft::files(args)) {
        let Blob { size, sha256, kept } = tree.store(path, artifact.size)?;
        artifact.sha256 = sha256;
        blobs.push(BlobReport { name: artifact.name.clone(), size, sha256, kept });
    }

    let mut envelope = Envelope::new(dsse::MANIFEST_TYPE, manifest.to_json()?.into_bytes());
    sign::sign_with(&mut envelope, &keys);
    let json = envelope.to_json()?;
    if let Some(trust) = &trust {
        check(&json, trust, args.arch)?;
    }
    let path = tree.put_envelope(&manifest, &json)?;
    let pruned = if args.prune { tree.prune().context("the release is published")? } else { Vec::new() };
    Ok(Report {
        channel: manifest.channel,
        arch: manifest.arch,
        version: manifest.version,
        expires: manifest.expires,
        envelope: path,
        manifest_sha256: Sha256Digest::of(&envelope.payload),
        key_ids: envelope.signatures.iter().map(|signature| signature.keyid).collect(),
        blobs,
        pruned,
    })
}

fn read_trust(path: &Path) -> anyhow::Result<Trust> {
    let bytes = output::read_limited(path, LIMITS.trust_bytes as u64)?;
    Trust::parse(&bytes).with_context(|| path.display().to_string())
}

fn refuse_older(tree: &Tree, args: &Args) -> anyhow::Result<()> {
    if args.allow_older {
        return Ok(());
    }
    let hint = "--allow-older publishes anyway";
    let Some(published) = tree.published(&args.channel, args.arch).context(hint)? else {
        return Ok(());
    };
    anyhow::ensure!(
        args.version > published.version,
        "version {} is not above {}, which {} {} has in this tree; machines never go back ({hint})",
        args.version,
        published.version,
        args.channel,
        args.arch,
    );
    Ok(())
}

/// What a machine that has just been made with this trust file would say.
fn check(envelope: &str, trust: &Trust, arch: Arch) -> anyhow::Result<()> {
    let now = Now { time: clock::now().max(trust.built), trusted: true };
    let release = verified::manifest(
        &envelope.to_owned().into_bytes().into(),
        &Rules { trust, arch, now, floors: Floors::default() },
    )
    .context("not published, since the trust file refuses it")?;
    for warning in release.warnings() {
        eprintln!("phase: warning: {warning}");
    }
    Ok(())
}

fn print(report: &Report) {
    println!("published    {} {} version {}", report.channel, report.arch, report.version);
    println!("envelope     {}", report.envelope.display());
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
}
