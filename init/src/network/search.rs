//! The search for a network: one loop over all interfaces, without a thread.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use discover::dhcp::Lease;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};

use super::attempt::{Attempt, Progress};
use super::kernel::{Kernel, Notices};
use super::link::Link;
use super::verdict::{Situation, Verdict, decide};
use super::{Connection, DownReason, Network, Settings, advertisement, resolver};
use crate::console::Console;

/// Most interfaces that are tried; a machine with more has its first ones in use, or an attacker in its slots.
const MOST: usize = 64;
/// Most name servers that are kept from router advertisements.
const NAME_SERVERS: usize = 3;
/// The links are looked at at least this often, in case a notice was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A search that has begun.
pub(super) struct Search<'a> {
    settings: &'a Settings,
    console: &'a Console,
    kernel: Kernel,
    notices: Notices,
    begun: Instant,
    /// Ethernet interfaces as they were at the last look.
    links: Vec<Link>,
    /// One for each interface that had a carrier.
    attempts: Vec<Attempt>,
    ipv6: Option<Ipv6>,
    /// Name servers of router advertisements, with the interface that heard of them.
    advertised: Vec<(u32, Ipv6Addr)>,
}

/// A global address that the kernel has made.
#[derive(Debug, Clone, Copy)]
struct Ipv6 {
    interface: u32,
    address: Ipv6Addr,
    prefix: u8,
    since: Duration,
}

impl<'a> Search<'a> {
    pub(super) fn new(settings: &'a Settings, console: &'a Console) -> io::Result<Self> {
        Ok(Self {
            settings,
            console,
            kernel: Kernel::new(),
            notices: Notices::listen()?,
            begun: Instant::now(),
            links: Vec::new(),
            attempts: Vec::new(),
            ipv6: None,
            advertised: Vec::new(),
        })
    }

