//! The search for a network: one loop over all interfaces, without a thread.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};

use super::attempt::{Attempt, Progress};
use super::force::Force;
use super::kernel::{Kernel, Notices};
use super::layers::{self, Layers};
use super::layout::{Part, named, part};
use super::link::Link;
use super::plan::{Addressing, Fixed};
use super::verdict::{Situation, Verdict, decide};
use super::{Connection, DownReason, Network, Settings, advertisement};
use crate::console::Console;

/// Most interfaces that are tried; a machine with more has its first ones in use, or an attacker in its slots.
const MOST: usize = 64;
/// Most name servers that are kept from router advertisements.
const NAME_SERVERS: usize = 3;
/// The links are looked at at least this often, in case a notice was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
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
    ipv6: Option<Ipv6>,
    /// Name servers of router advertisements, with the interface that heard of them.
    advertised: Vec<(u32, Ipv6Addr)>,
    /// Whether it was said that a carrier is waited for.
    impatient: bool,
}

/// An address that the kernel has made, global or, in local mode, link-local.
#[derive(Debug, Clone, Copy)]
struct Ipv6 {
    interface: u32,
    address: Ipv6Addr,
    prefix: u8,
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
            advertised: Vec::new(),
            impatient: false,
        })
    }

    /// Looks, asks and waits until there is a verdict.
    pub(super) fn run(mut self) -> Result<Network, DownReason> {
        loop {
            self.look()?;
            if let Some(connection) = self.ask() {
                return Ok(Network::Up(connection));
            }
            match decide(&self.situation(), self.settings) {
                Verdict::Wait(until) => self.wait(until)?,
                Verdict::TakeIpv6 => return self.take_ipv6().map(Network::Up),
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
        let asking: Vec<u32> =
            links.iter().zip(&parts).filter(|(_, part)| **part == Part::Asks).map(|(link, _)| link.index).collect();
        self.links = links;
        if !self.has_global_ipv6() && self.fixed_plan().is_none() {
            // A kernel without IPv6 says so by an error; then there is none.
            let found = self.kernel.ipv6(&asking, self.settings.on_link).unwrap_or_default();
            self.ipv6 = found.map(|(interface, address, prefix)| Ipv6 { interface, address, prefix });
        }
        Ok(())
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

    fn take_ipv6(mut self) -> Result<Connection, DownReason> {
        let Some(Ipv6 { interface, address, prefix }) = self.ipv6 else {
            return Err(DownReason::NoAddress { reasons: self.reasons() });
        };
        let Some(link) = self.links.iter().find(|link| link.index == interface).cloned() else {
            return Err(DownReason::NoAddress { reasons: "the interface is gone".to_owned() });
        };
        let servers = self.advertised.iter().filter(|(heard_on, _)| *heard_on == interface);
        let dns = servers.map(|(_, server)| IpAddr::V6(*server)).collect();
        Ok(self.force().advertised(&link, address, prefix, dns))
    }

    fn has_global_ipv6(&self) -> bool {
        self.ipv6.is_some_and(|ipv6| !ipv6.address.is_unicast_link_local())
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

    /// From when on IPv6 is taken: when DHCP had its time on that interface, unless a server is about to give an address.
    fn ipv6_from(&self, ipv6: &Ipv6) -> Duration {
        let Settings { ipv6_grace, link_local_grace, .. } = self.settings;
        let grace = if ipv6.address.is_unicast_link_local() { *link_local_grace } else { *ipv6_grace };
        match self.attempts.iter().find(|attempt| attempt.link.index == ipv6.interface) {
            Some(attempt) if attempt.has_offer() => Duration::MAX,
            Some(attempt) if attempt.is_asking() => attempt.begun + grace,
            _ => Duration::ZERO,
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
        while let Some(datagram) = self.notices.next() {
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
        let reasons: Vec<String> = self
            .attempts
            .iter()
            .map(|attempt| match &attempt.progress {
                Progress::Asking(_) => format!("{}: no DHCP lease yet", attempt.link.name),
                Progress::Failed(reason) => format!("{}: {reason}", attempt.link.name),
            })
            .collect();
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
