//! `phase measured replay`: a log's events in plain words, the register that they lead to, and whether that is the machine's.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, ensure};
use serde::Serialize;
use verify::LIMITS;
use verify::measured::{Log, PCR};

use super::{Register, plainly, registers};
use crate::output;

/// Replays the log of a measured boot and compares it with the TPM's registers.
#[derive(clap::Args)]
#[command(after_help = "\
A release finds the log of its boot in /run/phase/measured.log. Without --pcrs or --local only the log itself is looked \
at: that says what it claims, and not that a TPM agrees.

Examples:
  phase measured replay /run/phase/measured.log --local
  tpm2_pcrread sha256:14 | phase measured replay measured.log --pcrs -
  grep . /sys/class/tpm/tpm0/pcr-*/14 > pcrs && \\
      phase measured replay measured.log --pcrs pcrs --json

Exit status: 0 the log is whole and leads to the registers that were given; 1 it is not or does not; 2 wrong usage.")]
pub(super) struct ReplayArgs {
    /// The log
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// What the registers hold, as `tpm2_pcrread` or `grep . /sys/class/tpm/tpm0/pcr-*/14` prints it; - for standard input
    #[arg(long, value_name = "FILE")]
    pcrs: Option<PathBuf>,
    /// Compare with the TPM of this machine
    #[arg(long, conflicts_with = "pcrs")]
    local: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Replayed {
    pcr: u32,
    /// What the register held before the first event.
    start: Vec<Register>,
    events: Vec<Event>,
    banks: Vec<Compared>,
    /// Whether every event's digests are those of its words.
    whole: bool,
    /// Whether every register that was given is what the log leads to; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    agrees: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Event {
    words: String,
    whole: bool,
}

#[derive(Debug, Serialize)]
struct Compared {
    #[serde(flatten)]
    replayed: Register,
    /// What the TPM's register holds, if it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    register: Option<String>,
}

impl Compared {
    fn agrees(&self) -> Option<bool> {
        self.register.as_ref().map(|register| *register == self.replayed.value)
    }
}

/// Runs the command.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let bytes = output::read_limited(&args.log, LIMITS.measured_log_bytes as u64)?;
    let log = Log::parse(&bytes).with_context(|| args.log.display().to_string())?;
    let given = match &args.pcrs {
        Some(path) => Some(registers::read(path)?),
        None if args.local => Some(registers::of_this_machine()?),
        None => None,
    };
    let given = given.map(|given| given.into_iter().map(Register::from).collect::<Vec<_>>());
    let replayed = compare(&log, given.as_deref())?;
    output::show(&replayed, args.json, print)?;
    let good = replayed.whole && replayed.agrees != Some(false);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Beside what the log leads to, what the TPM holds.
fn compare(log: &Log, given: Option<&[Register]>) -> anyhow::Result<Replayed> {
    let changed: Vec<&str> = log.changed().map(verify::measured::Event::words).collect();
    let events = log
        .events()
        .iter()
        .map(|event| Event { words: event.words().to_owned(), whole: !changed.contains(&event.words()) });
    let beside = |replayed: Register| {
        let register = given.into_iter().flatten().find(|given| given.bank == replayed.bank);
        Compared { register: register.map(|register| register.value.clone()), replayed }
    };
    let banks: Vec<Compared> = log.registers().into_iter().map(|register| beside(register.into())).collect();
    let verdicts: Vec<bool> = banks.iter().filter_map(Compared::agrees).collect();
    let names = || banks.iter().map(|bank| bank.replayed.bank.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(
        given.is_none() || !verdicts.is_empty(),
        "no register that was given is of a bank of the log ({})",
        names()
    );
    Ok(Replayed {
        pcr: PCR,
        start: log.start().iter().cloned().map(Register::from).collect(),
        events: events.collect(),
        whole: changed.is_empty(),
        agrees: given.map(|_| verdicts.iter().all(|agrees| *agrees)),
        banks,
    })
}

fn print(replayed: &Replayed) {
    let Replayed { pcr, start, events, banks, whole, agrees } = replayed;
    println!("register {pcr}, {} event{}", events.len(), if events.len() == 1 { "" } else { "s" });
    for Register { bank, value } in start {
        if value.bytes().any(|digit| digit != b'0') {
            println!(
                "before      {bank} {value}: not zeros: shim or somebody else extended it before, and of that this log says nothing"
            );
        }
    }
    for (number, event) in events.iter().enumerate() {
        let changed = if event.whole { "" } else { "   CHANGED: the digests are not those of these words" };
        println!("event {:<5} {}{changed}", number + 1, plainly(&event.words));
    }
    for bank in banks {
        let verdict = match bank.agrees() {
            Some(true) => "   the register agrees".to_owned(),
            Some(false) => format!("\n            the register holds {}", bank.register.as_deref().unwrap_or_default()),
            None => String::new(),
        };
        println!("{:<11} {}{verdict}", bank.replayed.bank.as_str(), bank.replayed.value);
    }
    match (whole, agrees) {
        (true, Some(true)) => println!("The log leads to what the TPM holds."),
        (_, Some(false)) => {
            println!("The log does NOT lead to what the TPM holds: it was changed, or is of another boot.");
        }
        (false, _) => println!("The log was CHANGED."),
        (true, None) => {
            println!("The log is whole. Whether it is this machine's, its registers tell: --local or --pcrs.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use verify::measured::Bank;

    fn log() -> Log {
        let mut log = Log::new(vec![(Bank::Sha1, vec![0; 20]), (Bank::Sha256, vec![0; 32])]).unwrap();
        log.push("phase.measured/1 handoff kexec").unwrap();
        log
    }

    #[test]
    fn registers_agree_or_do_not_and_one_bank_is_enough_to_tell() {
        let registers: Vec<Register> = log().registers().into_iter().map(Register::from).collect();
        let agrees = |given: &[Register]| compare(&log(), Some(given)).unwrap().agrees;
        assert_eq!(compare(&log(), None).unwrap().agrees, None);
        assert_eq!((agrees(&registers), agrees(&registers[1..])), (Some(true), Some(true)));
        let other = Register { value: HEXLOWER.encode(&[0; 32]), ..registers[1].clone() };
        assert_eq!((agrees(&[registers[0].clone(), other.clone()]), agrees(&[other])), (Some(false), Some(false)));
        let foreign = Register { bank: Bank::Sha512, value: String::new() };
        let error = compare(&log(), Some(&[foreign])).unwrap_err().to_string();
        assert_eq!(error, "no register that was given is of a bank of the log (sha1, sha256)");
    }
}
