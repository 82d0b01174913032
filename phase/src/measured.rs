//! `phase measured`: what a machine's TPM was told of the release that it booted, checked against its registers, and what it
//! will be told of a release before anybody boots it (docs/measured-boot.md).

mod expect;
mod registers;
mod replay;

use std::process::ExitCode;

use clap::Subcommand;
use data_encoding::HEXLOWER;
use serde::Serialize;
use verify::measured::Bank;

/// Checks the log of a measured boot, and predicts registers.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Replay(replay::ReplayArgs),
    Expect(expect::ExpectArgs),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Replay(args) => replay::run(args),
        Command::Expect(args) => expect::run(args),
    }
}

/// What register 14 holds in one bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Register {
    #[serde(serialize_with = "as_text")]
    bank: Bank,
    /// Lower-case hex digits.
    value: String,
}

impl From<(Bank, Vec<u8>)> for Register {
    fn from((bank, value): (Bank, Vec<u8>)) -> Self {
        Self { bank, value: HEXLOWER.encode(&value) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn as_text<S: serde::Serializer>(bank: &Bank, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(bank)
}

/// An event's words as a person says them. Words of another form stay as they are: they are printable ASCII.
fn plainly(words: &str) -> String {
    let mut parts = words.split(' ');
    let known = parts.next() == Some("phase.measured/1");
    let kind = parts.next().filter(|_| known).unwrap_or_default();
    let fields: Vec<(&str, &str)> = parts.clone().filter_map(|part| part.split_once('=')).collect();
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map_or("?", |(_, value)| *value);
    let what = match kind {
        "trust" => format!("the trust file of epoch {}", field("epoch")),
        "envelope" => "the envelope that the release came in".to_owned(),
        "manifest" => {
            format!("release {} of {} for {}: its manifest", field("version"), field("channel"), field("arch"))
        }
        "kernel" | "initramfs" => format!("the release's {kind}"),
        "rootfs" => "the release's root file system".to_owned(),
        "handoff" => return format!("entered by {}", parts.next().unwrap_or("?")),
        _ => return words.to_owned(),
    };
    format!("{what}, sha256 {}", field("sha256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_said_in_plain_words() {
        let plain = |words: &str| plainly(&format!("phase.measured/1 {words}"));
        assert_eq!(plain("trust epoch=3 sha256=ab"), "the trust file of epoch 3, sha256 ab");
        let manifest = plain("manifest channel=demo arch=x86_64 version=7 sha256=ab");
        assert_eq!(manifest, "release 7 of demo for x86_64: its manifest, sha256 ab");
        assert_eq!(plain("kernel sha256=ab"), "the release's kernel, sha256 ab");
        assert_eq!(plain("handoff kexec"), "entered by kexec");
        assert_eq!(plain("other x=1"), "phase.measured/1 other x=1");
        assert_eq!(plainly("phase.measured/2 trust epoch=3"), "phase.measured/2 trust epoch=3");
    }
}
