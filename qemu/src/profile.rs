//! Where a boot's time went: a table of stages, from markers and the host's times of their arrival.
//!
//! Each kernel starts its own monotonic clock, so a stage's place on the host's time line is the host's time of that
//! kernel's `start` marker plus the difference of the two guest times: differences are exact, and the delay of the
//! console enters once per kernel, not once per line. A marker that came twice (console and kernel log) counts once.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use crate::markers::{Event, Marker};

/// Under which program's hands a row's time went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Firmware and the boot kernel, before PID 1.
    Kernel,
    /// Stage one.
    Boot,
    /// Purgatory and the release kernel, between the two stages.
    Kexec,
    /// Stage two.
    Root,
    /// The release's own init, up to its login prompt.
    Release,
}

impl Part {
    /// The word used in the table and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Boot => "boot",
            Self::Kexec => "kexec",
            Self::Root => "root",
            Self::Release => "release",
        }
    }
}

/// How a row ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With an `end` marker, or with what follows it.
    Done,
    /// With a `fail` marker; its `error` word.
    Failed(String),
    /// Not at all, as far as the console says.
    Unfinished,
}

/// One stage on the host's time line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who worked.
    pub part: Part,
    /// The stage's name of docs/markers.md; `kernel`, `kexec` and `init` for what has no stage.
    pub stage: String,
    /// Since QEMU's start.
    pub start: Duration,
    /// How long it took; zero if it did not end.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The keys and values of the marker that ended it.
    pub fields: Vec<(String, String)>,
}

/// The table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    rows: Vec<Row>,
}

impl Profile {
    /// Builds the table from markers with their host times (since QEMU's start) and that of the login prompt.
    pub fn new(markers: &[(Duration, Marker)], login: Option<Duration>) -> Self {
        let mut builder = Builder::default();
        for (at, marker) in markers {
            builder.add(*at, marker);
        }
        builder.finish(login)
    }

    /// The rows in the order in which they began.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The first row of `stage` in `part`.
    pub fn row(&self, part: Part, stage: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.part == part && row.stage == stage)
    }

    /// From QEMU's start to the end of the last row.
    pub fn total(&self) -> Duration {
        self.rows.iter().map(|row| row.start + row.duration).max().unwrap_or_default()
    }

    /// The table for programs; times in µs since QEMU's start.
    pub fn to_json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(|row| row.to_json(self.share(row))).collect();
        json!({"schema": "phase.profile/1", "total_us": micros(self.total()), "stages": rows})
    }

    /// The part of the whole that `row` took, 0 to 1.
    fn share(&self, row: &Row) -> f64 {
        let total = self.total().as_secs_f64();
        if total > 0.0 { row.duration.as_secs_f64() / total } else { 0.0 }
    }
}

impl Row {
    fn to_json(&self, share: f64) -> Value {
        let (outcome, error) = match &self.outcome {
            Outcome::Done => ("done", None),
            Outcome::Failed(error) => ("failed", Some(error)),
            Outcome::Unfinished => ("unfinished", None),
        };
        let fields: serde_json::Map<_, _> =
            self.fields.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({
            "part": self.part.name(), "stage": self.stage, "start_us": micros(self.start),
            "duration_us": micros(self.duration), "share": share, "outcome": outcome, "error": error,
            "fields": fields,
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<8} {:<13} {:>9} {:>10} {:>7}", "part", "stage", "start", "duration", "share")?;
        for row in &self.rows {
            let share = format!("{:.1} %", self.share(row) * 100.0);
            let note = match &row.outcome {
                Outcome::Done => String::new(),
                Outcome::Failed(error) => format!("  failed: {error}"),
                Outcome::Unfinished => "  did not end".to_owned(),
            };
            writeln!(
                formatter,
                "{:<8} {:<13} {:>7.3} s {:>8.3} s {share:>7}{note}",
                row.part.name(),
                row.stage,
                row.start.as_secs_f64(),
                row.duration.as_secs_f64(),
            )?;
        }
        write!(formatter, "{:<22} {:>9} {:>8.3} s", "total", "", self.total().as_secs_f64())
    }
}

/// The clock of one kernel: guest time `guest` was host time `host`.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    host: Duration,
    guest: Duration,
}

