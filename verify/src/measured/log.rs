//! The event log, in the form that firmware and its tools use too: crypto-agile (TCG, "PC Client Platform Firmware Profile",
//! version 1.06, chapter 10), little-endian throughout. Here only what stage one writes is read: its header, what the register
//! held before the first event, unless that were zeros, and the events.
//!
//! Guarantees: [`Log::parse`] takes at most [`LIMITS`]`.measured_log_bytes`, and gives only what [`Log::encode`] writes as the
//! very same bytes.

use super::{Bank, PCR};
use crate::limits::LIMITS;

/// `EV_NO_ACTION`: nothing is extended.
const NO_ACTION: u32 = 0x03;
/// `EV_IPL`: the type under which boot programs, shim on this very register among them, log text. (`EV_EVENT_TAG` would need
/// a number of our own that no tool knows; `tpm2_eventlog` prints the text of this one.)
const IPL: u32 = 0x0d;
/// `TCG_EfiSpecIdEvent` up to the algorithms: signature, platform class 0 (client), specification 2.0, errata 0, `uintnSize` 2.
const SPEC_ID: &[u8] = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02";
/// What the event with the register's first values begins with: 16 bytes, as `EV_NO_ACTION` wants it.
const START: &[u8; 16] = b"Phase Boot PCR\0\0";
/// Longest text of an event in bytes.
const LONGEST: usize = 512;

/// Why bytes are no log of stage one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Too large.
    #[error("the log has {seen} bytes; wanted at most {}", LIMITS.measured_log_bytes)]
    TooLarge {
        /// Bytes.
        seen: usize,
    },
    /// Something else.
    #[error(
        "byte {at} of the log: {wanted} is wanted there; is it a log that Phase Boot wrote (/run/phase/measured.log)?"
    )]
    Form {
        /// Where.
        at: usize,
        /// What is missing.
        wanted: &'static str,
    },
}

/// What was measured, in order. It has one bank at least, and none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    start: Vec<(Bank, Vec<u8>)>,
    events: Vec<Event>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    digests: Vec<Vec<u8>>,
    words: String,
}

impl Event {
    /// What was measured, in printable ASCII.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl Log {
    /// A log before the first event: each bank with what its register holds. `None` for what no log can begin with: no bank, one
    /// twice, or a value of another length than the bank's.
    pub fn new(start: Vec<(Bank, Vec<u8>)>) -> Option<Self> {
        let fits = |(at, (bank, value)): (usize, &(Bank, Vec<u8>))| {
            value.len() == bank.size() && start[..at].iter().all(|(other, _)| other != bank)
        };
        let good = !start.is_empty() && start.iter().enumerate().all(fits);
        good.then_some(Self { start, events: Vec::new() })
    }

    /// What the register held before the first event, in every bank.
    pub fn start(&self) -> &[(Bank, Vec<u8>)] {
        &self.start
    }

    /// The banks that were extended.
    pub fn banks(&self) -> impl Iterator<Item = Bank> {
        self.start.iter().map(|(bank, _)| *bank)
    }

    /// The events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Whether these words were measured already.
    pub fn has(&self, words: &str) -> bool {
        self.events.iter().any(|event| event.words == words)
    }

    /// What the register is extended with for these words: their digest in every bank.
    pub fn digests(&self, words: &str) -> Vec<(Bank, Vec<u8>)> {
        self.banks().map(|bank| (bank, bank.digest(words.as_bytes()))).collect()
    }

    /// Writes an event down.
    ///
    /// # Errors
    /// The log would be larger than any that is read, or the words are none of an event's: then it stays as it was.
    pub fn push(&mut self, words: &str) -> Result<(), LogError> {
        let digests = self.digests(words).into_iter().map(|(_, digest)| digest).collect();
        self.events.push(Event { digests, words: words.to_owned() });
        let checked =
            if printable(words.as_bytes()) { within_limit(self.encode().len()) } else { Err(wrong(0, WORDS)) };
        checked.inspect_err(|_| _ = self.events.pop())
    }

