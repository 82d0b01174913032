//! Turns the bytes of a serial console into time-stamped lines.
//!
//! Escape sequences are taken out, `\r` and `\n` both end a line (a progress bar that redraws itself is many lines),
//! empty lines are dropped. The line that is being written can be looked at before it ends: a login prompt never does.

use std::{collections::VecDeque, time::Duration};

use crate::{error::Tail, markers::Marker};

/// The bounds of what is kept of a console.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one line; a longer one is cut into several.
    pub line_bytes: usize,
    /// Lines kept; when there are more, the oldest are forgotten (their markers are not).
    pub lines: usize,
    /// Markers kept; later ones are ignored.
    pub markers: usize,
    /// Lines that an error shows.
    pub tail: usize,
}

/// What this crate keeps.
pub const LIMITS: Limits = Limits { line_bytes: 8192, lines: 100_000, markers: 10_000, tail: 30 };

/// One line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its first byte arrived, since QEMU's start.
    pub at: Duration,
    /// Its text without line end and escape sequences.
    pub text: String,
    /// Whether it has ended; what is still being written may be cut anywhere.
    pub complete: bool,
}

impl Line {
    /// The boot marker on this line, once the line is complete.
    pub fn marker(&self) -> Option<Marker> {
        if self.complete { Marker::parse(&self.text) } else { None }
    }

    /// Whether a login program waits for a name here (agetty, busybox getty).
    pub fn is_login_prompt(&self) -> bool {
        self.text.trim_end().ends_with(" login:")
    }
}

/// Everything that a console has said.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    lines: VecDeque<Line>,
    forgotten: usize,
    markers: Vec<(Duration, Marker)>,
    login: Option<Duration>,
    pending: Assembler,
}

impl Transcript {
    /// Adds what arrived `at`, since QEMU's start.
    pub fn push(&mut self, bytes: &[u8], at: Duration) {
        for &byte in bytes {
            if let Some(line) = self.pending.push(byte, at) {
                self.keep(line);
            }
        }
        if let Some(line) = self.pending.line().filter(Line::is_login_prompt) {
            self.login.get_or_insert(line.at);
        }
    }

    /// The finished lines that are still kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// The markers with the host's time of their arrival.
    pub fn markers(&self) -> &[(Duration, Marker)] {
        &self.markers
    }

    /// When the first login prompt came.
    pub fn login(&self) -> Option<Duration> {
        self.login
    }

    /// The number of lines that have ended, forgotten ones included.
    pub(crate) fn finished(&self) -> usize {
        self.forgotten + self.lines.len()
    }

    /// Whether a line has `text`, the unfinished one included.
    pub fn contains(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(text))
            || self.pending.line().is_some_and(|line| line.text.contains(text))
    }

    /// The last lines, as many as an error shows.
    pub fn tail(&self) -> Tail {
        let unfinished = usize::from(self.pending.line().is_some());
        let end = self.finished() + unfinished;
        Tail(self.from(end.saturating_sub(LIMITS.tail)).map(|(_, line)| line.text).collect())
    }

    /// Lines from the `first`th ever on, each with its number; the unfinished one is the last.
    pub(crate) fn from(&self, first: usize) -> impl Iterator<Item = (usize, Line)> {
        let skipped = first.saturating_sub(self.forgotten);
        let finished = self.lines.iter().enumerate().skip(skipped);
        let finished = finished.map(|(index, line)| (self.forgotten + index, line.clone()));
        let unfinished = self.pending.line().map(|line| (self.finished(), line));
        finished.chain(unfinished.filter(move |(number, _)| *number >= first))
    }

    fn keep(&mut self, line: Line) {
        if line.is_login_prompt() {
            self.login.get_or_insert(line.at);
        }
        if let Some(marker) = line.marker().filter(|_| self.markers.len() < LIMITS.markers) {
            self.markers.push((line.at, marker));
        }
        if self.lines.len() == LIMITS.lines {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(line);
    }
}

/// Where in an escape sequence (ECMA-48) the stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Started,
    /// After `ESC (` and its like: one more byte.
    Charset,
    /// After `ESC [`: until a byte from `@` to `~`.
    Control,
    /// After `ESC ]`: until BEL or `ESC \`.
    Command,
    /// After the ESC that may end a command.
    CommandEnd,
}

#[derive(Debug, Clone, Default)]
struct Assembler {
    text: Vec<u8>,
    at: Duration,
    escape: Escape,
}