impl Anchor {
    /// A guest time on the host's time line. A time before the anchor is the anchor: `start` is the first marker.
    fn host_time(self, guest: Duration) -> Duration {
        self.host + guest.saturating_sub(self.guest)
    }
}

#[derive(Default)]
struct Builder {
    rows: Vec<Row>,
    boots: Vec<Vec<Marker>>,
    anchor: Option<Anchor>,
    /// The row of a stage that has begun and not ended.
    open: Vec<usize>,
}

impl Builder {
    fn add(&mut self, at: Duration, marker: &Marker) {
        if marker.is("start", Event::Begin) {
            self.start(at, marker);
            return;
        }
        let (Some(anchor), Some(seen)) = (self.anchor, self.boots.last_mut()) else {
            return; // A marker before `start` belongs to no clock.
        };
        if seen.contains(marker) {
            return;
        }
        seen.push(marker.clone());
        let time = anchor.host_time(marker.time());
        match marker.event {
            Event::Begin => self.begin(time, marker),
            Event::End => self.end(time, marker, Outcome::Done),
            Event::Fail => {
                let error = marker.field("error").unwrap_or("unknown").to_owned();
                self.end(time, marker, Outcome::Failed(error));
            }
        }
    }

    /// PID 1 of a kernel speaks for the first time: the kernel before it ends here.
    fn start(&mut self, at: Duration, marker: &Marker) {
        if self.boots.last().is_some_and(|seen| seen.contains(marker)) {
            return;
        }
        match self.open_row("kexec") {
            Some(row) => {
                row.duration = at.saturating_sub(row.start);
                row.outcome = Outcome::Done;
            }
            None => self.rows.push(Row::new(Part::Kernel, "kernel", self.last_end(), at)),
        }
        self.open.clear();
        self.anchor = Some(Anchor { host: at, guest: marker.time() });
        self.boots.push(vec![marker.clone()]);
    }

    fn begin(&mut self, time: Duration, marker: &Marker) {
        let (part, stage) = match (marker.stage.as_str(), marker.field("kind")) {
            // `direct` goes on under the same kernel, its stages follow as they are; and what becomes of a failed
            // attempt is an action, not a stage.
            ("handoff", Some("direct")) | ("recover", _) => return,
            ("handoff", _) => (Part::Kexec, "kexec"),
            ("switch", _) => (Part::Release, "init"),
            (stage, _) => (self.part(), stage),
        };
        self.open.push(self.rows.len());
        self.rows.push(Row { outcome: Outcome::Unfinished, ..Row::new(part, stage, time, time) });
    }

    fn end(&mut self, time: Duration, marker: &Marker, outcome: Outcome) {
        let fields = marker.fields.clone();
        let part = self.part();
        if let Some(row) = self.open_row(&marker.stage) {
            row.duration = time.saturating_sub(row.start);
            (row.outcome, row.fields) = (outcome, fields);
            self.open.retain(|&index| self.rows[index].outcome == Outcome::Unfinished);
        } else {
            // A stage that failed before it could say that it began still has a line.
            self.rows.push(Row { outcome, fields, ..Row::new(part, &marker.stage, time, time) });
        }
    }

    fn finish(mut self, login: Option<Duration>) -> Profile {
        if let (Some(login), Some(row)) = (login, self.open_row("init")) {
            row.duration = login.saturating_sub(row.start);
            row.outcome = Outcome::Done;
        }
        Profile { rows: self.rows }
    }

    fn open_row(&mut self, stage: &str) -> Option<&mut Row> {
        let index = *self.open.iter().rev().find(|&&index| self.rows[index].stage == stage)?;
        self.rows.get_mut(index)
    }

    /// The first kernel runs stage one, every later one stage two.
    fn part(&self) -> Part {
        if self.boots.len() > 1 { Part::Root } else { Part::Boot }
    }

    fn last_end(&self) -> Duration {
        self.rows.last().map(|row| row.start + row.duration).unwrap_or_default()
    }
}

