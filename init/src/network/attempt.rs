//! One interface's attempt to get a lease: its DHCP client and its packet socket.

use std::io;
use std::time::Duration;

use discover::dhcp::{Client, Event, Identity, Lease, Step};

use super::link::Link;
use super::packet::Port;

/// Packets that are taken in one go, so that a flood on one interface does not starve the others.
const MOST: usize = 64;

/// An interface with a carrier, and how far its client is.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) link: Link,
    pub(super) progress: Progress,
}

/// How far a client is.
#[derive(Debug)]
pub(super) enum Progress {
    /// It asks, and wants to be called again at the given time.
    Asking(Box<Client>, Port, Duration),
    /// It ended without a lease that could be used, for the reason given.
    Failed(String),
}

impl Attempt {
    /// Begins at time `now`; an interface that cannot be used is an attempt that has failed.
    pub(super) fn begin(link: Link, hardware: [u8; 6], transaction: u32, now: Duration) -> Self {
        let client = Client::new(Identity { hardware, transaction });
        let progress = match Port::open(link.index) {
            Ok(port) => Progress::Asking(Box::new(client), port, now),
            Err(error) => Progress::Failed(format!("no packet socket: {error}")),
        };
        Self { link, progress }
    }

    /// Whether a lease may still come.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.progress, Progress::Asking(..))
    }

    /// Takes what came in and does what is due. Ends with a lease or with [`Progress::Failed`], or goes on.
    pub(super) fn advance(&mut self, now: Duration, jitter: u32) -> Option<Lease> {
        let Progress::Asking(client, port, due) = &mut self.progress else { return None };
        let mut payloads = 0;
        loop {
            let received = if payloads < MOST { port.receive() } else { None };
            let event = match &received {
                Some(payload) => Event::Payload(payload),
                None if payloads == 0 && now < *due => return None,
                None => Event::Tick,
            };
            match client.step(event, now, jitter) {
                Step::Wait(until) => *due = until,
                Step::Send(payload, until) => {
                    *due = until;
                    if let Err(error) = send(port, &payload) {
                        self.progress = Progress::Failed(error);
                        return None;
                    }
                }
                Step::Done(lease) => return Some(lease),
                Step::GiveUp(reason) => {
                    self.progress = Progress::Failed(reason.to_string());
                    return None;
                }
            }
            received.as_ref()?;
            payloads += 1;
        }
    }
}

/// Sends; that the link is down or its queue is full at this moment is what the client's next message is for.
fn send(port: &Port, payload: &[u8]) -> Result<(), String> {
    match port.send(payload) {
        Err(error) if !is_passing(&error) => Err(format!("a packet could not be sent: {error}")),
        _ => Ok(()),
    }
}

fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::NETDOWN, Errno::NOBUFS, Errno::AGAIN, Errno::INTR, Errno::NETUNREACH];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}
