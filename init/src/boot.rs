//! Stage one: from the early mounts to the jump into a verified release, in order. [`StageOne::run`] is the story; how a
//! chosen release is entered stands in [`handoff`].

mod error;
mod handoff;
mod measured;
mod memory;
mod origins;
mod places;

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use discover::Gathered;
use verify::{Arch, Manifest, Newest, Now, Refusal, Rules, Sha256Digest, Trust, Verified};

pub use self::error::BootError;
use self::memory::Believed;
use self::places::Places;
use crate::config::{self, Config};
use crate::console::Console;
use crate::download::Pulse;
use crate::menu;
use crate::mode::{self, Mode};
use crate::modules;
use crate::network;
use crate::outcome::Outcome;
use crate::pool::Pool;
use crate::quiet;
use crate::store::Access;
use crate::timeline::Timeline;

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
    /// Who gave the envelope.
    source: String,
    /// Everybody who offers this release.
    offered_by: Vec<String>,
    /// All envelopes that were found: what it gave is among them.
    found: &'a Gathered,
    /// Every place: a blob is named by its digest, so that whoever has another release may have it as well.
    sources: &'a Arc<Pool>,
    /// The trust file that it was judged by.
    trust: &'a Trust,
    /// SHA-256 of that file.
    trust_digest: Sha256Digest,
    now: Now,
    mode: Mode,
    /// The network that was used, if one was.
    connection: Option<&'a network::Connection>,
}

impl StageOne<'_> {
    /// The whole of stage one. Returns what PID 1 has to do, unless it jumped.
    pub fn run(&self) -> Result<Outcome, BootError> {
        let config = self.configuration()?;
        let drivers = self.drivers(&config)?;
        let mode = self.mode(&config)?;
        let config = config.in_mode(mode);
        let access = Access::of(mode);
        let memory = self.remember(&config, access);
        let now = self.time(|clock| memory.now(clock), None);
        let mut places = match mode {
            Mode::Private => self.media(&config, memory.epoch())?,
            Mode::Internet | Mode::Local => self.origins(&config, mode, &memory, now)?,
        };
        let believed = self.believe(memory, &places.found, access)?;
        let now = self.time(|clock| believed.now(clock), Some(now));
        self.prove(&believed, &mut places);
        let releases = self.newest(&believed, &places, mode, now)?;
        self.enter_first(&config, releases, &drivers)
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

    /// Which promises hold: from here on they do. A person is asked only if the command line says nothing.
    fn mode(&self, config: &Config) -> Result<Mode, BootError> {
        let ask = || menu::ask(self.console, mode::ALL);
        let choose = || mode::choose(Path::new("/"), config.parameters.mode, ask);
        let mode = self.timeline.stage("mode", choose, |mode| field("mode", mode))?;
        for remark in mode.ignores(&config.parameters) {
            self.console.warn(format_args!("{remark}"));
        }
        Ok(mode)
    }

    /// Which time it is, by all that is known; `before` is what was decided with less. Said if the clock is not believed.
    fn time(&self, decide: impl FnOnce(Option<u64>) -> Now, before: Option<Now>) -> Now {
        let now = decide(SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()));
        if !now.trusted && before.is_none_or(|before| before.trusted) {
            self.console.warn(format_args!("the machine's clock is not believed; it is taken to be {}", now.time));
        }
        now
    }

    /// Verifies all that was found; the newest verified release wins, whatever any source says of itself. The others
    /// follow it, each above every floor: whoever serves an envelope and keeps its blobs back delays a boot, and no more.
    fn newest<'a>(
        &self,
        believed: &'a Believed,
        places: &'a Places,
        mode: Mode,
        now: Now,
    ) -> Result<(Chosen<'a>, Vec<Chosen<'a>>), BootError> {
        let candidates = places
            .found
            .candidates
            .iter()
            .cloned()
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
        self.introduce(&newest, places);
        let Newest { source, release, others, .. } = newest;
        let chosen = |holder: String, release| Chosen {
            release,
            offered_by: vec![holder.clone()],
            source: holder,
            found: &places.found,
            sources: &places.sources,
            trust: &believed.trust,
            trust_digest: believed.trust_digest,
            now,
            mode,
            connection: places.connection.as_ref(),
        };
        let mut best = chosen(source, release);
        let mut further: Vec<Chosen<'a>> = Vec::new();
        for (holder, release) in others {
            let mut known = std::iter::once(&mut best).chain(&mut further);
            match known.find(|known| known.release.digest() == release.digest()) {
                Some(known) => known.offered_by.push(holder),
                None => further.push(chosen(holder, release)),
            }
        }
        Ok((best, further))
    }

    /// Enters the first release whose bytes can be had.
    fn enter_first(
        &self,
        config: &Config,
        (best, further): (Chosen<'_>, Vec<Chosen<'_>>),
        drivers: &modules::Drivers,
    ) -> Result<Outcome, BootError> {
        let mut chosen = best;
        for next in further {
            let error = match self.enter_one(config, &chosen, drivers) {
                Err(BootError::Download(error)) => error,
                outcome => return outcome,
            };
            self.console.warn(format_args!(
                "release {} cannot be had ({error}); release {} was verified as well and is tried next",
                chosen.release.version, next.release.version
            ));
            chosen = next;
        }
        self.enter_one(config, &chosen, drivers)
    }

    /// Enters this release. Whoever offers it is asked for its bytes first.
    fn enter_one(
        &self,
        config: &Config,
        chosen: &Chosen<'_>,
        drivers: &modules::Drivers,
    ) -> Result<Outcome, BootError> {
        chosen.sources.prefer(|place| chosen.offered_by.iter().any(|holder| holder == place));
        self.enter(config, chosen, drivers)
    }

    /// Says what was chosen, and what is odd about what was found.
    fn introduce(&self, newest: &Newest<String>, places: &Places) {
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
            places.described(&newest.source),
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
