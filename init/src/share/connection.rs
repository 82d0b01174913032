//! One connection of a neighbour: a request, an answer, and the end, each with a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::LIMITS;
use super::answer::{Answer, Catalogue};
use super::request;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    peer: IpAddr,
    state: State,
    /// When what goes on has to be over.
    deadline: Instant,
    /// When the peer took or gave bytes.
    moved: Instant,
}

#[derive(Debug)]
enum State {
    /// The head of the request so far.
    Asking(Vec<u8>),
    /// The answer, and how much of its head is sent.
    Answering(Answer, usize),
    /// The answer is sent: what still comes is thrown away, since a socket that is closed with unread bytes takes back what
    /// it has sent (RFC 9112, section 9.6).
    Closing,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The connection is over.
    Over,
    /// Nothing that counts.
    Waits,
    /// A request came, or so many bytes of an answer went out.
    Moved(u64),
}

impl Connection {
    /// A connection of `peer`, whose socket does not block.
    pub(super) fn new(socket: TcpStream, peer: IpAddr) -> Self {
        let now = Instant::now();
        Self { socket, peer, state: State::Asking(Vec::new()), deadline: now + LIMITS.request, moved: now }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether it waits to send rather than to receive.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.state, State::Answering(..))
    }

    pub(super) fn is_late(&self) -> bool {
        let now = Instant::now();
        now >= self.deadline || now.duration_since(self.moved) >= LIMITS.idle
    }

    /// Does what can be done without waiting, through `turn`. `may_have` is asked before the peer gets bytes of a blob.
    pub(super) fn step(&mut self, catalogue: &Catalogue, may_have: impl FnOnce() -> bool, turn: &mut [u8]) -> Step {
        let step = match &mut self.state {
            State::Asking(_) => self.hear(catalogue, may_have, turn),
            State::Answering(..) => self.send(turn),
            State::Closing => match self.socket.read(turn) {
                Ok(1..) => Ok(Step::Waits),
                Ok(0) => Ok(Step::Over),
                Err(error) => Err(error),
            },
        };
        match step {
            Ok(step) => step,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Step::Waits,
            Err(_) => Step::Over,
        }
    }

    fn hear(&mut self, catalogue: &Catalogue, may_have: impl FnOnce() -> bool, turn: &mut [u8]) -> io::Result<Step> {
        let State::Asking(head) = &mut self.state else { return Ok(Step::Waits) };
        let room = LIMITS.head_bytes.saturating_sub(head.len()).min(turn.len());
        match self.socket.read(&mut turn[..room])? {
            0 => return Ok(Step::Over),
            count => head.extend_from_slice(&turn[..count]),
        }
        let Some(request) = request::parse(head) else { return Ok(Step::Waits) };
        let answer = catalogue.answer(request.as_ref().map_err(|refused| *refused));
        let answer = if answer.blob.is_some() && !may_have() { Answer::refusal(503, "") } else { answer };
        let counts = matches!(answer.status, 200 | 206 | 404);
        let bytes = answer.blob.as_ref().map_or(0, |(_, range)| range.end - range.start);
        let now = Instant::now();
        self.deadline = now + LIMITS.answer + Duration::from_secs(bytes / LIMITS.slowest);
        self.moved = now;
        self.state = State::Answering(answer, 0);
        Ok(if counts { Step::Moved(0) } else { Step::Waits })
    }

    fn send(&mut self, turn: &mut [u8]) -> io::Result<Step> {
        let State::Answering(answer, sent) = &mut self.state else { return Ok(Step::Waits) };
        let mut count = 0;
        if *sent < answer.head.len() {
            count = self.socket.write(&answer.head[*sent..])?;
            *sent += count;
        }
        if *sent < answer.head.len() {
            self.moved = Instant::now();
            return Ok(Step::Moved(count as u64));
        }
        if let Some((reader, range)) = answer.blob.as_mut().filter(|(_, range)| range.start < range.end) {
            let length = turn.len().min(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
            // Nothing at a place that was proved: the file was cut, and the answer is.
            let Ok(read @ 1..) = reader.read(&mut turn[..length], range.start) else { return Ok(Step::Over) };
            // What the socket does not take now is read again then.
            let taken = match self.socket.write(&turn[..read]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && count > 0 => 0,
                outcome => outcome?,
            };
            range.start += taken as u64;
            count += taken;
        }
        self.moved = Instant::now();
        if answer.blob.as_ref().is_none_or(|(_, range)| range.start >= range.end) {
            self.socket.shutdown(Shutdown::Write)?;
            (self.state, self.deadline) = (State::Closing, self.moved + LIMITS.close);
        }
        Ok(Step::Moved(count as u64))
    }
}
