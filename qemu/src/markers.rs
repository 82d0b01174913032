//! Reads boot markers: one console line in, one [`Marker`] or nothing out (docs/markers.md, version 1).
//!
//! A console carries prose, kernel messages and other programs' output beside markers, so that a line which is not a
//! marker is not an error: it is `None`. No input panics or allocates more than [`Limits`] allow.

use std::{fmt, time::Duration};

/// The bounds of what is read as a marker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the marker itself, from `phase: ` on.
    pub line_bytes: usize,
    /// Bytes of a stage's name.
    pub stage_bytes: usize,
    /// `key=value` pairs.
    pub fields: usize,
}

/// The limits of docs/markers.md.
pub const LIMITS: Limits = Limits { line_bytes: 900, stage_bytes: 32, fields: 32 };

/// What happened to a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The stage started.
    Begin,
    /// The stage did what it had to.
    End,
    /// The stage failed; the marker's `error` says how.
    Fail,
}

impl Event {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "begin" => Some(Self::Begin),
            "end" => Some(Self::End),
            "fail" => Some(Self::Fail),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Begin => "begin",
            Self::End => "end",
            Self::Fail => "fail",
        })
    }
}

/// One stage event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The stage's name, such as `download`.
    pub stage: String,
    /// What happened to it.
    pub event: Event,
    /// `CLOCK_MONOTONIC` of the kernel that runs, in µs.
    pub t_us: u64,
    /// `key=value` pairs in the order of the line, values percent-decoded.
    pub fields: Vec<(String, String)>,
}

impl Marker {
    /// Reads the marker that stands on `line`, which may have a kernel prefix before it and a line end after it.
    pub fn parse(line: &str) -> Option<Self> {
        // The last occurrence: a value has no spaces, so `phase: ` cannot stand inside a marker, but it can stand in
        // whatever was on the line before it.
        let start = line.rfind("phase: ")?;
        let text = line[start..].trim_end_matches(['\r', '\n', ' ']);
        if text.len() > LIMITS.line_bytes {
            return None;
        }
        let mut words = text.split(' ').skip(1);
        let stage = words.next()?.strip_suffix(':').filter(|stage| is_stage(stage))?;
        let event = Event::parse(words.next()?)?;
        let t_us = words.next()?.strip_prefix("t=").and_then(parse_decimal)?;
        let fields: Vec<_> = words.map(parse_field).collect::<Option<_>>()?;
        (fields.len() <= LIMITS.fields).then(|| Self { stage: stage.to_owned(), event, t_us, fields })
    }

    /// The value of `key`, the last one if it is given twice.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// [`Marker::t_us`] as a duration.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.t_us)
    }

    /// Whether this is `event` of `stage`.
    pub fn is(&self, stage: &str, event: Event) -> bool {
        self.stage == stage && self.event == event
    }
}

fn is_stage(name: &str) -> bool {
    (1..=LIMITS.stage_bytes).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `str::parse` would also take a sign.
fn parse_decimal(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn parse_field(word: &str) -> Option<(String, String)> {
    let (key, value) = word.split_once('=')?;
    (!key.is_empty()).then_some(())?;
    Some((key.to_owned(), percent_decode(value)?))
}

/// `None` for a `%` without two hex digits. Bytes that are not UTF-8 once decoded become U+FFFD: losing the marker
/// for the sake of its value would be worse.
fn percent_decode(value: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Marker {
        Marker::parse(line).unwrap_or_else(|| panic!("not read as a marker: {line:?}"))
    }

    #[test]
    fn plain_marker_with_fields() {
        let marker = parsed("phase: network: end t=2031999 interface=eth0 address=10.0.2.15/24\r\n");
        assert!(marker.is("network", Event::End));
        assert_eq!(marker.time(), Duration::from_micros(2_031_999));
        assert_eq!(marker.field("address"), Some("10.0.2.15/24"));
        assert_eq!(marker.field("router"), None);
    }

    #[test]
    fn kernel_prefix_and_earlier_prose_are_skipped() {
        let marker = parsed("[    1.234567] phase: handoff-read: begin t=1234567");
        assert!(marker.is("handoff-read", Event::Begin));
        assert!(parsed("phase: loading phase: load: fail t=7 error=no-memory").is("load", Event::Fail));
    }

    #[test]
    fn values_are_percent_decoded() {
        let marker = parsed("phase: verify: fail t=1 error=expired detail=100%25%20over%3D");
        assert_eq!(marker.field("detail"), Some("100% over="));
    }

    #[test]
    fn lines_that_are_no_markers() {
        for line in [
            "",
            "phase: ",
            "phase: network: up after 2 s",
            "phase: network: begin",
            "phase: network: begin t=",
            "phase: network: begin t=-1",
            "phase: network: begin t=+1",
            "phase: network: begin t=99999999999999999999999",
            "phase: Network: begin t=1",
            "phase: network: started t=1",
            "phase: network: begin t=1 prose",
            "phase: network: begin t=1 =value",
            "phase: network: begin t=1 a=%2",
            "phase:network: begin t=1",
        ] {
            assert_eq!(Marker::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let long = format!("phase: a: end t=1 k={}", "x".repeat(LIMITS.line_bytes));
        assert_eq!(Marker::parse(&long), None);
        let many = format!("phase: a: end t=1{}", " k=v".repeat(LIMITS.fields + 1));
        assert_eq!(Marker::parse(&many), None);
        let name = "a".repeat(LIMITS.stage_bytes + 1);
        assert_eq!(Marker::parse(&format!("phase: {name}: end t=1")), None);
    }
}
