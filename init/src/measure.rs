//! Measured boot: before a release is entered, the TPM's register 14 is extended with what is entered, and the events are
//! written down (docs/measured-boot.md). Which events those are, and the form of the log, is the crate `verify`'s.
//!
//! Guarantees: nothing of a release is loaded or mounted before all of it was measured, or before the console said that it was
//! not. A TPM that is not there, refuses or is silent is waited for up to [`PATIENCE`] (and for as long as the kernel itself does not
//! give up a command, which closing its device waits for) and stops a boot only if config.json says so. What was measured once is not measured again, so that a second attempt leads to the same register as a single one.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use verify::measured::{Entry, Log, LogError};

use crate::config::{self, Measure};
use crate::console::Console;
use crate::mode::Mode;
use crate::record::MEASURED_LOG;
use crate::timeline::Kind;
use crate::tpm::codec::{self, Refused};
use crate::tpm::{Device, pcr};

/// How long all of it may take. A TPM for PCs is to extend a register within 750 ms (drivers/char/tpm/tpm2-cmd.c of Linux
/// gives up then, and on a read only after two minutes), and needs some 10 ms for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a boot does about its TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing is measured.
    Off,
    /// What can be measured is.
    IfPossible,
    /// What cannot be measured is not entered.
    Required,
}

impl Policy {
    /// As config.json says, and `asked` on the command line, which can only ask for more. Private mode promises not to write to
    /// the TPM.
    pub fn of(mode: Mode, configured: Option<Measure>, asked: bool) -> Self {
        match (configured, mode) {
            (Some(Measure::Required), _) => Self::Required,
            (None, Mode::Private) if !asked => Self::Off,
            _ => Self::IfPossible,
        }
    }
}

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// No TPM.
    #[error(
        "there is no TPM 2.0: /dev/tpmrm0: {0}; is it switched on in the firmware, is its driver in the boot initramfs (--modules tpm)?"
    )]
    NoTpm(Errno),
    /// The driver's answer, or none in time.
    #[error("the TPM cannot be talked to: {0}")]
    Device(Errno),
    /// The TPM's answer.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No envelope.
    #[error("the envelope of the release is not among those that were found")]
    NoEnvelope,
    /// No bank.
    #[error("the TPM has no register 14 in sha1, sha256, sha384 or sha512; the firmware's setup switches banks on")]
    NoBank,
    /// The log.
    #[error("what was measured does not fit into the log: {0}")]
    Log(#[from] LogError),
}

impl Kind for MeasureError {
    fn kind(&self) -> &'static str {
        "measure"
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// What is known to have been measured, in this attempt and those before it, if it was begun.
    pub log: Option<Log>,
    /// Whether that is all that there was to measure.
    pub result: Result<(), MeasureError>,
}

/// Whether the machine below `root` has a TPM 2.0 that its kernel knows.
pub fn is_possible(root: &Path) -> bool {
    root.join("dev/tpmrm0").exists()
}

/// Measures what is about to be entered with the TPM of the machine below `root`.
pub fn entry(root: &Path, entry: &Entry<'_>, console: &Console) -> Outcome {
    match Device::open(root, Duration::ZERO) {
        Ok(device) => Tpm { device, deadline: Instant::now() + PATIENCE }.measure(root, &entry.events(), console),
        Err(errno) => Outcome { log: None, result: Err(MeasureError::NoTpm(errno)) },
    }
}

/// An open TPM, until all has to be done.
struct Tpm {
    device: Device,
    deadline: Instant,
}

impl Tpm {
    fn measure(&self, root: &Path, events: &[String], console: &Console) -> Outcome {
        let path = root.join(MEASURED_LOG.trim_start_matches('/'));
        let mut log = match self.begin(&path, console) {
            Ok(log) => log,
            Err(error) => return Outcome { log: None, result: Err(error) },
        };
        for words in events {
            if log.has(words) {
                continue;
            }
            let mut longer = log.clone();
            if let Err(error) =
                longer.push(words).map_err(MeasureError::from).and_then(|()| self.extend(&longer, words))
            {
                return Outcome { log: Some(log), result: Err(error) };
            }
            log = longer;
            // For an attempt after this one. Without it, that one begins where the register stands by then.
            _ = path.parent().map(std::fs::create_dir_all).and_then(|_| std::fs::write(&path, log.encode()).ok());
        }
        Outcome { log: Some(log), result: Ok(()) }
    }

    /// The log of an earlier attempt, if it is whole and leads to what the register holds; else a new one that begins there.
    fn begin(&self, path: &Path, console: &Console) -> Result<Log, MeasureError> {
        let pcr::Banks { known, unknown } = pcr::banks(&self.ask(&pcr::capability())?)?;
        for algorithm in unknown {
            console.warn(format_args!(
                "the TPM's bank with algorithm {algorithm:#06x} is not extended: its digest is not known here; do not seal anything by it"
            ));
        }
        let mut registers = Vec::new();
        for bank in known {
            registers.push((bank, pcr::value(&self.ask(&pcr::read(bank))?, bank)?));
        }
        let earlier = config::read_small(path).ok().and_then(|bytes| Log::parse(&bytes).ok());
        let earlier = earlier.filter(|log| log.registers() == registers && log.changed().next().is_none());
        earlier.or_else(|| Log::new(registers)).ok_or(MeasureError::NoBank)
    }

    fn extend(&self, log: &Log, words: &str) -> Result<(), MeasureError> {
        Ok(codec::done(&self.ask(&pcr::extend(&log.digests(words)))?)?)
    }

    fn ask(&self, command: &[u8]) -> Result<Vec<u8>, MeasureError> {
        self.device.ask(command, self.deadline).map_err(MeasureError::Device)
    }
}

#[cfg(test)]
mod tests;
