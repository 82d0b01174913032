//! What the figures have in common: one core, time that is the processor's and not the wall's, medians.

#![allow(dead_code, reason = "every figure takes what it needs")]

use std::process::ExitCode;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

pub(crate) type Error = Box<dyn std::error::Error>;

/// Keeps this process, and what it starts, on the first core that it may use.
pub(crate) fn stay_on_one_core() -> Result<(), Error> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).ok_or("no core may be used")?;
    let mut one = CpuSet::new();
    one.set(core);
    Ok(sched_setaffinity(None, &one)?)
}

/// Seconds of processor time that `work` takes in this thread: those that others take of the core do not count.
pub(crate) fn processor_seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        seconds
    };
    let begun = now();
    let outcome = work();
    (now() - begun, outcome)
}

/// The middle one of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Says whether a promise is kept, in words and as an exit status.
pub(crate) fn verdict(what: &str, figure: f64, wanted: &str, kept: bool) -> ExitCode {
    println!("{what}: {figure:.2}, wanted {wanted}: {}", if kept { "reached" } else { "MISSED" });
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
