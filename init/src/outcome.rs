//! How an attempt ended: what the worker tells PID 1.

use serde::{Deserialize, Serialize};

/// The end of an attempt. A jump into another kernel has none: it does not return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The release's root is ready; PID 1 has to move in.
    Switch {
        /// Where it is mounted.
        root: String,
        /// The release's init.
        init: String,
        /// What the release sees as /proc/cmdline, if not this kernel's own.
        command_line: Option<String>,
    },
    /// It failed, and the console has the reason.
    Failed(Failure),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable word of the failure (docs/markers.md, `error=`).
    pub kind: String,
    /// The whole reason.
    pub message: String,
    /// Whether another attempt may go better: a network may come back, memory does not grow.
    pub may_pass: bool,
}
