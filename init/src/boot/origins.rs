//! The places of Internet and Local: a network comes up, and everybody who may know of a release is asked at once. One who is
//! dead, or lies, stops nobody else.
//!
//! Internet asks the origins that were given and whoever the DHT names, through the proxy if there is one. Local asks whoever
//! this link's directory names, the DHCP server's URL and the origins that were given, all of them under the rule of the link
//! ([`Origin::on_link`]): what is behind a router, or has to be looked up by a name server, is refused by its name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use discover::{FetchError, Found, Gathered, Manner, Origin, Remark, Request, Search, Way};
use verify::{Arch, Now};

use super::memory::Memory;
use super::places::{GATHERING, Places, counted};
use super::{BootError, StageOne};
use crate::config::Config;
use crate::mode::Mode;
use crate::network::{self, Network};
use crate::share::neighbours;

/// With a release in hand, so much silence of the link is the end. Its directory is asked again after a second, so that an
/// answer may be lost once.
const SILENCE: Duration = Duration::from_secs(2);
/// With a release in hand, so long the DHT is waited for: it takes one or two seconds where it works.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to look, as far as the mode allows it.
#[derive(Debug)]
struct Known {
    /// Places that can be asked.
    places: Vec<(Way, Origin)>,
    /// Those that may not be, and why.
    refused: Vec<Remark>,
}

impl Known {
    /// The places that Internet knows before it looks for others.
    fn internet(config: &Config, manner: &Manner) -> Self {
        let place = |origin: &Origin| (Way::Given, manner.of(origin.clone()));
        Self { places: config.origins.iter().map(place).collect(), refused: Vec::new() }
    }

    /// Those of Local: what was given, and what the DHCP server names, as far as it can be on the link.
    fn local(config: &Config, boot_urls: &[String], manner: &Manner) -> Self {
        let given = config.origins.iter().map(|origin| (Way::Given, Ok(origin.clone())));
        let from_dhcp = boot_urls.iter().map(|url| (Way::Dhcp, Origin::parse(url)));
        let mut known = Self { places: Vec::new(), refused: Vec::new() };
        for (way, origin) in given.chain(from_dhcp) {
            match origin.and_then(|origin| manner.of(origin).on_link()) {
                Ok(origin) => known.places.push((way, origin)),
                Err(error) => {
                    known.refused.push(Remark { kind: "off-link", text: format!("not asked ({way}): {error}") });
                }
            }
        }
        known
    }
}

impl StageOne<'_> {
    /// Connects, and asks everybody.
    pub(super) fn origins(&self, config: &Config, mode: Mode, memory: &Memory, now: Now) -> Result<Places, BootError> {
        let connection = self.network(config, mode)?;
        let manner = manner(config, now);
        let known = match mode {
            Mode::Local => Known::local(config, &connection.boot_urls, &manner),
            Mode::Internet | Mode::Private => Known::internet(config, &manner),
        };
        let look = || {
            if known.places.is_empty() && mode == Mode::Internet && config.locator.is_none() {
                return Err(BootError::NoOrigin);
            }
            let search = Search {
                request: Request {
                    channel: config.trust.channel.as_str(),
                    arch: Arch::COMPILED.as_str(),
                    epoch: memory.epoch(),
                },
                places: &known.places,
                link: mode == Mode::Local,
                locator: config.locator.as_ref().filter(|_| mode == Mode::Internet),
                manner: &manner,
                deadline: Instant::now() + GATHERING,
                settle: SILENCE,
                patience: PATIENCE,
            };
            let found = discover::search(&search, &|gathered| memory.accepts(gathered, now));
            self.judge(&known.refused, found)
        };
        let fields = |found: &Found| counted(&found.gathered, found.gathered.failures.len());
        let found = self.timeline.stage("discover", look, fields)?;
        Ok(places(found, connection))
    }

    fn network(&self, config: &Config, mode: Mode) -> Result<network::Connection, BootError> {
        let settings = network::Settings {
            plan: config.parameters.network.clone(),
            command_line: config.command_line.clone(),
            on_link: mode == Mode::Local,
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

    /// Says what came of the search. If it is nothing, all reasons are.
    fn judge(&self, refused: &[Remark], found: Found) -> Result<Found, BootError> {
        for (way, origin) in found.places.iter().filter(|(way, _)| *way != Way::Given) {
            self.console.info(format_args!("asked: {origin} ({way})"));
        }
        let reasons = reasons(refused, &found);
        for reason in &reasons {
            self.console.warn(format_args!("{reason}"));
        }
        if !found.gathered.candidates.is_empty() {
            return Ok(found);
        }
        let kind = reasons.first().map_or("not-found", |reason| reason.kind);
        let texts: Vec<String> = reasons.into_iter().map(|reason| reason.text).collect();
        Err(BootError::NotFound(texts.join("; "), kind))
    }
}

/// What did not work: places in the order in which they became known, then whoever names places.
fn reasons(refused: &[Remark], found: &Found) -> Vec<Remark> {
    let failures = found.places.iter().flat_map(|(way, origin)| {
        let failures = found.gathered.failures.iter().filter(|(name, _)| name == origin.base());
        failures.map(move |(_, error)| match way {
            Way::Given => Remark { kind: error.kind(), text: error.to_string() },
            way => Remark { kind: error.kind(), text: format!("{error} ({way})") },
        })
    });
    refused.iter().cloned().chain(failures).chain(found.remarks.iter().cloned()).collect()
}

/// How places are asked. The dates of certificates count only if the clock does.
#[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only certificates ask for the time"))]
fn manner(config: &Config, now: Now) -> Manner {
    #[cfg(feature = "tls")]
    use discover::tls::Clock;
    Manner {
        proxy: config.parameters.proxy.clone(),
        #[cfg(feature = "tls")]
        tls: config.tls.clone().under(if now.trusted { Clock::Trusted } else { Clock::NotTrusted }),
    }
}

/// The places for the download, those with a release first, since a pool has room for so many. Who is not on the link is asked
/// for nothing more.
fn places(found: Found, connection: network::Connection) -> Places {
    let Found { mut places, gathered, .. } = found;
    let ways = places.iter().filter(|(way, _)| *way != Way::Given);
    let ways = ways.map(|(way, origin)| (origin.base().to_owned(), way.clone())).collect();
    let has = |origin: &Origin, gathered: &Gathered| gathered.candidates.iter().any(|it| it.source == origin.base());
    let away = |origin: &Origin, gathered: &Gathered| {
        let mut failures = gathered.failures.iter().filter(|(name, _)| name == origin.base());
        failures.any(|(_, error)| matches!(error, FetchError::OffLink { .. }))
    };
    places.retain(|(_, origin)| !away(origin, &gathered));
    places.sort_by_key(|(_, origin)| !has(origin, &gathered));
    let source = |(way, origin)| neighbours::source(origin, matches!(way, Way::Link { shares: true, .. }));
    let sources = Arc::new(places.into_iter().map(source).collect());
    Places { sources, ways, found: gathered, connection: Some(connection) }
}

#[cfg(test)]
mod tests;
