//! The figures that are promised: a ratio for each pair of boots, their median, and what it must be.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::milestones::{self, Milestones};

/// Largest memory in MiB that Phase Boot may need for the root of the bench.
const MOST_MIB: u32 = 384;

/// A ratio of times: Phase Boot's over the baseline's.
#[derive(Debug)]
pub(super) struct Figure {
    name: String,
    cpus: u32,
    /// Largest median that keeps the promise.
    wanted: f64,
    time: fn(&Milestones) -> Duration,
    runs: Vec<Pair>,
}

/// Two boots, one after the other.
#[derive(Debug)]
struct Pair {
    ours: Milestones,
    baseline: Milestones,
    ratio: f64,
}

/// The smallest memory in MiB with which each chain boots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) ours: u32,
    pub(super) baseline: u32,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// The host's load averages when it began.
    pub(super) load: String,
    pub(super) ratios: [Figure; 2],
    /// Nothing if it was not asked for.
    pub(super) memory: Option<Memory>,
}

impl Figure {
    /// From PID 1's first instruction to the entry of `kexec_file_load`.
    pub(super) fn to_load(cpus: u32) -> Self {
        let name = format!("PID 1 to kexec_file_load, {cpus} vCPU");
        Self { name, cpus, wanted: 0.70, time: |boot| boot.to_load, runs: Vec::new() }
    }

    /// From QEMU's start to the release's PID 1, with one vCPU.
    pub(super) fn to_release() -> Self {
        let name = "start to the release's PID 1, 1 vCPU".to_owned();
        let time = |boot: &Milestones| boot.at.last().copied().unwrap_or_default();
        Self { name, cpus: 1, wanted: 0.85, time, runs: Vec::new() }
    }

    /// Adds two boots that ran one after the other.
    pub(super) fn add(&mut self, ours: Milestones, baseline: Milestones) -> anyhow::Result<()> {
        let (seen, reference) = ((self.time)(&ours), (self.time)(&baseline));
        anyhow::ensure!(!reference.is_zero(), "the baseline took no time at all for: {}", self.name);
        let ratio = seen.as_secs_f64() / reference.as_secs_f64();
        self.runs.push(Pair { ours, baseline, ratio });
        Ok(())
    }

    fn ratios(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.ratio).collect()
    }

    fn median(&self) -> f64 {
        median(self.ratios())
    }

    fn missed(&self) -> bool {
        self.median() > self.wanted
    }

    /// The median host time in seconds at each point, for ours and the baseline.
    fn table(&self) -> Vec<(&'static str, f64, f64)> {
        let at = |index: usize, of: fn(&Pair) -> &Milestones| {
            median(self.runs.iter().map(|run| of(run).at[index].as_secs_f64()).collect())
        };
        let row = |(index, name)| (name, at(index, |run| &run.ours), at(index, |run| &run.baseline));
        milestones::names().enumerate().map(row).collect()
    }
}

impl Report {
    /// Whether a figure is not what was promised.
    pub(super) fn missed(&self) -> bool {
        self.ratios.iter().any(Figure::missed) || self.memory.is_some_and(Memory::missed)
    }

    /// For scripts: times in seconds since QEMU's start, memory in MiB.
    pub(super) fn to_json(&self) -> Value {
        let figure = |figure: &Figure| {
            let stages = figure
                .table()
                .into_iter()
                .map(|(stage, ours, baseline)| json!({"stage": stage, "ours": ours, "baseline": baseline}));
            json!({
                "figure": figure.name, "ratios": figure.ratios(), "median": figure.median(), "wanted": figure.wanted,
                "missed": figure.missed(), "stages": stages.collect::<Vec<_>>(),
            })
        };
        let memory = self.memory.map(|memory| {
            json!({"ours": memory.ours, "baseline": memory.baseline, "wanted": MOST_MIB, "missed": memory.missed()})
        });
        json!({
            "load": self.load, "ratios": self.ratios.iter().map(figure).collect::<Vec<_>>(), "memory": memory,
            "missed": self.missed(),
        })
    }
}

impl Memory {
    fn missed(self) -> bool {
        self.ours > MOST_MIB
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for figure in &self.ratios {
            let heading = format!("since QEMU's start, {} vCPU, median", figure.cpus);
            writeln!(f, "{heading:38} {:>10} {:>10} {:>7}", "phase boot", "baseline", "ratio")?;
            for (name, ours, baseline) in figure.table() {
                writeln!(f, "{name:38} {ours:>8.2} s {baseline:>8.2} s {:>7.2}", ours / baseline)?;
            }
            writeln!(f)?;
        }
        writeln!(f, "load average of this host at the start: {}\n", self.load)?;
        for figure in &self.ratios {
            let runs: Vec<_> = figure.ratios().iter().map(|ratio| format!("{ratio:.2}")).collect();
            let (median, wanted) = (figure.median(), figure.wanted);
            let name = &figure.name;
            let verdict = verdict(figure.missed());
            writeln!(
                f,
                "{name:38} {median:.2} of the baseline, wanted <= {wanted:.2}: {verdict} (runs: {})",
                runs.join(" ")
            )?;
        }
        if let Some(memory) = self.memory {
            let Memory { ours, baseline } = memory;
            let name = "smallest -m for a root of 60 MB";
            let verdict = verdict(memory.missed());
            writeln!(f, "{name:38} {ours} MiB, wanted <= {MOST_MIB}: {verdict} (baseline: {baseline} MiB)")?;
        }
        Ok(())
    }
}

fn verdict(missed: bool) -> &'static str {
    if missed { "MISSED" } else { "reached" }
}

/// The middle value, or the mean of the two in the middle; not a number if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(values[middle - 1], *value),
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(to_load: u64, release: u64) -> Milestones {
        let mut at: Vec<_> = milestones::names().map(|_| Duration::from_secs(1)).collect();
        *at.last_mut().unwrap() = Duration::from_secs(release);
        Milestones { at, to_load: Duration::from_secs(to_load) }
    }

    fn report(ours: u64, memory: u32) -> Report {
        let mut ratios = [Figure::to_load(2), Figure::to_release()];
        for figure in &mut ratios {
            for seconds in [ours, 100, ours] {
                figure.add(boot(seconds, seconds), boot(100, 100)).unwrap();
            }
        }
        Report { load: "0 0 0".into(), ratios, memory: Some(Memory { ours: memory, baseline: 512 }) }
    }

    #[test]
    fn a_median_over_the_limit_is_missed_and_said() {
        let good = report(70, 384);
        assert!(!good.missed() && !good.to_string().contains("MISSED"), "{good}");
        assert!(good.to_string().contains("0.70 of the baseline"), "{good}");
        let slow = report(80, 384);
        assert!(slow.missed());
        assert_eq!(slow.to_string().matches("MISSED").count(), 1, "0.80 is enough to the release's PID 1\n{slow}");
        assert_eq!(slow.to_json()["ratios"][0]["missed"], true);
        let large = report(70, 416);
        assert!(large.missed() && large.to_json()["memory"]["missed"] == true);
    }

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_baseline_that_took_no_time_is_refused() {
        assert!(Figure::to_load(2).add(boot(1, 1), boot(0, 1)).is_err());
    }
}
