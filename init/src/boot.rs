//! Stage one: from the early mounts to the jump into a verified release, in order. [`StageOne::run`] is the story; how a
//! chosen release is entered stands in [`handoff`].

mod error;
mod handoff;
mod memory;

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use discover::{Gathered, Origin, Request};
use verify::{Arch, Manifest, Newest, Now, Refusal, Rules, Trust, Verified};

pub use self::error::BootError;
use self::memory::Believed;
use crate::config::{self, Config};
use crate::console::Console;
use crate::download::Pulse;
use crate::mode::{self, Mode};
use crate::modules;
use crate::network::{self, Network};
use crate::outcome::Outcome;
use crate::quiet;
use crate::store::Access;
use crate::timeline::Timeline;

/// How long envelopes are gathered.
const GATHERING: Duration = Duration::from_secs(20);

/// What stage one works with.
#[derive(Debug)]
pub struct StageOne<'a> {
    /// The consoles.
    pub console: &'a Arc<Console>,
    /// The stages so far.
    pub timeline: &'a Timeline<'a>,
    /// Tells PID 1 that work goes on.
    pub pulse: &'a dyn Pulse,
}

/// A release that was chosen, and what is known about how it was found.
struct Chosen<'a> {
    release: Verified<Manifest>,
    sources: Vec<&'a Origin>,
    /// The trust file that it was judged by.
    trust: &'a Trust,
    now: Now,
    mode: Mode,
    /// What this boot may do with the machine's store.
    access: Access,
    connection: network::Connection,
}

impl StageOne<'_> {
    /// The whole of stage one. Returns what PID 1 has to do, unless it jumped.
    pub fn run(&self) -> Result<Outcome, BootError> {
        let config = self.configuration()?;
        let drivers = self.drivers(&config)?;
        let mode = self.timeline.stage("mode", || mode::choose(config.parameters.mode), |mode| field("mode", mode))?;
        let access = Access::of(mode);
        let memory = self.remember(&config, access);
        let connection = self.network(&config)?;
        let mut found = self.discover(&config, memory.epoch())?;
        let believed = self.believe(memory, &found, access)?;
        self.prove(&config, &believed, &mut found);
        let chosen = self.newest(&config, &believed, found, mode, connection)?;
        self.enter(&config, &chosen, &drivers)
    }

    fn configuration(&self) -> Result<Config, BootError> {
        let config = self.timeline.stage("config", || config::read(Path::new("/")), |_| Vec::new())?;
        for remark in &config.remarks {
            self.console.warn(format_args!("{remark}"));
        }
        Ok(config)
    }

    fn drivers(&self, config: &Config) -> Result<modules::Drivers, BootError> {
        let load = || {
            quiet::give_back(Path::new("/"));
            modules::coldplug(Path::new("/"), &config.command_line, self.console)
        };
        Ok(self.timeline.stage("modules", load, |drivers| field("loaded", &drivers.loaded))?)
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
        self.timeline.stage("discover", gather, |gathered| {
            vec![
                ("candidates", gathered.candidates.len().to_string()),
                ("failures", gathered.failures.len().to_string()),
            ]
        })
    }

    /// Asks for the proofs that releases were logged, if the trust file in force wants one of every release.
    fn prove(&self, config: &Config, believed: &Believed, found: &mut Gathered) {
        if believed.trust.policy.transparency.is_none() {
            return;
        }
        let place = (believed.trust.channel.as_str(), Arch::COMPILED.as_str());
        let deadline = Instant::now() + GATHERING;
        for (source, error) in discover::prove(&mut found.candidates, &config.origins, place, deadline) {
            self.console.warn(format_args!("{source}: {error}"));
        }
    }

    /// Verifies all that was found; the newest verified release wins, whatever any source says of itself.
    fn newest<'a>(
        &self,
        config: &'a Config,
        believed: &'a Believed,
        gathered: Gathered,
        mode: Mode,
        connection: network::Connection,
    ) -> Result<Chosen<'a>, BootError> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        let now = Now::decide(clock, believed.trust.built, believed.floors.issued);
        if !now.trusted {
            self.console.warn(format_args!("the machine's clock is not believed; it is taken to be {}", now.time));
        }
        let candidates = gathered
            .candidates
            .into_iter()
            .map(|discover::Candidate { source, envelope, proof }| (source, verify::Candidate { envelope, proof }));
        let rules = Rules { trust: &believed.trust, arch: Arch::COMPILED, now, floors: believed.floors };
        let verify = || {
            let newest = verify::verified::newest(candidates, &rules);
            newest.map_err(|lost| {
                let kind = lost.refused.first().map_or("not-found", |(_, refusal)| refusal.kind());
                self.name_refused(&lost.refused);
                BootError::Untrusted(listed(lost.refused.iter().map(|(source, refusal)| (source, refusal))), kind)
            })
        };
        let newest = self.timeline.stage("verify", verify, |newest| {
            vec![
                ("channel", newest.release.channel.to_string()),
                ("release", newest.release.version.to_string()),
                ("manifest", newest.release.digest().to_string()),
            ]
        })?;
        self.introduce(&newest);
        let same = newest.others.iter().filter(|(_, other)| other.digest() == newest.release.digest());
        let holders: Vec<&String> = std::iter::once(&newest.source).chain(same.map(|(source, _)| source)).collect();
        let sources = holders
            .iter()
            .filter_map(|holder| config.origins.iter().find(|origin| origin.base() == holder.as_str()))
            .collect();
        Ok(Chosen {
            release: newest.release,
            sources,
            trust: &believed.trust,
            now,
            mode,
            access: Access::of(mode),
            connection,
        })
    }

    /// Says what was chosen, and what is odd about what was found.
    fn introduce(&self, newest: &Newest<String>) {
        self.name_refused(&newest.refused);
        for (source, _) in newest.conflicts() {
            self.console.warn(format_args!("{source} has another release of the same version, signed as well"));
        }
        for warning in newest.release.warnings() {
            self.console.warn(format_args!("{warning}"));
        }
        let release = &newest.release;
        self.console.info(format_args!(
            "release {} of {} from {}, signed by {} key{}",
            release.version,
            release.channel,
            newest.source,
            release.key_ids().len(),
            if release.key_ids().len() == 1 { "" } else { "s" },
        ));
    }

    /// Says of every refused candidate why, and what helps.
    fn name_refused(&self, refused: &[(String, Refusal)]) {
        for (source, refusal) in refused {
            self.console.warn(format_args!("{source}: refused: {refusal}; {}", refusal.advice()));
        }
    }
}

fn field(key: &'static str, value: &impl Display) -> Vec<(&'static str, String)> {
    vec![(key, value.to_string())]
}

fn listed<'a, S: Display + 'a, E: Display + 'a>(reasons: impl Iterator<Item = (&'a S, &'a E)>) -> String {
    reasons.map(|(source, reason)| format!("{source}: {reason}")).collect::<Vec<_>>().join("; ")
}
