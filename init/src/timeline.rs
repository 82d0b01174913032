//! When every stage began and ended: said as markers, kept for the hand-off and the receipt.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::console::Console;
use crate::marker::{Event, line, now_us};

/// One finished stage; times are `CLOCK_MONOTONIC` in microseconds of the kernel that ran it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTiming {
    /// Name as in docs/markers.md.
    pub stage: String,
    /// When the stage began.
    pub begin_us: u64,
    /// When it ended.
    pub end_us: u64,
}

/// A stage's failure as a marker says it: a short stable word (docs/markers.md, `error=`).
pub trait Kind {
    /// The word.
    fn kind(&self) -> &'static str;
}

/// The stages that ran so far.
#[derive(Debug)]
pub struct Timeline<'console> {
    console: &'console Console,
    finished: Mutex<Vec<StageTiming>>,
}

impl<'console> Timeline<'console> {
    /// Goes on after the stages that another process of this kernel ran.
    pub fn after(finished: Vec<StageTiming>, console: &'console Console) -> Self {
        Self { console, finished: Mutex::new(finished) }
    }

    /// Begins a stage that is ended by hand, for one that is not a single call.
    pub fn begin(&self, stage: &'static str) -> Stage<'_> {
        let begin_us = now_us();
        self.console.marker(&line(stage, Event::Begin, begin_us, &[]));
        Stage { timeline: self, name: stage, begin_us }
    }

    /// Marks a stage that only begins: what comes next is another program or another kernel.
    pub fn last(&self, stage: &str, fields: &[(&str, &str)]) {
        self.console.marker(&line(stage, Event::Begin, now_us(), fields));
    }

    /// Runs a whole stage: `fields` says what of its result stands in the `end` marker.
    pub fn stage<T, E: Kind>(
        &self,
        stage: &'static str,
        work: impl FnOnce() -> Result<T, E>,
        fields: impl FnOnce(&T) -> Vec<(&'static str, String)>,
    ) -> Result<T, E> {
        let stage = self.begin(stage);
        let result = work();
        match &result {
            Ok(value) => stage.end(&fields(value)),
            Err(error) => stage.fail(error),
        }
        result
    }

    /// What finished so far, in order.
    pub fn finished(&self) -> Vec<StageTiming> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stage that has begun.
#[must_use = "a stage that begins has to end or fail"]
#[derive(Debug)]
pub struct Stage<'timeline> {
    timeline: &'timeline Timeline<'timeline>,
    name: &'static str,
    begin_us: u64,
}

impl Stage<'_> {
    /// The work is done.
    pub fn end(self, fields: &[(&'static str, String)]) {
        let end_us = now_us();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.timeline.console.marker(&line(self.name, Event::End, end_us, &fields));
        let timing = StageTiming { stage: self.name.to_owned(), begin_us: self.begin_us, end_us };
        self.timeline.finished.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
    }

    /// The work could not be done.
    pub fn fail(self, error: &impl Kind) {
        self.timeline.console.marker(&line(self.name, Event::Fail, now_us(), &[("error", error.kind())]));
    }
}
