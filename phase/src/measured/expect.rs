//! `phase measured expect`: what register 14 will hold when a machine boots a release, so that somebody can seal a secret by it
//! before the release is published.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use serde::Serialize;
use verify::measured::{Bank, Entry, Log, PCR};
use verify::{Channel, Envelope, Handoff, LIMITS, Manifest, Sha256Digest, Trust, dsse};

use super::{Register, plainly};
use crate::{
    cli::UsageError,
    output::{self, Existing},
};

/// Predicts what register 14 will hold after a release was booted.
#[derive(clap::Args)]
#[command(after_help = "\
The envelope counts byte by byte, with its signatures: predict from the one that is published. The trust file is the one \
that will be in force: that of the boot initramfs, or the last rotation that machines follow.

Examples:
  phase measured expect --trust trust.json tree/demo/x86_64/manifest.dsse.json
  phase measured expect --trust trust.json --bank sha256 --handoff kexec --out pcr14.bin \\
      manifest.dsse.json
  phase measured expect --trust trust.json --start measured.log manifest.dsse.json

--start is for a machine whose shim extends register 14 before.

--out writes the value as `tpm2_createpolicy --policy-pcr --pcr-list sha256:14 --pcr pcr14.bin` takes it.

Exit status: 0 predicted; 1 a release is not signed by this trust file, or a file cannot be used; 2 wrong usage.")]
pub(super) struct ExpectArgs {
    /// Releases, as they are published
    #[arg(value_name = "ENVELOPE", required = true)]
    envelope: Vec<PathBuf>,
    /// The trust file in force: its JSON, or the envelope of a rotation
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The way in: kexec or direct; both that the manifest lists if not given
    #[arg(long, value_name = "WAY")]
    handoff: Option<Handoff>,
    /// Only this bank: sha1, sha256, sha384 or sha512
    #[arg(long)]
    bank: Option<Bank>,
    /// Begin with what the register held in this log of the machine, and with its banks, instead of zeros
    #[arg(long, value_name = "LOG")]
    start: Option<PathBuf>,
    /// Write the value itself to a file; needs --bank and one prediction
    #[arg(long, value_name = "FILE", requires = "bank")]
    out: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long, requires = "out")]
    force: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// One prediction; `--json` prints a list of them.
#[derive(Debug, Serialize)]
struct Expected {
    envelope: PathBuf,
    channel: Channel,
    version: u64,
    handoff: Handoff,
    pcr: u32,
    events: Vec<String>,
    registers: Vec<Register>,
}

/// Runs the command.
pub(super) fn run(args: &ExpectArgs) -> anyhow::Result<ExitCode> {
    let start = start(args)?;
    let trusted = Trusted::read(&args.trust)?;
    let mut expected = Vec::new();
    for path in &args.envelope {
        let release = Release::read(path, &trusted)?;
        for way in release.ways(args.handoff)? {
            let log = release.measured(&trusted, way, start.clone())?;
            expected.push((release.expected(way, &log), log));
        }
    }
    if let (Some(out), [(_, log)]) = (&args.out, &expected[..]) {
        let value: Vec<u8> = log.registers().into_iter().flat_map(|(_, value)| value).collect();
        output::write(out, &value, 0o644, Existing::from_force(args.force))?;
    } else if args.out.is_some() {
        let message = format!("--out takes one prediction, and these are {}: name a --handoff", expected.len());
        return Err(UsageError(message).into());
    }
    let expected: Vec<Expected> = expected.into_iter().map(|(expected, _)| expected).collect();
    output::show(&expected, args.json, |expected| expected.iter().for_each(print))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the register begins, in the banks that are wanted.
fn start(args: &ExpectArgs) -> anyhow::Result<Log> {
    let mut banks: Vec<(Bank, Vec<u8>)> = match &args.start {
        None => Bank::ALL.into_iter().map(|bank| (bank, vec![0; bank.size()])).collect(),
        Some(path) => {
            let bytes = output::read_limited(path, LIMITS.measured_log_bytes as u64)?;
            Log::parse(&bytes).with_context(|| path.display().to_string())?.start().to_vec()
        }
    };
    banks.retain(|(bank, _)| args.bank.is_none_or(|wanted| wanted == *bank));
    Log::new(banks).context("the log of --start has no such bank")
}

/// A trust file, and the digest that machines measure.
struct Trusted {
    trust: Trust,
    digest: Sha256Digest,
}

impl Trusted {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = output::read_limited(path, LIMITS.envelope_bytes as u64)?;
        // A trust file has no `payloadType`, an envelope no `schema`: only one of the two can be read.
        let payload = match Envelope::parse(&bytes) {
            Ok(envelope) if envelope.payload_type == dsse::TRUST_TYPE => envelope.payload,
            _ => bytes,
        };
        let trust = Trust::parse(&payload).with_context(|| path.display().to_string())?;
        Ok(Self { trust, digest: Sha256Digest::of(&payload) })
    }
}