    /// What the register holds at the end in every bank, if it held what the log begins with and was extended with these
    /// digests.
    pub fn registers(&self) -> Vec<(Bank, Vec<u8>)> {
        let replay = |(at, (bank, start)): (usize, &(Bank, Vec<u8>))| {
            let digests = self.events.iter().filter_map(|event| event.digests.get(at));
            (*bank, digests.fold(start.clone(), |register, digest| bank.extended(&register, digest)))
        };
        self.start.iter().enumerate().map(replay).collect()
    }

    /// The events whose digests are not those of their words: somebody changed one of the two.
    pub fn changed(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| {
            let wanted = self.digests(&event.words);
            !wanted.iter().map(|(_, digest)| digest).eq(&event.digests)
        })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut specification = SPEC_ID.to_vec();
        specification.extend(length(self.start.len()));
        for (bank, _) in &self.start {
            specification.extend(bank.algorithm().to_le_bytes());
            specification.extend(length(bank.size()).into_iter().take(2));
        }
        specification.push(0); // no vendor's own information
        let mut bytes = Vec::new();
        // The first event has the form of the older specification: register 0, and one SHA-1 digest of zeros.
        for part in [&0_u32.to_le_bytes(), &NO_ACTION.to_le_bytes()[..], &[0; 20], &length(specification.len())] {
            bytes.extend(part);
        }
        bytes.extend(specification);
        // Not for zeros, with which every replay begins: `tpm2_eventlog` 5.4 extends what `EV_NO_ACTION` brings.
        if !is_zero(&self.start) {
            let zeros = self.banks().map(|bank| vec![0; bank.size()]);
            let mut start = START.to_vec();
            for (bank, value) in &self.start {
                start.extend(bank.algorithm().to_le_bytes());
                start.extend(value);
            }
            self.write(&mut bytes, NO_ACTION, zeros, &start);
        }
        for event in &self.events {
            self.write(&mut bytes, IPL, event.digests.iter().cloned(), event.words.as_bytes());
        }
        bytes
    }

    /// `TCG_PCR_EVENT2`.
    fn write(&self, bytes: &mut Vec<u8>, kind: u32, digests: impl Iterator<Item = Vec<u8>>, data: &[u8]) {
        for number in [PCR.to_le_bytes(), kind.to_le_bytes(), length(self.start.len())] {
            bytes.extend(number);
        }
        for (bank, digest) in self.banks().zip(digests) {
            bytes.extend(bank.algorithm().to_le_bytes());
            bytes.extend(digest);
        }
        bytes.extend(length(data.len()));
        bytes.extend(data);
    }

    /// Reads a log. Its events may say anything: [`Self::changed`] and [`Self::registers`] tell whether to believe them.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        within_limit(bytes.len())?;
        let mut reader = Reader { bytes, at: 0 };
        let banks = reader.header()?;
        let start = reader.start(&banks)?;
        let mut log = Self::new(start).ok_or(wrong(0, "a list of distinct banks"))?;
        while reader.at < bytes.len() {
            let event = reader.event(&banks)?;
            log.events.push(event);
        }
        Ok(log)
    }
}

const WORDS: &str = "text in printable ASCII";

/// Whether nobody extended the register yet.
fn is_zero(registers: &[(Bank, Vec<u8>)]) -> bool {
    registers.iter().all(|(_, value)| value.iter().all(|byte| *byte == 0))
}