impl Row {
    fn new(part: Part, stage: &str, start: Duration, end: Duration) -> Self {
        let (stage, duration) = (stage.to_owned(), end.saturating_sub(start));
        Self { part, stage, start, duration, outcome: Outcome::Done, fields: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    /// Lines with the host's time in ms.
    fn profile(lines: &[(u64, &str)], login: Option<u64>) -> Profile {
        let markers: Vec<_> = lines.iter().map(|(at, line)| (ms(*at), Marker::parse(line).unwrap())).collect();
        Profile::new(&markers, login.map(ms))
    }

    const KEXEC_BOOT: &[(u64, &str)] = &[
        (2000, "phase: start: begin t=1500000 stage=boot"),
        (2010, "phase: mounts: begin t=1501000"),
        (2030, "phase: mounts: end t=1503000"),
        (2031, "phase: mounts: end t=1503000"),
        (2900, "phase: download: begin t=2000000"),
        (3100, "phase: download: end t=2600000 bytes=7"),
        (3200, "phase: handoff: begin t=2700000 kind=kexec"),
        (5200, "phase: start: begin t=1000000 stage=root"),
        (5300, "phase: root: begin t=1050000"),
        (5400, "phase: root: end t=1150000"),
        (5500, "phase: switch: begin t=1300000 init=/sbin/init"),
    ];

    fn row(profile: &Profile, part: Part, stage: &str) -> (Duration, Duration) {
        let row = profile.row(part, stage).unwrap_or_else(|| panic!("no row {stage} in\n{profile}"));
        (row.start, row.duration)
    }

    #[test]
    fn both_clocks_are_anchored_at_their_start() {
        let profile = profile(KEXEC_BOOT, Some(9500));
        assert_eq!(row(&profile, Part::Kernel, "kernel"), (ms(0), ms(2000)));
        assert_eq!(row(&profile, Part::Boot, "mounts"), (ms(2001), ms(2)));
        assert_eq!(row(&profile, Part::Boot, "download"), (ms(2500), ms(600)));
        assert_eq!(row(&profile, Part::Kexec, "kexec"), (ms(3200), ms(2000)));
        assert_eq!(row(&profile, Part::Root, "root"), (ms(5250), ms(100)));
        assert_eq!(row(&profile, Part::Release, "init"), (ms(5500), ms(4000)));
        assert_eq!(profile.total(), ms(9500));
        assert_eq!(profile.rows().len(), 6, "a doubled marker makes no second row:\n{profile}");
    }

    #[test]
    fn direct_hand_off_has_no_kexec_row() {
        let lines = [
            (2000, "phase: start: begin t=1000000 stage=boot"),
            (2100, "phase: handoff: begin t=1100000 kind=direct"),
            (2200, "phase: root: begin t=1200000"),
            (2300, "phase: root: end t=1300000"),
            (2400, "phase: switch: begin t=1400000 init=/sbin/init"),
        ];
        let profile = profile(&lines, Some(3000));
        assert_eq!(row(&profile, Part::Boot, "root"), (ms(2200), ms(100)));
        assert_eq!(row(&profile, Part::Release, "init"), (ms(2400), ms(600)));
        assert!(profile.row(Part::Kexec, "kexec").is_none());
    }

    #[test]
    fn failures_retries_and_stages_without_end_are_shown() {
        let lines = [
            (2000, "phase: start: begin t=1000000 stage=boot"),
            (2100, "phase: download: begin t=1100000"),
            (2200, "phase: download: fail t=1200000 error=not-found"),
            (2210, "phase: recover: begin t=1210000 action=retry attempt=1"),
            (3100, "phase: download: begin t=2100000"),
        ];
        let profile = profile(&lines, None);
        let outcomes: Vec<_> = profile.rows()[1..].iter().map(|row| row.outcome.clone()).collect();
        assert_eq!(outcomes, [Outcome::Failed("not-found".into()), Outcome::Unfinished]);
        let table = profile.to_string();
        assert!(table.contains("failed: not-found") && table.contains("did not end"), "{table}");
    }

    #[test]
    fn json_has_times_shares_and_fields() {
        let json = profile(KEXEC_BOOT, Some(10_000)).to_json();
        let download = json["stages"].as_array().unwrap().iter().find(|row| row["stage"] == "download").unwrap();
        assert_eq!(download["start_us"], 2_500_000);
        assert_eq!(download["duration_us"], 600_000);
        assert_eq!(download["fields"]["bytes"], "7");
        assert!((download["share"].as_f64().unwrap() - 0.06).abs() < 1e-9);
        assert_eq!(json["total_us"], 10_000_000);
    }

    #[test]
    fn no_markers_no_rows() {
        assert_eq!(profile(&[(5, "phase: mounts: begin t=1")], None).total(), Duration::ZERO);
    }
}
