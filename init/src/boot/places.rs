//! The middle of stage one: the places that may have a release, and what they have. Which kind of places, the mode decides:
//! those of [`super::origins`], or media.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use discover::{Gathered, Origin, Way};
use verify::Arch;

use super::memory::Believed;
use super::{BootError, StageOne};
use crate::config::Config;
use crate::media::{self, NoMedium};
use crate::network;
use crate::pool::Pool;
use crate::source::Source;
use crate::timeline::Kind;

/// How long envelopes are gathered.
pub(super) const GATHERING: Duration = Duration::from_secs(20);
/// How long media are looked for: a USB disk that has to spin up takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long another medium may follow the last one: a USB stick is there two seconds after its driver.
const SETTLE: Duration = Duration::from_secs(3);

/// Places that may have the release, and what they have. Untrusted.
pub(super) struct Places {
    /// The places.
    pub(super) sources: Arc<Pool>,
    /// How those were found that nobody gave, by their names.
    pub(super) ways: Vec<(String, Way)>,
    /// Their envelopes.
    pub(super) found: Gathered,
    /// The network that leads to them, if one does.
    pub(super) connection: Option<network::Connection>,
}

impl Places {
    /// What people call a place: its name, and how it was found if nobody gave it.
    pub(super) fn described(&self, name: &str) -> String {
        match self.ways.iter().find(|(known, _)| known == name) {
            Some((_, way)) => format!("{name} ({way})"),
            None => name.to_owned(),
        }
    }
}

impl StageOne<'_> {
    /// Looks at what is plugged in. No interface is switched on for it, and nothing is written.
    pub(super) fn media(&self, config: &Config, epoch: u64) -> Result<Places, BootError> {
        let search = || {
            let question = media::Question {
                root: Path::new("/").to_owned(),
                command_line: config.command_line.clone(),
                channel: config.trust.channel.to_string(),
                arch: Arch::COMPILED.as_str().to_owned(),
                epoch,
                patience: PATIENCE,
                settle: SETTLE,
            };
            let found = media::search(question);
            for (_, error) in &found.failures {
                self.console.warn(format_args!("{error}"));
            }
            if !found.media.is_empty() {
                return Ok(found);
            }
            match found.failures.first().map(|(_, error)| error.kind()) {
                Some(kind) => {
                    let reasons: Vec<String> = found.failures.iter().map(|(_, error)| error.to_string()).collect();
                    Err(BootError::NotFound(reasons.join("; "), kind))
                }
                None => Err(NoMedium { waited: PATIENCE.as_secs(), others: found.others }.into()),
            }
        };
        let fields = |found: &media::Found| counted(&found.gathered, found.failures.len());
        let media::Found { media, gathered, .. } = self.timeline.stage("discover", search, fields)?;
        let names: Vec<&str> = media.iter().map(media::Medium::name).collect();
        self.console.info(format_args!("a release is on {}; no network is used", names.join(", ")));
        let sources = Arc::new(media.into_iter().map(Source::Medium).collect());
        Ok(Places { sources, ways: Vec::new(), found: gathered, connection: None })
    }

    /// Asks for the proofs that releases were logged, if the trust file in force wants one of every release. What stands on
    /// a medium was read with its envelope.
    pub(super) fn prove(&self, believed: &Believed, places: &mut Places) {
        if believed.trust.policy.transparency.is_none() {
            return;
        }
        let origins: Vec<Origin> =
            places.sources.sources().iter().filter_map(|source| source.origin().cloned()).collect();
        let place = (believed.trust.channel.as_str(), Arch::COMPILED.as_str());
        let deadline = Instant::now() + GATHERING;
        for (source, error) in discover::prove(&mut places.found.candidates, &origins, place, deadline) {
            self.console.warn(format_args!("{source}: {error}"));
        }
    }
}

/// What the `end` marker says.
pub(super) fn counted(gathered: &Gathered, failures: usize) -> Vec<(&'static str, String)> {
    vec![("candidates", gathered.candidates.len().to_string()), ("failures", failures.to_string())]
}