    /// Looks, asks and waits until there is a verdict.
    pub(super) fn run(mut self) -> io::Result<Network> {
        loop {
            self.look()?;
            if let Some(connection) = self.ask() {
                return Ok(Network::Up(connection));
            }
            match decide(&self.situation(), self.settings) {
                Verdict::Wait(until) => self.wait(until)?,
                Verdict::TakeIpv6 => return Ok(self.take_ipv6()),
                Verdict::NoInterface => return Ok(Network::Down(DownReason::NoInterface { waited: self.now() })),
                Verdict::NoCarrier => {
                    let names: Vec<&str> = self.links.iter().map(|link| link.name.as_str()).collect();
                    let interfaces = names.join(", ");
                    return Ok(Network::Down(DownReason::NoCarrier { interfaces, waited: self.now() }));
                }
                Verdict::NoAddress => return Ok(Network::Down(DownReason::NoAddress { reasons: self.reasons() })),
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sees which interfaces there are: new ones are switched on, those with a carrier begin to ask.
    fn look(&mut self) -> io::Result<()> {
        let mut links = self.kernel.links()?;
        links.retain(|link| link.ethernet().is_some());
        links.truncate(MOST);
        for link in &links {
            if !self.links.iter().any(|known| known.index == link.index) {
                self.switch_on(link);
            }
            let asked = self.attempts.iter().any(|attempt| attempt.link.index == link.index);
            if let (false, true, Some(hardware)) = (asked, link.has_carrier(), link.ethernet()) {
                self.console.info(format_args!("{}: link is up", link.name));
                let now = self.now();
                self.attempts.push(Attempt::begin(link.clone(), hardware, random(), now));
            }
        }
        self.links = links;
        if self.ipv6.is_none() {
            // A kernel without IPv6 says so by an error; then there is none.
            let found = self.kernel.global_ipv6().unwrap_or_default();
            let since = self.now();
            self.ipv6 = found.map(|(interface, address, prefix)| Ipv6 { interface, address, prefix, since });
        }
        Ok(())
    }

    fn switch_on(&mut self, link: &Link) {
        let accept = self.settings.root.join("proc/sys/net/ipv6/conf").join(&link.name).join("accept_ra");
        // Most kernels do by default; one without IPv6 has no such file.
        _ = std::fs::write(accept, "1");
        if let Err(error) = self.kernel.switch(link.index, true) {
            self.console.warn(format_args!("{} cannot be switched on: {error}", link.name));
        }
    }

    /// Lets every client take its turn; the first lease that can be put into force is the connection.
    fn ask(&mut self) -> Option<Connection> {
        let now = self.now();
        for index in 0..self.attempts.len() {
            let attempt = &mut self.attempts[index];
            let was_asking = attempt.is_asking();
            let lease = attempt.advance(now, random());
            let link = attempt.link.clone();
            if let Some(lease) = lease {
                match self.put_into_force(&link, &lease) {
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

    fn put_into_force(&mut self, link: &Link, lease: &Lease) -> io::Result<Connection> {
        if let Some(mtu) = link.smaller_mtu(lease) {
            // Without it things are slow or stall; that is still better than no network.
            if let Err(error) = self.kernel.set_mtu(link.index, mtu) {
                self.console.warn(format_args!("{}: MTU {mtu} is refused: {error}", link.name));
            }
        }
        self.kernel.add_address(link.index, lease.address, lease.prefix)?;
        let router = lease.routers.first().copied();
        if let Some(router) = router {
            self.kernel.set_default_route(link.index, router)?;
        }
        let dns: Vec<IpAddr> = lease.dns.iter().copied().map(IpAddr::V4).collect();
        self.write_resolver(link, &dns, lease.domain.as_deref());
        Ok(Connection {
            interface: link.name.clone(),
            address: format!("{}/{}", lease.address, lease.prefix),
            router: router.map(IpAddr::V4),
            dns,
        })
    }

    /// Without the file names cannot be looked up; origins given by address still work.
    fn write_resolver(&self, link: &Link, dns: &[IpAddr], domain: Option<&str>) {
        if let Err(error) = resolver::write(&self.settings.root, &link.name, dns, domain) {
            self.console.warn(format_args!("/etc/resolv.conf cannot be written: {error}"));
        }
    }

    fn take_ipv6(mut self) -> Network {
        let Some(Ipv6 { interface, address, prefix, .. }) = self.ipv6 else {
            return Network::Down(DownReason::NoAddress { reasons: self.reasons() });
        };
        let Some(link) = self.links.iter().find(|link| link.index == interface).cloned() else {
            return Network::Down(DownReason::NoAddress { reasons: "the interface is gone".to_owned() });
        };
        let servers = self.advertised.iter().filter(|(heard_on, _)| *heard_on == interface);
        let dns: Vec<IpAddr> = servers.map(|(_, server)| IpAddr::V6(*server)).collect();
        self.write_resolver(&link, &dns, None);
        let router = self.kernel.ipv6_router(interface).unwrap_or_default().map(IpAddr::V6);
        Network::Up(Connection { interface: link.name, address: format!("{address}/{prefix}"), router, dns })
    }

    fn situation(&self) -> Situation {
        Situation {
            now: self.now(),
            interfaces: self.links.len(),
            running: self.attempts.len(),
            asking: self.attempts.iter().filter(|attempt| attempt.is_asking()).count(),
            ipv6_since: self.ipv6.map(|ipv6| ipv6.since),
        }
    }

    /// Waits until something happens, a client is due, or `until`.
    fn wait(&mut self, until: Duration) -> io::Result<()> {
        let now = self.now();
        let mut until = until.min(now + LOOK_AGAIN);
        let mut waiting = vec![PollFd::from_borrowed_fd(self.notices.as_fd(), PollFlags::IN)];
        for attempt in &self.attempts {
            if let Progress::Asking(_, port, due) = &attempt.progress {
                waiting.push(PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN));
                until = until.min(*due);
            }
        }
        let timeout = Timespec::try_from(until.saturating_sub(now)).unwrap_or_default();
        match poll(&mut waiting, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
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

    /// What came of each interface, in one line.
    fn reasons(&self) -> String {
        let reasons: Vec<String> = self
            .attempts
            .iter()
            .map(|attempt| match &attempt.progress {
                Progress::Asking(..) => format!("{}: no DHCP lease yet", attempt.link.name),
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