impl Assembler {
    /// The line that `byte` ends.
    fn push(&mut self, byte: u8, at: Duration) -> Option<Line> {
        // A line end also ends an escape sequence that was cut off.
        if matches!(byte, b'\r' | b'\n') {
            self.escape = Escape::None;
            return self.take();
        }
        if self.escape != Escape::None || byte == 0x1b {
            self.escape = self.escape.next(byte);
            return None;
        }
        if byte < b' ' && byte != b'\t' {
            return None;
        }
        if self.text.is_empty() {
            self.at = at;
        }
        self.text.push(byte);
        if self.text.len() == LIMITS.line_bytes { self.take() } else { None }
    }

    fn line(&self) -> Option<Line> {
        let text = String::from_utf8_lossy(&self.text);
        (!text.trim().is_empty()).then(|| Line { at: self.at, text: text.into_owned(), complete: false })
    }

    fn take(&mut self) -> Option<Line> {
        let line = self.line();
        self.text.clear();
        line.map(|line| Line { complete: true, ..line })
    }
}

impl Escape {
    fn next(self, byte: u8) -> Self {
        match self {
            Self::None => Self::Started,
            Self::Started => match byte {
                b'[' => Self::Control,
                b']' | b'P' | b'_' | b'^' => Self::Command,
                b' '..=b'/' => Self::Charset,
                _ => Self::None,
            },
            Self::Control if matches!(byte, b' '..=b'?') => Self::Control,
            Self::Charset | Self::Control => Self::None,
            Self::CommandEnd if byte == b'\\' => Self::None,
            Self::Command | Self::CommandEnd => match byte {
                0x1b => Self::CommandEnd,
                0x07 => Self::None,
                _ => Self::Command,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Transcript {
        let mut transcript = Transcript::default();
        for (number, chunk) in chunks.iter().enumerate() {
            transcript.push(chunk, Duration::from_secs(number as u64));
        }
        transcript
    }

    fn texts(transcript: &Transcript) -> Vec<&str> {
        transcript.lines().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_line_has_the_time_of_its_first_byte() {
        let transcript = read(&[b"one\r\ntw", b"o\n", b"three"]);
        assert_eq!(texts(&transcript), ["one", "two"]);
        assert_eq!(transcript.lines().nth(1).unwrap().at, Duration::ZERO);
        assert!(transcript.contains("three"), "the unfinished line counts");
    }

    #[test]
    fn escape_sequences_and_control_characters_are_taken_out() {
        let transcript = read(&[
            b"\x1b[0;32m  OK  \x1b[0m\x1b(B done\n\x1b]3008;start=1\x1b\\phase\n",
            b"\x1b]0;title\x07x\x00y\n\x1b[31cut\nnext\n",
        ]);
        assert_eq!(texts(&transcript), ["  OK   done", "phase", "xy", "ut", "next"]);
    }

    #[test]
    fn a_redrawn_bar_is_many_lines() {
        let transcript = read(&[b"10 %\r20 %\rphase: download: end t=5\r\n\r\n"]);
        assert_eq!(texts(&transcript), ["10 %", "20 %", "phase: download: end t=5"]);
        assert_eq!(transcript.markers().len(), 1);
    }

    #[test]
    fn a_login_prompt_is_seen_before_its_line_ends() {
        let mut transcript = read(&[b"Debian\n", b"phase-demo log"]);
        assert_eq!(transcript.login(), None);
        transcript.push(b"in: ", Duration::from_secs(9));
        assert_eq!(transcript.login(), Some(Duration::from_secs(1)));
        assert!(!Line { at: Duration::ZERO, text: "Last login: today".into(), complete: false }.is_login_prompt());
    }

    #[test]
    fn a_marker_counts_once_its_line_is_complete() {
        let mut transcript = read(&[b"phase: fit: end t=12"]);
        let unfinished = transcript.from(0).next().unwrap().1;
        assert_eq!(unfinished.marker(), None, "the time may go on");
        transcript.push(b"345\r\n", Duration::ZERO);
        assert_eq!(transcript.markers()[0].1.t_us, 12_345);
    }

    #[test]
    fn long_lines_are_cut_and_old_lines_forgotten_but_not_their_markers() {
        let mut transcript = read(&[b"phase: start: begin t=1\n", &[b'x'; LIMITS.line_bytes + 1], b"\n"]);
        assert_eq!(transcript.lines().count(), 3);
        for _ in 0..LIMITS.lines {
            transcript.push(b"y\n", Duration::ZERO);
        }
        assert_eq!(transcript.lines().count(), LIMITS.lines);
        assert_eq!(transcript.markers().len(), 1);
        let (number, _) = transcript.from(0).next().unwrap();
        assert_eq!(number, 3, "line numbers do not shift");
        assert_eq!(transcript.tail().0.len(), LIMITS.tail);
    }
}
