//! Stage two: the release's kernel runs, and the root that stage one proved is put together, in order.

use std::path::Path;
use std::sync::Arc;

use crate::config::{self, ConfigError};
use crate::console::Console;
use crate::modules::{self, ModuleError};
use crate::outcome::{Failure, Outcome};
use crate::overlay::{self, RootError};
use crate::record::{Handoff, RUN, RecordError};
use crate::timeline::{Kind, Timeline};
use crate::upper::Place;

/// Why the root could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum StageTwoError {
    /// The command line.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The hand-off or the receipt.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The modules.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
}

impl Kind for StageTwoError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Config(error) => error.kind(),
            Self::Record(error) => error.kind(),
            Self::Modules(error) => error.kind(),
            Self::Root(error) => error.kind(),
        }
    }
}

impl StageTwoError {
    /// As PID 1 is told. Nothing of stage two goes better when it is done again: its input is in memory.
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind().to_owned(), message: self.to_string(), may_pass: false }
    }
}

/// The whole of stage two.
pub fn run(console: &Arc<Console>, timeline: &Timeline<'_>) -> Result<Outcome, StageTwoError> {
    let here = Path::new("/");
    let command_line = config::command_line(here)?;
    let load = || modules::load(here, &command_line, &overlay::MODULES);
    timeline.stage("modules", load, |loaded| vec![("loaded", loaded.to_string())])?;
    let handoff = timeline.stage("handoff-read", || Handoff::read(here), |_| Vec::new())?;
    let assemble = || {
        let place = handoff.upper.as_ref().map(|upper| {
            // Drivers go on being loaded for what comes late, until this process ends.
            if let Err(error) = modules::coldplug(here, &command_line, console) {
                console.warn(format_args!("{error}"));
            }
            Place::new(upper, &handoff.channel, &handoff.arch, &command_line, console)
        });
        overlay::from_path(&here.join("phase/rootfs.squashfs"), &handoff.init, place)
    };
    let root = timeline.stage("root", assemble, |root| vec![("upper", root.upper().to_owned())])?;
    let handoff = handoff.after_keeping(root.kept.as_ref(), console);
    let write = || handoff.give_to_release(Path::new(RUN), &timeline.finished());
    timeline.stage("receipt", write, |()| Vec::new())?;
    Ok(Outcome::Switch { root: root.path.display().to_string(), init: root.init, command_line: None })
}
