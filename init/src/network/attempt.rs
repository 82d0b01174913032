//! One interface's attempt to get a lease: its DHCP client and its packet socket, and the proof that nobody else has the
//! address.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use discover::dhcp::{Client, Event, Identity, Lease, Step};

use super::arp::Probe;
use super::link::Link;
use super::packet::Port;
use super::solicit;

/// Packets that are taken in one go, so that a flood on one interface does not starve the others.
const MOST: usize = 64;
/// How long another machine has to say that the address is its own. RFC 5227 asks three times over seconds, for which a
/// boot does not wait; whoever is awake answers in a few milliseconds.
const ANSWER: Duration = Duration::from_millis(150);

/// An interface with a carrier, and how far its client is.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) link: Link,
    /// When it began, since the search did.
    pub(super) begun: Duration,
    pub(super) progress: Progress,
}

/// How far a client is.
#[derive(Debug)]
pub(super) enum Progress {
    /// It asks.
    Asking(Box<Asking>),
    /// It ended without an address that could be used, for the reason given.
    Failed(String),
}

/// A client that asks.
#[derive(Debug)]
pub(super) struct Asking {
    interface: u32,
    hardware: [u8; 6],
    client: Client,
    port: Port,
    /// When it wants to be called again.
    due: Duration,
    /// A lease that is being proved, and until when.
    given: Option<(Lease, Probe, Duration)>,
    /// The address that was declined last.
    declined: Option<Ipv4Addr>,
}

impl Attempt {
    /// Begins at time `now` and asks until `deadline`; an interface that cannot be used is an attempt that has failed.
    pub(super) fn begin(link: Link, hardware: [u8; 6], transaction: u32, now: Duration, deadline: Duration) -> Self {
        let client = Client::new(Identity { hardware, transaction }, now, deadline);
        let progress = match Port::open(link.index) {
            Ok(port) => {
                let interface = link.index;
                let asking = Asking { interface, hardware, client, port, due: now, given: None, declined: None };
                Progress::Asking(Box::new(asking))
            }
            Err(error) => Progress::Failed(format!("no packet socket: {error}")),
        };
        Self { link, begun: now, progress }
    }

    /// Whether a lease may still come.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.progress, Progress::Asking(_))
    }

    /// Whether a lease is about to come.
    pub(super) fn has_offer(&self) -> bool {
        matches!(&self.progress, Progress::Asking(asking) if asking.given.is_some() || asking.client.has_offer())
    }

    /// Takes what came in and does what is due. Ends with a lease or with [`Progress::Failed`], or goes on.
    ///
    /// Along with every message the routers are asked too, if `ipv6` is wanted.
    pub(super) fn advance(&mut self, now: Duration, jitter: u32, ipv6: bool) -> Option<Lease> {
        let Progress::Asking(asking) = &mut self.progress else { return None };
        let outcome = if asking.given.is_some() { asking.prove(now, jitter) } else { asking.ask(now, jitter, ipv6) };
        outcome.unwrap_or_else(|reason| {
            self.progress = Progress::Failed(reason);
            None
        })
    }
}

impl Asking {
    /// What it waits for: something to read here, or this time.
    pub(super) fn waits_for(&self) -> (BorrowedFd<'_>, Duration) {
        match &self.given {
            Some((_, probe, until)) => (probe.as_fd(), *until),
            None => (self.port.as_fd(), self.due),
        }
    }

    fn ask(&mut self, now: Duration, jitter: u32, ipv6: bool) -> Result<Option<Lease>, String> {
        let mut payloads = 0;
        loop {
            let received = if payloads < MOST { self.port.receive() } else { None };
            let event = match &received {
                Some(payload) => Event::Payload(payload),
                None if payloads == 0 && now < self.due => return Ok(None),
                None => Event::Tick,
            };
            match self.client.step(event, now, jitter) {
                Step::Wait(until) => self.due = until,
                Step::Send(payload, until) => {
                    self.send(&payload, until)?;
                    if ipv6 {
                        // A kernel without IPv6 cannot, and before its own address is ready it does not.
                        _ = solicit::routers(self.interface);
                    }
                }
                Step::Done(lease) => return Ok(self.received(lease, now)),
                Step::GiveUp(reason) => return Err(reason.to_string()),
            }
            if received.is_none() {
                return Ok(None);
            }
            payloads += 1;
        }
    }

    /// Begins to prove a lease. One that the server gives again after it was declined is taken: whatever answers there, the
    /// server knows better, and a boot is not to fail over it.
    fn received(&mut self, lease: Lease, now: Duration) -> Option<Lease> {
        if self.declined == Some(lease.address) {
            return Some(lease);
        }
        match Probe::send(self.interface, self.hardware, lease.address) {
            Ok(probe) => {
                self.given = Some((lease, probe, now + ANSWER));
                None
            }
            Err(_) => Some(lease),
        }
    }

    /// Gives a lease back that another machine speaks up for; takes it when nobody has.
    fn prove(&mut self, now: Duration, jitter: u32) -> Result<Option<Lease>, String> {
        let Some((lease, probe, until)) = self.given.take() else { return Ok(None) };
        if probe.is_answered() {
            self.declined = Some(lease.address);
            if let Step::Send(payload, until) = self.client.decline(&lease, now, jitter) {
                self.send(&payload, until)?;
            }
            return Ok(None);
        }
        if now < until {
            self.given = Some((lease, probe, until));
            return Ok(None);
        }
        Ok(Some(lease))
    }

    /// Sends; that the link is down or its queue is full at this moment is what the client's next message is for.
    fn send(&mut self, payload: &[u8], until: Duration) -> Result<(), String> {
        self.due = until;
        match self.port.send(payload) {
            Err(error) if !is_passing(&error) => Err(format!("a packet could not be sent: {error}")),
            _ => Ok(()),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::NETDOWN, Errno::NOBUFS, Errno::AGAIN, Errno::INTR, Errno::NETUNREACH];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}
