//! How far a boot was when: the points that both chains pass, and the two times that are promised.

use std::time::Duration;

use anyhow::Context;
use qemu::{Event, Marker, Transcript};

use super::bench::Chain;

/// A point that both chains pass, as each of them says it.
struct Point {
    name: &'static str,
    ours: (&'static str, Event),
    baseline: &'static str,
}

/// The points before the release's own line, in order. Ours hashes while it downloads: both end at once.
const POINTS: [Point; 9] = [
    Point { name: "PID 1", ours: ("start", Event::Begin), baseline: "init" },
    Point { name: "drivers loaded", ours: ("modules", Event::End), baseline: "modules" },
    Point { name: "network up", ours: ("network", Event::End), baseline: "network" },
    Point { name: "manifest verified", ours: ("verify", Event::End), baseline: "manifest" },
    Point { name: "all bytes verified", ours: ("download", Event::End), baseline: "verified" },
    Point { name: LOAD, ours: ("load", Event::Begin), baseline: "composed" },
    Point { name: "kexec loaded", ours: ("load", Event::End), baseline: "loaded" },
    Point { name: "stage two", ours: ("start", Event::Begin), baseline: "stage-two" },
    Point { name: "switch_root", ours: ("switch", Event::Begin), baseline: "switch" },
];
const LOAD: &str = "kexec_file_load";
const RELEASE: &str = "the release's PID 1";

/// Names of all points, in order.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|point| point.name).chain([RELEASE])
}

/// The times of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Milestones {
    /// Host time since QEMU's start at each of [`names`].
    pub(super) at: Vec<Duration>,
    /// From PID 1's first instruction to the entry of `kexec_file_load`, on the guest's clock. The baseline's clock starts
    /// at its first line, a little later, and stops before kexec-tools runs: both to its advantage.
    pub(super) to_load: Duration,
}

impl Milestones {
    /// Reads what a boot said that reached its release at `release`.
    ///
    /// # Errors
    /// A point is missing: the boot was another one than it should have been.
    pub(super) fn of(chain: Chain, transcript: &Transcript, release: Duration) -> anyhow::Result<Self> {
        let mut lines = transcript.lines();
        let mut at = Vec::new();
        let (mut begin, mut load) = (Duration::ZERO, Duration::ZERO);
        for (number, point) in POINTS.iter().enumerate() {
            let passed = lines.find_map(|line| Some((line.at, point.guest_time(chain, &line.text)?)));
            let missing = || format!("{} did not say that it reached: {}", chain.name(), point.name);
            let (host, guest) = passed.with_context(missing)?;
            at.push(host);
            match (number, point.name) {
                (0, _) => begin = guest,
                (_, LOAD) => load = guest,
                _ => {}
            }
        }
        at.push(release);
        Ok(Self { at, to_load: load.saturating_sub(begin) })
    }
}

impl Point {
    /// The guest's time if `line` says that this point was reached.
    fn guest_time(&self, chain: Chain, line: &str) -> Option<Duration> {
        match chain {
            Chain::Ours => {
                let marker = Marker::parse(line)?;
                marker.is(self.ours.0, self.ours.1).then(|| marker.time())
            }
            Chain::Baseline => {
                let (word, time) = line.split_once("baseline: ")?.1.split_once(" t=")?;
                let seconds = time.trim_end().parse().ok().filter(|_| word == self.baseline)?;
                Duration::try_from_secs_f64(seconds).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(lines: &[&str]) -> Transcript {
        let mut transcript = Transcript::default();
        for (second, line) in (1..).zip(lines) {
            transcript.push(format!("{line}\r\n").as_bytes(), Duration::from_secs(second));
        }
        transcript
    }

    #[test]
    fn both_chains_pass_the_same_points() {
        let ours = transcript(&[
            "phase: start: begin t=1500000 stage=boot",
            "phase: modules: end t=1600000 loaded=8",
            "phase: network: end t=1700000",
            "phase: verify: end t=1800000",
            "phase: download: end t=2400000",
            "phase: load: begin t=2500000",
            "phase: load: end t=3500000",
            "phase: start: begin t=900000 stage=root",
            "phase: modules: end t=910000 loaded=3",
            "phase: switch: begin t=920000 init=/sbin/init",
        ]);
        let ours = Milestones::of(Chain::Ours, &ours, Duration::from_secs(20)).unwrap();
        assert_eq!(ours.to_load, Duration::from_secs(1));
        assert_eq!(ours.at.len(), names().count());
        assert_eq!(ours.at[7..], [8, 10, 20].map(Duration::from_secs));
        let words = [
            "init",
            "modules",
            "network",
            "manifest",
            "fetched",
            "verified",
            "composed",
            "loaded",
            "stage-two",
            "switch",
        ];
        let lines: Vec<_> = words.iter().zip(1..).map(|(word, time)| format!("baseline: {word} t={time}.50")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let baseline = Milestones::of(Chain::Baseline, &transcript(&lines), Duration::from_secs(20)).unwrap();
        assert_eq!(baseline.to_load, Duration::from_secs(6));
        assert_eq!(baseline.at[7], Duration::from_secs(9));
    }

    #[test]
    fn a_point_that_was_not_passed_is_named() {
        let short = transcript(&["baseline: init t=1.0", "baseline: network t=2.0"]);
        let error = Milestones::of(Chain::Baseline, &short, Duration::ZERO).unwrap_err().to_string();
        assert_eq!(error, "baseline did not say that it reached: drivers loaded");
    }
}
