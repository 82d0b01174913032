//! The client's decisions (RFC 2131, section 4.4), as far as a machine that boots needs them: to get a lease, not to keep it.

use std::net::Ipv4Addr;
use std::time::Duration;

use thiserror::Error;

use super::message::{self, Identity, Kind, Lease, Reply};

/// DHCPREQUESTs for one offer before we ask everybody again.
const REQUESTS: u32 = 3;
/// Pause after the first message. RFC 2131 suggests 4 s, for networks of 1997; a first packet is lost easily while a
/// switch port wakes up, and a boot waits for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pauses double up to this. RFC 2131 goes on to 64 s; a switch port that opens after 30 s (spanning tree) is to be
/// noticed soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// One run of the client on one interface. Times are on any clock that only goes forward.
#[derive(Debug)]
pub struct Client {
    identity: Identity,
    begun: Duration,
    /// When nothing more is said.
    deadline: Duration,
    state: State,
    /// DHCPDISCOVERs sent.
    discovers: u32,
    /// When the next message is due.
    due: Duration,
    /// The last reply that was for us and yet no use, for the error.
    objection: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Waiting for an offer.
    Selecting,
    /// Waiting for the acknowledgement of an offer, after so many requests.
    Requesting(Lease, u32),
    /// A server took its offer back; until the next message is due, offers are not heard.
    Refused,
    /// Nothing more will be said.
    Over,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The time of [`Step::Wait`] has come, or nothing happened: always safe to say.
    Tick,
    /// A UDP payload came in from port 67 to port 68.
    Payload(&'a [u8]),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Broadcast this payload from port 68 to port 67, then wait until the given time.
    Send(Vec<u8>, Duration),
    /// Wait until the given time or until a payload comes.
    Wait(Duration),
    /// The lease is ours.
    Done(Lease),
    /// Nobody gives us one.
    GiveUp(GaveUp),
}

/// Why there is no lease.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GaveUp {
    /// No server said a word.
    #[error("no DHCP server answered {asked} requests")]
    Silence {
        /// DHCPDISCOVERs sent.
        asked: u32,
    },
    /// There was an answer, none of use.
    #[error("no usable DHCP answer to {asked} requests; the last one: {last}")]
    Objection {
        /// DHCPDISCOVERs sent.
        asked: u32,
        /// What was wrong with the last answer.
        last: String,
    },
}

impl Client {
    /// A client that sends its first message now and asks until `deadline`.
    pub fn new(identity: Identity, now: Duration, deadline: Duration) -> Self {
        Self { identity, begun: now, deadline, state: State::Selecting, discovers: 0, due: now, objection: None }
    }

    /// Whether a server has offered an address that is being asked for.
    pub fn has_offer(&self) -> bool {
        matches!(self.state, State::Requesting(..))
    }

    /// Gives a lease back because another machine uses its address; then everybody is asked again.
    pub fn decline(&mut self, lease: &Lease, now: Duration, jitter: u32) -> Step {
        let Lease { address, server, .. } = lease;
        self.objection = Some(format!("another machine uses {address}, which server {server} gave"));
        self.state = State::Refused;
        self.due = now + pause(self.discovers, jitter);
        Step::Send(message::decline(&self.identity, lease), self.due)
    }

    /// Takes an event at time `now`. `jitter` is any random number: it spreads the pauses of machines that were switched
    /// on together by up to a quarter.
    pub fn step(&mut self, event: Event<'_>, now: Duration, jitter: u32) -> Step {
        if let Event::Payload(payload) = event {
            match message::parse(payload, &self.identity) {
                Ok(reply) => {
                    if let Some(step) = self.hear(reply, now, jitter) {
                        return step;
                    }
                }
                // Other machines' conversations are not worth a word.
                Err(message::MessageError::NotOurs { .. }) => {}
                Err(error) => self.objection = Some(error.to_string()),
            }
        }
        if now < self.due { Step::Wait(self.due) } else { self.speak(now, jitter) }
    }

    /// Takes a reply; `None` if it changes nothing now.
    fn hear(&mut self, reply: Reply, now: Duration, jitter: u32) -> Option<Step> {
        match (&self.state, reply) {
            (State::Selecting, Reply::Lease(Kind::Offer, offer)) => {
                self.state = State::Requesting(offer, 0);
                Some(self.speak(now, jitter))
            }
            (State::Requesting(offer, _), Reply::Lease(Kind::Ack, lease)) if same(offer, lease.server) => {
                self.state = State::Over;
                Some(Step::Done(lease))
            }
            (State::Requesting(offer, _), Reply::Refusal { server, reason }) if same(offer, server) => {
                self.objection = Some(format!("server {server} refused {}: '{reason}'", offer.address));
                // Not at once: a server that offers and refuses in a circle must not keep us busy.
                self.state = State::Refused;
                self.due = now + pause(self.discovers, jitter);
                Some(Step::Wait(self.due))
            }
            _ => None,
        }
    }

    /// Says what is due.
    fn speak(&mut self, now: Duration, jitter: u32) -> Step {
        let seconds = u16::try_from(now.saturating_sub(self.begun).as_secs()).unwrap_or(u16::MAX);
        let (payload, count) = match &mut self.state {
            State::Over => return Step::GiveUp(self.gave_up()),
            _ if now >= self.deadline => {
                self.state = State::Over;
                return Step::GiveUp(self.gave_up());
            }
            State::Requesting(offer, sent) if *sent < REQUESTS => {
                *sent += 1;
                (message::request(&self.identity, seconds, offer), *sent)
            }
            state => {
                if let State::Requesting(offer, _) = state {
                    let (server, address) = (offer.server, offer.address);
                    self.objection = Some(format!("server {server} offered {address} and did not acknowledge it"));
                }
                *state = State::Selecting;
                self.discovers += 1;
                (message::discover(&self.identity, seconds), self.discovers)
            }
        };
        self.due = (now + pause(count, jitter)).min(self.deadline);
        Step::Send(payload, self.due)
    }

    fn gave_up(&self) -> GaveUp {
        match &self.objection {
            None => GaveUp::Silence { asked: self.discovers },
            Some(last) => GaveUp::Objection { asked: self.discovers, last: last.clone() },
        }
    }
}

fn same(offer: &Lease, server: Ipv4Addr) -> bool {
    offer.server == server
}

/// The pause after the `count`th message (from 1): doubling, and spread by up to a quarter in both directions.
pub(crate) fn pause(count: u32, jitter: u32) -> Duration {
    let plain = FIRST_PAUSE.saturating_mul(1 << count.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    plain * 3 / 4 + (plain / 2).mul_f64(f64::from(jitter) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
