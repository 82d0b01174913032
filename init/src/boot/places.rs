//! The middle of stage one: the places that may have a release, and what they have. Which kind of places, the mode decides.

use std::path::Path;
use std::time::{Duration, Instant};

use discover::{Gathered, Origin, Request};
use verify::Arch;

use super::memory::Believed;
use super::{BootError, StageOne, listed};
use crate::config::Config;
use crate::media::{self, NoMedium};
use crate::network::{self, Network};
use crate::pool::Pool;
use crate::source::Source;
use crate::timeline::Kind;

/// How long envelopes are gathered.
const GATHERING: Duration = Duration::from_secs(20);
/// How long media are looked for: a USB disk that has to spin up takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long another medium may follow the last one: a USB stick is there two seconds after its driver.
const SETTLE: Duration = Duration::from_secs(3);

/// Places that may have the release, and what they have. Untrusted.
pub(super) struct Places {
    /// The places.
    pub(super) sources: Pool,
    /// Their envelopes.
    pub(super) found: Gathered,
    /// The network that leads to them, if one does.
    pub(super) connection: Option<network::Connection>,
}

impl StageOne<'_> {
    /// Connects, and asks every origin.
    pub(super) fn origins(&self, config: &Config, epoch: u64) -> Result<Places, BootError> {
        let connection = self.network(config)?;
        let found = self.discover(config, epoch)?;
        let sources = config.origins.iter().cloned().map(Source::from).collect();
        Ok(Places { sources, found, connection: Some(connection) })
    }

    fn network(&self, config: &Config) -> Result<network::Connection, BootError> {
        let settings = network::Settings {
            plan: config.parameters.network.clone(),
            command_line: config.command_line.clone(),
            ..network::Settings::default()
        };
        let up = || match network::up(&settings, self.console) {
            Network::Up(connection) => Ok(connection),
            Network::Down(reason) => Err(BootError::Network(reason)),
        };
        let connection = self.timeline.stage("network", up, |connection| {
            let router = connection.router.map_or_else(|| "none".to_owned(), |router| router.to_string());
            vec![
                ("interface", connection.interface.clone()),
                ("address", connection.address.clone()),
                ("router", router),
            ]
        })?;
        self.console.info(format_args!("{} has {}", connection.interface, connection.address));
        Ok(connection)
    }

    /// Asks every source, until all answered or the time is over.
    fn discover(&self, config: &Config, epoch: u64) -> Result<Gathered, BootError> {
        let gather = || {
            if config.origins.is_empty() {
                return Err(BootError::NoOrigin);
            }
            let deadline = Instant::now() + GATHERING;
            let channel = config.trust.channel.as_str();
            let request = Request { channel, arch: Arch::COMPILED.as_str(), epoch };
            let gathered = discover::gather(&config.origins, &request, deadline);
            for (source, error) in &gathered.failures {
                self.console.warn(format_args!("{source}: {error}"));
            }
            if gathered.candidates.is_empty() {
                let reasons = listed(gathered.failures.iter().map(|(source, error)| (source, error)));
                let kind = gathered.failures.first().map_or("not-found", |(_, error)| error.kind());
                return Err(BootError::NotFound(reasons, kind));
            }
            Ok(gathered)
        };
        self.timeline.stage("discover", gather, |gathered| counted(gathered, gathered.failures.len()))
    }

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
        let sources = media.into_iter().map(Source::Medium).collect();
        Ok(Places { sources, found: gathered, connection: None })
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
fn counted(gathered: &Gathered, failures: usize) -> Vec<(&'static str, String)> {
    vec![("candidates", gathered.candidates.len().to_string()), ("failures", failures.to_string())]
}
