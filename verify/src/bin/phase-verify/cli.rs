//! The command line.

use std::path::PathBuf;

use verify::{Arch, Timestamp};

const EXAMPLES: &str = "\
Examples:
  phase-verify --trust trust.json manifest.dsse.json
  phase-verify --trust trust.json manifest.dsse.json --blobs blobs/sha256
  phase-verify --trust trust.json --tree /media/stick
  phase-verify --trust trust.json --tree mirror --json | jq .good

Exit status: 0 good, 1 refused, 2 wrong usage, or a file that the command line names cannot be read. What a tree \
should have and does not is refused (1).";

/// Checks releases as a machine would before it boots them: signatures, dates, versions, rotations, logs, files.
#[derive(Debug, clap::Parser)]
#[command(name = "phase-verify", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The trust file of the machines that boot the release
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// The release's envelope
    #[arg(value_name = "ENVELOPE", required_unless_present = "tree", conflicts_with = "tree")]
    pub(crate) envelope: Option<PathBuf>,
    /// Check a whole published tree instead: every release, its files, and the trust files that lead on
    #[arg(long, value_name = "DIR", conflicts_with_all = ["blobs", "chain", "proof"])]
    pub(crate) tree: Option<PathBuf>,
    /// Check the release's files, which stand in this directory under their SHA-256
    #[arg(long, value_name = "DIR")]
    pub(crate) blobs: Option<PathBuf>,
    /// Trust files that replaced the one in --trust, in any order; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) chain: Vec<PathBuf>,
    /// The proof that the release was logged
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: Option<PathBuf>,
    /// The machines that are meant (default: those that the release is for)
    #[arg(long)]
    pub(crate) arch: Option<Arch>,
    /// The time to go by, like 2026-11-20T12:00:00Z (default: the clock, if it is not before the trust file)
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<Timestamp>,
    /// The version that the machines have already: older ones are refused
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) floor_version: u64,
    /// Print the result as JSON (docs/audit.md)
    #[arg(long)]
    pub(crate) json: bool,
}