/// A signed release.
struct Release {
    path: PathBuf,
    envelope: Sha256Digest,
    digest: Sha256Digest,
    manifest: Manifest,
}

impl Release {
    fn read(path: &Path, trusted: &Trusted) -> anyhow::Result<Self> {
        let context = || path.display().to_string();
        let bytes = output::read_limited(path, LIMITS.envelope_bytes as u64)?;
        let envelope = Envelope::parse(&bytes).with_context(context)?;
        let (seen, wanted) = (&envelope.payload_type, dsse::MANIFEST_TYPE);
        ensure!(seen == wanted, "{}: an envelope of {}, wanted {wanted}", path.display(), seen.escape_default());
        let role = &trusted.trust.roles.release;
        role.enough_signers(&envelope).with_context(|| format!("{}: no machine boots it", path.display()))?;
        let manifest = Manifest::parse(&envelope.payload).with_context(context)?;
        let channel = &trusted.trust.channel;
        ensure!(
            manifest.channel == *channel,
            "{}: of channel {}; the trust file is for {channel}",
            path.display(),
            manifest.channel
        );
        let digest = Sha256Digest::of(&envelope.payload);
        Ok(Self { path: path.to_owned(), envelope: Sha256Digest::of(&bytes), digest, manifest })
    }

    /// The ways that machines take, or the one that is wanted.
    fn ways(&self, wanted: Option<Handoff>) -> anyhow::Result<Vec<Handoff>> {
        let listed = self.manifest.handoff.iter().copied().filter(|way| *way != Handoff::Foreign);
        let ways: Vec<Handoff> = listed.filter(|way| wanted.is_none_or(|wanted| wanted == *way)).collect();
        let lists = || self.manifest.handoff.iter().map(|way| way.as_str()).collect::<Vec<_>>().join(", ");
        ensure!(!ways.is_empty(), "{}: its hand-offs are {}", self.path.display(), lists());
        Ok(ways)
    }

    /// The log that a machine will write.
    fn measured(&self, trusted: &Trusted, way: Handoff, mut log: Log) -> anyhow::Result<Log> {
        let entry = Entry {
            epoch: trusted.trust.epoch,
            trust: trusted.digest,
            envelope: self.envelope,
            digest: self.digest,
            manifest: &self.manifest,
            way,
        };
        for words in entry.events() {
            log.push(&words)?;
        }
        Ok(log)
    }

    fn expected(&self, way: Handoff, log: &Log) -> Expected {
        Expected {
            envelope: self.path.clone(),
            channel: self.manifest.channel.clone(),
            version: self.manifest.version,
            handoff: way,
            pcr: PCR,
            events: log.events().iter().map(|event| event.words().to_owned()).collect(),
            registers: log.registers().into_iter().map(Register::from).collect(),
        }
    }
}

fn print(expected: &Expected) {
    let Expected { envelope, channel, version, handoff, pcr, events, registers } = expected;
    println!("release {version} of {channel} ({}), entered by {handoff}: register {pcr} will hold", envelope.display());
    for Register { bank, value } in registers {
        println!("{:<11} {value}", bank.as_str());
    }
    for (number, words) in events.iter().enumerate() {
        println!("event {:<5} {}", number + 1, plainly(words));
    }
}
