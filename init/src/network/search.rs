//! The search for a network: one loop over all interfaces, without a thread.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use discover::dhcp6::Question;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};

use super::attempt::{Attempt, Progress};
use super::force::Force;
use super::kernel::{Ipv6, Kernel, Notices};
use super::layers::{self, Layers};
use super::layout::{Part, named, part};
use super::link::Link;
use super::plan::{Addressing, Fixed};
use super::servers6::Servers;
use super::verdict::{Situation, Verdict, decide};
use super::{Connection, DownReason, Network, Settings, advertisement};
use crate::console::Console;

/// Most interfaces that are tried; a machine with more has its first ones in use, or an attacker in its slots.
const MOST: usize = 64;
/// Most notices of the kernel that are taken in one go: each advertisement of a router is one, and anybody may be a router.
const NOTICES: usize = 256;
/// Most name servers that are kept from router advertisements.
const NAME_SERVERS: usize = 3;
/// The links are looked at at least this often, in case a notice was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a connection of local mode waits for a `DHCPv6` server to name a place: the kernel may need a second until IPv6 can be
/// spoken on a new link, and a server answers in milliseconds.
const LINGER: Duration = Duration::from_millis(1500);
/// After this long without a carrier a person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A search that has begun.
pub(super) struct Search<'a> {
    settings: &'a Settings,
    console: &'a Console,
    kernel: Kernel,
    notices: Notices,
    begun: Instant,
    layers: Layers,
    /// Ethernet interfaces as they were at the last look.
    links: Vec<Link>,
    /// One for each interface that had a carrier.
    attempts: Vec<Attempt>,
    /// What came of the address of the command line.
    fixed: Option<Connection>,
    /// An address that can be taken: global, or in local mode link-local.
    ipv6: Option<Ipv6>,
    /// What is asked of `DHCPv6` servers.
    servers6: Servers,
    /// What was found, and until when it waits for the places that a `DHCPv6` server may name.
    taken: Option<(Connection, Duration)>,
    /// Name servers of router advertisements, with the interface that heard of them.
    advertised: Vec<(u32, Ipv6Addr)>,
    /// Whether it was said that a carrier is waited for.
    impatient: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(settings: &'a Settings, console: &'a Console) -> Result<Self, DownReason> {
        Ok(Self {
            settings,
            console,
            kernel: Kernel::new(),
            notices: Notices::listen()?,
            begun: Instant::now(),
            layers: Layers::default(),
            links: Vec::new(),
            attempts: Vec::new(),
            fixed: None,
            ipv6: None,
            servers6: Servers::default(),
            taken: None,
            advertised: Vec::new(),
            impatient: false,
        })
    }

    /// Looks, asks and waits until there is a verdict.
    pub(super) fn run(mut self) -> Result<Network, DownReason> {
        loop {
            self.look()?;
            if self.taken.is_none()
                && let Some(connection) = self.ask()
            {
                self.taken = Some((connection, self.now() + LINGER));
            }
            self.servers6.advance(self.now(), random());
            if let Some((connection, until)) = self.taken.take() {
                if !self.waits_for_places(&connection, until) {
                    return Ok(Network::Up(self.with_places(connection)));
                }
                self.taken = Some((connection, until));
                self.wait(until)?;
                continue;
            }
            match decide(&self.situation(), self.settings) {
                Verdict::Wait(until) => self.wait(until)?,
                Verdict::TakeIpv6 => self.taken = Some((self.take_ipv6()?, self.now() + LINGER)),
                Verdict::NoInterface => return Err(self.no_interface()),
                Verdict::NoCarrier => {
                    return Err(DownReason::NoCarrier { interfaces: self.names(), waited: self.now() });
                }
                Verdict::NoAddress => return Err(DownReason::NoAddress { reasons: self.reasons() }),
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sees which interfaces there are: new ones get their part, those with a carrier begin to ask.
    fn look(&mut self) -> Result<(), DownReason> {
        let mut links = self.ethernet()?;
        while self.layers.build(&self.settings.plan, &links, &mut self.kernel, self.console)? {
            links = self.ethernet()?;
        }
        let parts: Vec<Part> = links.iter().map(|link| part(&self.settings.plan, link, &links)).collect();
        for (link, part) in links.iter().zip(&parts) {
            let is_new = !self.links.iter().any(|known| known.index == link.index);
            match part {
                Part::Carries if is_new => {
                    layers::no_ipv6(&self.settings.root, &link.name);
                    self.switch_on(link);
                }
                Part::Asks if is_new => {
                    layers::accept_routers(&self.settings.root, &link.name, self.settings.on_link);
                    self.switch_on(link);
                }
                _ => {}
            }
            let asked = self.attempts.iter().any(|attempt| attempt.link.index == link.index);
            if *part == Part::Asks && !asked && link.has_carrier() {
                self.begin(link);
            }
        }
        self.links = links;
        if self.fixed_plan().is_none() {
            self.look_at_ipv6();
        }
        Ok(())
    }

    /// Sees which IPv6 addresses there are, and whether a `DHCPv6` server is to be asked.
    fn look_at_ipv6(&mut self) {
        // The address may be there before the carrier was seen, and must not win because nobody was asked yet.
        let asking: Vec<u32> = self.attempts.iter().map(|attempt| attempt.link.index).collect();
        // A kernel without IPv6 says so by an error; then there is none.
        let there = self.kernel.ipv6(&asking).unwrap_or_default();
        let now = self.now();
        for link in self.links.iter().filter(|link| asking.contains(&link.index)) {
            let local = there.iter().find(|ipv6| ipv6.interface == link.index && ipv6.is_link_local());
            let question = link.to_ask().or(self.settings.on_link.then_some(Question::Information));
            if let (Some(from), Some(question)) = (local, question) {
                let time = match question {
                    Question::Information => self.settings.dhcp6,
                    Question::Address => self.settings.lease,
                };
                let until = (now + time).min(self.settings.deadline);
                self.servers6.ask(link, from.address, question, random(), (now, until));
            }
        }
        if !self.has_global_ipv6() {
            let given = self.servers6.given().map(|(interface, given)| Ipv6 {
                interface,
                address: given.address,
                // Which addresses are on the link is for routers to say.
                prefix: 128,
                seconds: Some(given.seconds),
            });
            let usable = there.first().filter(|ipv6| self.settings.on_link || !ipv6.is_link_local());
            self.ipv6 = usable.filter(|ipv6| !ipv6.is_link_local()).copied().or(given).or(usable.copied());
        }
    }

    fn ethernet(&mut self) -> Result<Vec<Link>, DownReason> {
        let mut links = self.kernel.links()?;
        links.retain(|link| link.ethernet().is_some());
        links.truncate(MOST);
        Ok(links)
    }

    fn switch_on(&mut self, link: &Link) {
        if let Err(error) = self.kernel.switch(link.index, true) {
            self.console.warn(format_args!("{} cannot be switched on: {error}", link.name));
        }
    }

    /// Asks for an address on an interface that has a carrier, or gives it the one of the command line.
    fn begin(&mut self, link: &Link) {
        let Some(hardware) = link.ethernet() else { return };
        self.console.info(format_args!("{}: link is up", link.name));
        let now = self.now();
        let Some(fixed) = self.fixed_plan() else {
            let deadline = (now + self.settings.lease).min(self.settings.deadline);
            self.attempts.push(Attempt::begin(link.clone(), hardware, random(), now, deadline));
            return;
        };
        match self.force().fixed(link, &fixed) {
            Ok(connection) => self.fixed = Some(connection),
            Err(error) => {
                let reason = format!("{}/{} of the command line cannot be used: {error}", fixed.address, fixed.prefix);
                self.console.warn(format_args!("{}: {reason}", link.name));
                self.attempts.push(Attempt { link: link.clone(), begun: now, progress: Progress::Failed(reason) });
            }
        }
    }

    /// Lets every client take its turn; the first lease that can be put into force is the connection.
    fn ask(&mut self) -> Option<Connection> {
        if let Some(connection) = self.fixed.take() {
            return Some(connection);
        }
        let now = self.now();
        for index in 0..self.attempts.len() {
            let wants_ipv6 = !self.has_global_ipv6() || self.advertised.is_empty();
            let attempt = &mut self.attempts[index];
            let was_asking = attempt.is_asking();
            let lease = attempt.advance(now, random(), wants_ipv6);
            let link = attempt.link.clone();
            if let Some(lease) = lease {
                match self.force().lease(&link, &lease) {
                    Ok(connection) => return Some(connection),
                    Err(error) => {
                        let reason = format!("{}/{} cannot be used: {error}", lease.address, lease.prefix);
                        self.attempts[index].progress = Progress::Failed(reason);
                    }
                }
            }
            if let (true, Progress::Failed(reason)) = (was_asking, &self.attempts[index].progress) {
                self.console.warn(format_args!("{}: {reason}", link.name));
            }
        }
        None
    }

    fn take_ipv6(&mut self) -> Result<Connection, DownReason> {
        let no_address = |reasons| DownReason::NoAddress { reasons };
        let Some(ipv6) = self.ipv6 else { return Err(no_address(self.reasons())) };
        let Some(link) = self.links.iter().find(|link| link.index == ipv6.interface).cloned() else {
            return Err(no_address("the interface is gone".to_owned()));
        };
        let dns = self.name_servers(ipv6.interface);
        let refused = |error| no_address(format!("{}: {} cannot be used: {error}", link.name, ipv6.address));
        self.force().ipv6(&link, &ipv6, dns).map_err(refused)
    }

    /// The name servers that routers advertise on an interface, or else those that a `DHCPv6` server knows.
    fn name_servers(&self, interface: u32) -> Vec<IpAddr> {
        let advertised = self.advertised.iter().filter(|(heard_on, _)| *heard_on == interface);
        let mut dns: Vec<IpAddr> = advertised.map(|(_, server)| IpAddr::V6(*server)).collect();
        if let (true, Some(answer)) = (dns.is_empty(), self.servers6.answer(interface)) {
            dns.extend(answer.dns.iter().copied().map(IpAddr::V6));
        }
        dns
    }

    /// Whether a connection of local mode, to which no place was named, still waits for a `DHCPv6` server to name one. Nothing
    /// waits for a link without IPv6.
    fn waits_for_places(&self, connection: &Connection, until: Duration) -> bool {
        let wanted = self.settings.on_link && connection.boot_urls.is_empty() && self.fixed_plan().is_none();
        let Some(link) = self.links.iter().find(|link| link.name == connection.interface) else { return false };
        let asking = self.servers6.asking_since(link.index).is_some();
        let will_ask = link.has_ipv6() && !self.servers6.has_asked(link.index);
        wanted && self.now() < until && (asking || will_ask)
    }

    /// The connection with what a `DHCPv6` server named.
    fn with_places(&self, mut connection: Connection) -> Connection {
        let link = self.links.iter().find(|link| link.name == connection.interface);
        if let Some(answer) = link.and_then(|link| self.servers6.answer(link.index)) {
            let news = answer.boot.urls.iter().filter(|url| !connection.boot_urls.contains(url)).cloned();
            connection.boot_urls.extend(news.collect::<Vec<_>>());
            for refused in answer.boot.refused.iter().filter(|_| self.settings.on_link) {
                self.console.warn(format_args!("{}: DHCPv6: {refused}", connection.interface));
            }
        }
        connection
    }

    fn has_global_ipv6(&self) -> bool {
        self.ipv6.is_some_and(|ipv6| !ipv6.is_link_local())
    }

    fn force(&mut self) -> Force<'_> {
        let Settings { root, on_link, .. } = self.settings;
        Force { root, on_link: *on_link, console: self.console, kernel: &mut self.kernel }
    }

    fn fixed_plan(&self) -> Option<Fixed> {
        match self.settings.plan.ip.as_ref().map(|ip| &ip.addressing) {
            Some(Addressing::Fixed(fixed)) => Some(fixed.clone()),
            _ => None,
        }
    }

    fn asking_links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| part(&self.settings.plan, link, &self.links) == Part::Asks)
    }

    fn situation(&self) -> Situation {
        Situation {
            now: self.now(),
            interfaces: self.asking_links().count(),
            running: self.attempts.len(),
            asking: self.attempts.iter().filter(|attempt| attempt.is_asking()).count(),
            ipv6_from: self.ipv6.map(|ipv6| self.ipv6_from(&ipv6)),
        }
    }

    /// From when on IPv6 is taken: when DHCP had its time on that interface, unless a server is about to give an address; and if
    /// nobody advertised name servers, when a `DHCPv6` server had its time to name some.
    fn ipv6_from(&self, ipv6: &Ipv6) -> Duration {
        let Settings { ipv6_grace, link_local_grace, dhcp6, on_link, .. } = self.settings;
        let grace = if ipv6.is_link_local() { *link_local_grace } else { *ipv6_grace };
        let after_dhcp = match self.attempts.iter().find(|attempt| attempt.link.index == ipv6.interface) {
            Some(attempt) if attempt.has_offer() => Duration::MAX,
            Some(attempt) if attempt.is_asking() => attempt.begun + grace,
            _ => Duration::ZERO,
        };
        match self.servers6.asking_since(ipv6.interface) {
            Some(since) if !on_link && self.name_servers(ipv6.interface).is_empty() => after_dhcp.max(since + *dhcp6),
            _ => after_dhcp,
        }
    }

    /// Waits until something happens, a client is due, or `until`.
    fn wait(&mut self, until: Duration) -> Result<(), DownReason> {
        let now = self.now();
        if !self.impatient && now >= PATIENCE && self.attempts.is_empty() {
            self.impatient = true;
            let (names, most) = (self.names(), self.settings.carrier.as_secs());
            self.console.info(format_args!("no carrier yet on: {names}; waiting for up to {most} s"));
        }
        let mut until = until.min(now + LOOK_AGAIN);
        let mut waiting = vec![PollFd::from_borrowed_fd(self.notices.as_fd(), PollFlags::IN)];
        for attempt in &self.attempts {
            if let Progress::Asking(asking) = &attempt.progress {
                let (socket, due) = asking.waits_for();
                waiting.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
                until = until.min(due);
            }
        }
        for (socket, due) in self.servers6.wait_for() {
            waiting.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
            until = until.min(due);
        }
        let timeout = Timespec::try_from(until.saturating_sub(now)).unwrap_or_default();
        match poll(&mut waiting, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(DownReason::Kernel(error.into())),
        }
        self.hear();
        Ok(())
    }

    /// Takes the kernel's notices: what they say of links is seen at the next look, name servers stand only here.
    fn hear(&mut self) {
        for datagram in std::iter::from_fn(|| self.notices.next()).take(NOTICES) {
            for link in &self.links {
                for server in advertisement::name_servers(&datagram, link.index) {
                    let heard = (link.index, server);
                    let of_this_link = self.advertised.iter().filter(|(index, _)| *index == link.index).count();
                    if of_this_link < NAME_SERVERS && !self.advertised.contains(&heard) {
                        self.advertised.push(heard);
                    }
                }
            }
        }
    }

    /// The interfaces that ask, or that there are if none does.
    fn names(&self) -> String {
        let asking: Vec<&str> = self.asking_links().map(|link| link.name.as_str()).collect();
        let all = self.links.iter().map(|link| link.name.as_str());
        let names = if asking.is_empty() { all.collect() } else { asking };
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    fn no_interface(&self) -> DownReason {
        let (named, waited) = (named(&self.settings.plan), self.now());
        if named.is_empty() {
            return DownReason::NoInterface { waited };
        }
        DownReason::NotThere { named, seen: self.names(), waited }
    }

    /// What came of each interface, in one line.
    fn reasons(&self) -> String {
        let mut reasons: Vec<String> = self
            .attempts
            .iter()
            .map(|attempt| match &attempt.progress {
                Progress::Asking(_) => format!("{}: no DHCP lease yet", attempt.link.name),
                Progress::Failed(reason) => format!("{}: {reason}", attempt.link.name),
            })
            .collect();
        for (interface, reason) in self.servers6.failures() {
            let link = self.links.iter().find(|link| link.index == interface);
            reasons.extend(link.map(|link| format!("{}: {reason}", link.name)));
        }
        reasons.join("; ")
    }
}

/// A random number, good enough to tell machines apart. Never waits for entropy, which a machine has little of so early.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // A kernel before 5.6 does not know the flag; zero works too, since replies also name the hardware address.
    _ = getrandom(&mut bytes[..], GetRandomFlags::INSECURE);
    u32::from_ne_bytes(bytes)
}