/// Text that a console may show, and not too much of it.
fn printable(words: &[u8]) -> bool {
    (1..=LONGEST).contains(&words.len()) && words.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

const fn wrong(at: usize, wanted: &'static str) -> LogError {
    LogError::Form { at, wanted }
}

const fn within_limit(seen: usize) -> Result<(), LogError> {
    if seen > LIMITS.measured_log_bytes { Err(LogError::TooLarge { seen }) } else { Ok(()) }
}

/// A length field. Everything here is far shorter than what 32 bits can say.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn header(&mut self) -> Result<Vec<Bank>, LogError> {
        self.exactly(&[0; 4], "register 0 of the first event")?;
        self.exactly(&NO_ACTION.to_le_bytes(), "EV_NO_ACTION of the first event")?;
        self.exactly(&[0; 20], "the digest of zeros of the first event")?;
        let (size, begun) = (self.number("the size of the first event")?, self.at);
        self.exactly(SPEC_ID, "Spec ID Event03")?;
        let count = self.number("the number of banks")?;
        if !(1..=Bank::ALL.len()).contains(&count) {
            return Err(wrong(begun, "1 to 4 banks"));
        }
        let mut banks = Vec::new();
        for _ in 0..count {
            let bank = self.bank()?;
            self.exactly(&length(bank.size())[..2], "the size of the bank's digests")?;
            banks.push(bank);
        }
        self.exactly(&[0], "the end of the first event")?;
        if self.at - begun == size { Ok(banks) } else { Err(wrong(begun, "as many bytes as the first event's size")) }
    }

    fn start(&mut self, banks: &[Bank]) -> Result<Vec<(Bank, Vec<u8>)>, LogError> {
        let kind = self.bytes.get(self.at + 4..self.at + 8);
        if kind.is_none_or(|kind| kind != NO_ACTION.to_le_bytes()) {
            return Ok(banks.iter().map(|bank| (*bank, vec![0; bank.size()])).collect());
        }
        for digest in self.head(banks, NO_ACTION, "EV_NO_ACTION with what the register held")? {
            if digest.iter().any(|byte| *byte != 0) {
                return Err(wrong(self.at, "digests of zeros, since nothing is extended"));
            }
        }
        let (size, begun) = (self.number("the size of an event")?, self.at);
        self.exactly(START, "Phase Boot PCR")?;
        let mut start = Vec::new();
        for bank in banks {
            self.exactly(&bank.algorithm().to_le_bytes(), "the banks of the header, in their order")?;
            start.push((*bank, self.take(bank.size(), "what the register held")?.to_vec()));
        }
        if is_zero(&start) {
            return Err(wrong(begun, "a register that is not zeros"));
        }
        if self.at - begun == size { Ok(start) } else { Err(wrong(begun, "as many bytes as the event's size")) }
    }

    fn event(&mut self, banks: &[Bank]) -> Result<Event, LogError> {
        let digests = self.head(banks, IPL, "EV_IPL")?;
        let size = self.number("the size of an event")?;
        let begun = self.at;
        let words = std::str::from_utf8(self.take(size, "the text of an event")?).ok();
        let words = words.filter(|words| printable(words.as_bytes())).ok_or(wrong(begun, WORDS))?;
        Ok(Event { digests, words: words.to_owned() })
    }

    /// `TCG_PCR_EVENT2` up to the digests.
    fn head(&mut self, banks: &[Bank], kind: u32, wanted: &'static str) -> Result<Vec<Vec<u8>>, LogError> {
        self.exactly(&PCR.to_le_bytes(), "register 14")?;
        self.exactly(&kind.to_le_bytes(), wanted)?;
        self.exactly(&length(banks.len()), "a digest for every bank")?;
        let mut digests = Vec::new();
        for bank in banks {
            self.exactly(&bank.algorithm().to_le_bytes(), "the banks of the header, in their order")?;
            digests.push(self.take(bank.size(), "a digest")?.to_vec());
        }
        Ok(digests)
    }

    fn bank(&mut self) -> Result<Bank, LogError> {
        let at = self.at;
        let algorithm = self.take(2, "a bank")?.try_into().map(u16::from_le_bytes);
        algorithm.ok().and_then(Bank::of).ok_or(wrong(at, "sha1, sha256, sha384 or sha512"))
    }

    fn number(&mut self, wanted: &'static str) -> Result<usize, LogError> {
        let at = self.at;
        let number = self.take(4, wanted)?.try_into().map(u32::from_le_bytes);
        number.ok().and_then(|number| usize::try_from(number).ok()).ok_or(wrong(at, wanted))
    }

    fn exactly(&mut self, bytes: &[u8], wanted: &'static str) -> Result<(), LogError> {
        let at = self.at;
        if self.take(bytes.len(), wanted)? == bytes { Ok(()) } else { Err(wrong(at, wanted)) }
    }

    fn take(&mut self, count: usize, wanted: &'static str) -> Result<&'a [u8], LogError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(wrong(self.at, wanted))?;
        self.at += count;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
