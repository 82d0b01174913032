//! What was heard so far, and what of it is used.
//!
//! Anybody on the link may answer, as often as he likes: what is kept of all answers is bounded. Services for others (another
//! channel, another architecture) take no place from those that are looked for, however many there are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use mdns_sd::ResolvedService;

use super::{Advert, Dropped, Heard, address, instance, place};
use crate::{Limits, link};

/// Most names that are remembered, so that one that is not used is told once.
const NAMES: usize = 1024;

/// The answers so far.
pub(super) struct Answers<'a> {
    channel: &'a str,
    arch: &'a str,
    limits: Limits,
    /// Whether an address is reached without a router; tests have a link of their own.
    is_on_link: fn(&SocketAddr) -> bool,
    /// By full name: the origin that was told, if one was.
    seen: HashMap<String, Option<String>>,
    /// Those that no route reaches yet.
    waiting: HashMap<String, ResolvedService>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(channel: &'a str, arch: &'a str) -> Self {
        let is_on_link = |address: &SocketAddr| link::is_on_link(Path::new("/"), address);
        Self { channel, arch, limits: Limits::default(), is_on_link, seen: HashMap::new(), waiting: HashMap::new() }
    }

    pub(super) fn resolved(&mut self, service: &ResolvedService) -> Vec<Heard> {
        let (name, most) = (&service.fullname, self.limits.services);
        let addresses = service.addresses.iter().filter_map(address).take(self.limits.addresses).collect();
        let txt = |key: &str| service.get_property_val(key).map(|value| value.unwrap_or_default().to_vec());
        let advert = Advert { port: service.port, addresses, txt: &txt };
        let outcome = place(instance(name), &advert, self.channel, self.arch, &|address| {
            (self.is_on_link)(&(address, service.port).into())
        });
        self.waiting.remove(name);
        let told = self.seen.get(name).cloned();
        let used = self.seen.values().flatten().count();
        match outcome {
            // Each address that becomes known brings the whole answer again.
            Ok(place) if told.as_ref().is_some_and(|told| told.as_deref() == Some(place.origin.base())) => Vec::new(),
            Ok(place) if used < most || matches!(told, Some(Some(_))) => {
                self.seen.insert(name.clone(), Some(place.origin.base().to_owned()));
                vec![Heard::Place(Box::new(place))]
            }
            Err(Dropped::OffLink { .. }) if self.waiting.len() < most => {
                self.waiting.insert(name.clone(), service.clone());
                Vec::new()
            }
            _ if told.is_some() || self.seen.len() >= NAMES => Vec::new(),
            outcome => {
                self.seen.insert(name.clone(), None);
                vec![Heard::Dropped(instance(name), outcome.err().unwrap_or(Dropped::TooMany { limit: most }))]
            }
        }
    }

    /// Looks again at what was not reached: an address of ours or a route may have come.
    pub(super) fn again(&mut self) -> Vec<Heard> {
        let waiting: Vec<_> = self.waiting.values().cloned().collect();
        waiting.iter().flat_map(|service| self.resolved(service)).collect()
    }

    pub(super) fn removed(&mut self, name: &str) -> Vec<Heard> {
        self.waiting.remove(name);
        match self.seen.remove(name) {
            Some(Some(_)) => vec![Heard::Gone(instance(name))],
            _ => Vec::new(),
        }
    }

    /// What nothing reached to the end.
    pub(super) fn unreached(self) -> Vec<Heard> {
        let dropped = |service: &ResolvedService| {
            let seen: Vec<_> = service.addresses.iter().take(self.limits.addresses).map(ToString::to_string).collect();
            Heard::Dropped(instance(&service.fullname), Dropped::OffLink { seen: seen.join(", ") })
        };
        self.waiting.values().map(dropped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdns::SERVICE;

    /// For a machine on whose link the network 127 is, and nothing else.
    fn answers() -> Answers<'static> {
        Answers { is_on_link: |address| address.ip().is_loopback(), ..Answers::new("demo", "x86_64") }
    }

    /// An answer of a machine with this address.
    fn service(number: usize, channel: &str, address: &str) -> ResolvedService {
        let txt = [("ch", channel), ("arch", "x86_64"), ("v", "7")];
        let (name, port) = (format!("mirror {number} {channel}"), 8000 + u16::try_from(number).unwrap());
        mdns_sd::ServiceInfo::new(SERVICE, &name, "mirror.local.", address, port, &txt[..])
            .unwrap()
            .as_resolved_service()
    }

    #[test]
    fn services_for_others_take_no_place_from_ours() {
        let mut answers = answers();
        let others = (0..2000).map(|number| service(number, "other", "127.0.0.1"));
        let told = others.flat_map(|other| answers.resolved(&other)).count();
        assert_eq!((told, answers.seen.len()), (NAMES, NAMES));
        let ours = answers.resolved(&service(1, "demo", "127.0.0.1"));
        assert!(matches!(&ours[..], [Heard::Place(place)] if place.name == "mirror 1 demo"), "{ours:?}");
        assert!(answers.resolved(&service(1, "demo", "127.0.0.1")).is_empty(), "said twice");
    }

    #[test]
    fn no_more_places_than_the_limit_are_used() {
        let mut answers = answers();
        let heard: Vec<_> =
            (0..40).flat_map(|number| answers.resolved(&service(number, "demo", "127.0.0.1"))).collect();
        let places = heard.iter().filter(|heard| matches!(heard, Heard::Place(_))).count();
        assert_eq!((heard.len(), places), (40, 32));
        assert!(matches!(&heard[32], Heard::Dropped(_, Dropped::TooMany { limit: 32 })), "{:?}", heard[32]);
        // Whoever leaves makes room.
        assert!(matches!(&answers.removed(&service(0, "demo", "127.0.0.1").fullname)[..], [Heard::Gone(_)]));
        assert!(matches!(&answers.resolved(&service(50, "demo", "127.0.0.1"))[..], [Heard::Place(_)]));
    }

    #[test]
    fn no_more_than_the_limit_wait_for_a_route() {
        let mut answers = answers();
        let told: Vec<_> = (0..40).flat_map(|number| answers.resolved(&service(number, "demo", "192.0.2.7"))).collect();
        assert_eq!((told.len(), answers.waiting.len()), (8, 32));
        assert!(answers.again().is_empty() && answers.waiting.len() == 32);
        assert_eq!(answers.unreached().len(), 32);
    }
}
