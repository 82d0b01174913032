//! The process that does the work of a stage. PID 1 waits for it, so that whatever ends it (an error, a panic, the kernel
//! short of memory) ends an attempt and not the machine.
//!
//! It tells PID 1 two things over its standard output: bytes that mean "work goes on", and as its last line the
//! [`Outcome`] as JSON.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::boot::StageOne;
use crate::config::{self, Stage};
use crate::console::Console;
use crate::download::Pulse;
use crate::outcome::Outcome;
use crate::parameters::Parameters;
use crate::timeline::{StageTiming, Timeline};
use crate::{rescue, root};

/// What this program is started as when it is not PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Stage one or two.
    Work(Stage),
    /// The rescue prompt.
    Rescue,
}

/// The environment variable with the stages that PID 1 ran, as JSON.
pub const TIMINGS: &str = "PHASE_TIMINGS";

impl Role {
    /// The argument that asks for it.
    pub fn argument(self) -> &'static str {
        match self {
            Self::Work(Stage::Boot) => "work-boot",
            Self::Work(Stage::Root) => "work-root",
            Self::Rescue => "rescue",
        }
    }

    /// The role that an argument asks for.
    pub fn from_argument(argument: &str) -> Option<Self> {
        [Self::Work(Stage::Boot), Self::Work(Stage::Root), Self::Rescue]
            .into_iter()
            .find(|role| role.argument() == argument)
    }
}

/// A byte to PID 1 for every sign of life. Nobody listening is not this process's concern.
#[derive(Debug)]
struct Heartbeat;

impl Pulse for Heartbeat {
    fn beat(&self) {
        let mut output = std::io::stdout();
        _ = output.write_all(b"\n").and_then(|()| output.flush());
    }
}

/// Does what the role says; every console gets the reason of a failure.
pub fn run(role: Role) -> ExitCode {
    let command_line = config::command_line(Path::new("/")).unwrap_or_default();
    let (parameters, _) = Parameters::parse(&command_line);
    let console = Arc::new(Console::attach(Path::new("/"), &command_line, parameters.verbosity()));
    report_panics(&console);
    // The kernel kills a process when memory runs out: this one, not another.
    _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let stage = match role {
        Role::Rescue => return rescue::run(&console),
        Role::Work(stage) => stage,
    };
    let earlier: Vec<StageTiming> =
        std::env::var(TIMINGS).ok().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let timeline = Timeline::after(earlier, &console);
    let outcome = match stage {
        Stage::Boot => StageOne { console: &console, timeline: &timeline, pulse: &Heartbeat }
            .run()
            .unwrap_or_else(|error| Outcome::Failed(error.failure())),
        Stage::Root => root::run(&console, &timeline).unwrap_or_else(|error| Outcome::Failed(error.failure())),
    };
    let sent = serde_json::to_vec(&outcome).map_err(std::io::Error::from).and_then(|mut line| {
        line.push(b'\n');
        std::io::stdout().write_all(&line)
    });
    match sent {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.warn(format_args!("the outcome could not be told to PID 1: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A panic says where it happened on every console before the process ends.
fn report_panics(console: &Arc<Console>) {
    let console = Arc::clone(console);
    std::panic::set_hook(Box::new(move |panic| console.warn(format_args!("a defect of Phase Boot: {panic}"))));
}
