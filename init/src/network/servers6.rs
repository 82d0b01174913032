//! The `DHCPv6` servers of every link: who is asked, what for, and what they said. Nothing here keeps IPv4 waiting.
//!
//! A question needs a link-local address, which the kernel makes; it is asked once for each interface, and once more if a
//! router says later that addresses are given too.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use discover::dhcp::Event;
use discover::dhcp6::{Answer, CLIENT_PORT, Client, Identity, Question, SERVER_PORT, Step};

use super::link::Link;

/// All servers and relays of the link (RFC 8415, section 7.1).
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Longest message that is read; a longer one is cut, and refused for its length or its last option.
const LONGEST: usize = 2048;
/// Packets that are taken in one go.
const MOST: usize = 64;

/// All questions that were asked.
#[derive(Debug, Default)]
pub(super) struct Servers(Vec<Asked>);

/// The question on one interface.
#[derive(Debug)]
struct Asked {
    interface: u32,
    /// What was asked at first.
    question: Question,
    begun: Duration,
    progress: Progress,
    /// What a server said to the question before this one: it still holds if nobody answers this one.
    earlier: Option<Answer>,
}

#[derive(Debug)]
enum Progress {
    Asking {
        client: Box<Client>,
        socket: UdpSocket,
        due: Duration,
    },
    Answered(Answer),
    /// Nobody answered, for the reason given.
    Failed(String),
}

impl Servers {
    /// Asks on an interface from its link-local address until `deadline`, unless the same was asked there.
    pub(super) fn ask(
        &mut self,
        link: &Link,
        from: Ipv6Addr,
        question: Question,
        transaction: u32,
        (now, deadline): (Duration, Duration),
    ) {
        let Some(hardware) = link.ethernet() else { return };
        let known = self.0.iter().position(|asked| asked.interface == link.index);
        if known.is_some_and(|at| self.0[at].question == question || question == Question::Information) {
            return;
        }
        let progress = match open(from, link.index) {
            Ok(socket) => {
                let client = Box::new(Client::new(Identity { hardware, transaction }, question, now, deadline));
                Progress::Asking { client, socket, due: now }
            }
            // The address may not be ready after all; the next look tries again.
            Err(_) => return,
        };
        let earlier = self.answer(link.index).cloned();
        let asked = Asked { interface: link.index, question, begun: now, progress, earlier };
        match known {
            Some(at) => self.0[at] = asked,
            None => self.0.push(asked),
        }
    }

    /// Takes what came in and does what is due.
    pub(super) fn advance(&mut self, now: Duration, jitter: u32) {
        for asked in &mut self.0 {
            match asked.advance(now, jitter) {
                None => {}
                Some(Ok(answer)) => asked.progress = Progress::Answered(answer),
                Some(Err(reason)) => asked.progress = Progress::Failed(reason),
            }
        }
    }

    /// Why no address came where a router said that one would; that there is no server otherwise is no news.
    pub(super) fn failures(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().filter_map(|asked| match &asked.progress {
            Progress::Failed(reason) if asked.question == Question::Address => Some((asked.interface, reason.as_str())),
            _ => None,
        })
    }

    /// What a server said on this interface.
    pub(super) fn answer(&self, interface: u32) -> Option<&Answer> {
        let asked = self.0.iter().find(|asked| asked.interface == interface)?;
        match &asked.progress {
            Progress::Answered(answer) => Some(answer),
            Progress::Asking { .. } | Progress::Failed(_) => asked.earlier.as_ref(),
        }
    }

    /// The address that a server gave, and on which interface.
    pub(super) fn given(&self) -> Option<(u32, discover::dhcp6::Given)> {
        self.0.iter().find_map(|asked| Some((asked.interface, self.answer(asked.interface)?.address?)))
    }

    /// Since when an answer is waited for on this interface.
    pub(super) fn asking_since(&self, interface: u32) -> Option<Duration> {
        let asking = |asked: &&Asked| asked.interface == interface && matches!(asked.progress, Progress::Asking { .. });
        self.0.iter().find(asking).map(|asked| asked.begun)
    }

    /// Whether anything was asked on this interface.
    pub(super) fn has_asked(&self, interface: u32) -> bool {
        self.0.iter().any(|asked| asked.interface == interface)
    }

    /// What is waited for: something to read, or the time.
    pub(super) fn wait_for(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Duration)> {
        self.0.iter().filter_map(|asked| match &asked.progress {
            Progress::Asking { socket, due, .. } => Some((socket.as_fd(), *due)),
            _ => None,
        })
    }
}

impl Asked {
    fn advance(&mut self, now: Duration, jitter: u32) -> Option<Result<Answer, String>> {
        let Progress::Asking { client, socket, due } = &mut self.progress else { return None };
        let servers = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, self.interface);
        for _ in 0..MOST {
            let mut packet = [0; LONGEST];
            let received = socket.recv(&mut packet).ok();
            let event = match received {
                Some(length) => Event::Payload(&packet[..length]),
                None if now < *due => return None,
                None => Event::Tick,
            };
            match client.step(event, now, jitter) {
                Step::Wait(until) => *due = until,
                Step::Send(payload, until) => {
                    *due = until;
                    // What cannot be sent at this moment is what the client's next message is for.
                    _ = socket.send_to(&payload, servers);
                }
                Step::Done(answer) => return Some(Ok(answer)),
                Step::GiveUp(reason) => return Some(Err(reason.to_string())),
            }
            received?;
        }
        None
    }
}

/// The client's port, on one interface alone: the zone of the address binds it.
fn open(from: Ipv6Addr, interface: u32) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV6::new(from, CLIENT_PORT, 0, interface))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
