//! The client's decisions (RFC 8415, section 18.2), as far as a machine that boots needs them: one answer, not kept for long.
//!
//! It asks at once, where the RFC has every client wait a random second, and asks again sooner: a boot waits for it, and the
//! pauses are spread as those of `DHCPv4` are.

use std::time::Duration;

use thiserror::Error;

use super::message::{self, Answer, Identity, Kind, MessageError};
use crate::dhcp::client::{Event, pause};

/// REQUESTs for one advertised address before we ask everybody again.
const REQUESTS: u32 = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// What servers know about the network.
    Information,
    /// An address besides. If by the time of the second question there are servers, and none that has one, they are asked for
    /// the information.
    Address,
}

/// One run of the client on one interface. Times are on any clock that only goes forward.
#[derive(Debug)]
pub struct Client {
    identity: Identity,
    question: Question,
    begun: Duration,
    /// When nothing more is said.
    deadline: Duration,
    state: State,
    /// Messages to everybody.
    asked: u32,
    /// Whether a server said that it has no address. It is ignored as long as another one may have one (RFC 8415, 18.2.9).
    without: bool,
    /// When the next message is due.
    due: Duration,
    /// The last reply that was for us and yet no use, for the error.
    objection: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Waiting for an advertisement, or for the information.
    Asking,
    /// Waiting for the reply to a request for what was advertised, after so many.
    Requesting(Answer, u32),
    /// Nothing more will be said.
    Over,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this payload to all servers of the link (`ff02::1:2`), then wait until the given time.
    Send(Vec<u8>, Duration),
    /// Wait until the given time or until a payload comes.
    Wait(Duration),
    /// A server has answered.
    Done(Answer),
    /// None does.
    GiveUp(GaveUp),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GaveUp {
    /// No server said a word.
    #[error("no DHCPv6 server answered {asked} requests")]
    Silence {
        /// Messages to everybody.
        asked: u32,
    },
    /// There was an answer, none of use.
    #[error("no usable DHCPv6 answer to {asked} requests; the last one: {last}")]
    Objection {
        /// Messages to everybody.
        asked: u32,
        /// What was wrong with the last answer.
        last: String,
    },
}

impl Client {
    /// A client that sends its first message now and asks until `deadline`.
    pub fn new(identity: Identity, question: Question, now: Duration, deadline: Duration) -> Self {
        let state = State::Asking;
        Self { identity, question, begun: now, deadline, state, asked: 0, without: false, due: now, objection: None }
    }

    /// What it asks for by now.
    pub fn question(&self) -> Question {
        self.question
    }

    /// Takes an event at time `now`. `jitter` is any random number: it spreads the pauses by up to a quarter.
    pub fn step(&mut self, event: Event<'_>, now: Duration, jitter: u32) -> Step {
        if let Event::Payload(payload) = event {
            match message::parse(payload, &self.identity) {
                Ok((kind, answer)) => {
                    if let Some(step) = self.hear(kind, answer, now, jitter) {
                        return step;
                    }
                }
                // Other machines' conversations are not worth a word.
                Err(MessageError::NotOurs { .. }) => {}
                Err(error) => self.objection = Some(error.to_string()),
            }
        }
        if now < self.due { Step::Wait(self.due) } else { self.speak(now, jitter) }
    }

    /// Takes an answer; `None` if it changes nothing now.
    fn hear(&mut self, kind: Kind, answer: Answer, now: Duration, jitter: u32) -> Option<Step> {
        match (&self.state, self.question, kind) {
            (State::Asking, Question::Information, Kind::Reply) => {
                self.state = State::Over;
                // An address in it was not asked for.
                Some(Step::Done(Answer { address: None, ..answer }))
            }
            (State::Asking, Question::Address, Kind::Advertise) => {
                if answer.address.is_none() {
                    self.without = true;
                    return None;
                }
                self.state = State::Requesting(answer, 0);
                self.renumber();
                Some(self.speak(now, jitter))
            }
            (State::Requesting(advertised, _), _, Kind::Reply) if advertised.server == answer.server => {
                if answer.address.is_some() {
                    self.state = State::Over;
                    return Some(Step::Done(answer));
                }
                self.objection = Some("the server took its address back".to_owned());
                // Not at once: a server that does this in a circle must not keep us busy.
                self.state = State::Asking;
                self.renumber();
                self.due = now + pause(self.asked, jitter);
                Some(Step::Wait(self.due))
            }
            _ => None,
        }
    }

    /// Section 16.1: each new question has a number of its own, so that a late answer to the old one is none to it.
    fn renumber(&mut self) {
        self.identity.transaction = self.identity.transaction.wrapping_add(1);
    }

    /// Says what is due.
    fn speak(&mut self, now: Duration, jitter: u32) -> Step {
        if self.without && self.question == Question::Address && matches!(self.state, State::Asking) {
            self.question = Question::Information;
            self.renumber();
        }
        let elapsed = u16::try_from(now.saturating_sub(self.begun).as_millis() / 10).unwrap_or(u16::MAX);
        let (payload, count) = match &mut self.state {
            State::Over => return Step::GiveUp(self.gave_up()),
            _ if now >= self.deadline => {
                self.state = State::Over;
                return Step::GiveUp(self.gave_up());
            }
            State::Requesting(advertised, sent) if *sent < REQUESTS => {
                *sent += 1;
                (message::request(&self.identity, elapsed, advertised), *sent)
            }
            state => {
                if let State::Requesting(..) = state {
                    self.objection = Some("the server advertised an address and did not give it".to_owned());
                    *state = State::Asking;
                }
                self.asked += 1;
                let ask = match self.question {
                    Question::Information => message::information,
                    Question::Address => message::solicit,
                };
                (ask(&self.identity, elapsed), self.asked)
            }
        };
        self.due = (now + pause(count, jitter)).min(self.deadline);
        Step::Send(payload, self.due)
    }

    fn gave_up(&self) -> GaveUp {
        match &self.objection {
            None => GaveUp::Silence { asked: self.asked },
            Some(last) => GaveUp::Objection { asked: self.asked, last: last.clone() },
        }
    }
}

#[cfg(test)]
mod tests;
