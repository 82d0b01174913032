//! The server: one thread, every socket without blocking, every wait with an end.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use discover::link;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answer::Catalogue;
use super::connection::{Connection, Step};
use super::peers::Peers;
use super::{Given, LIMITS};

/// How often it is looked whether the server is to end.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that one connection gets before it is the next one's turn.
const TURN: usize = 256 << 10;

/// What the server has done so far.
#[derive(Clone, Copy, Debug)]
pub struct Activity {
    /// When a request came or a byte of an answer went out, or else when the server began.
    pub last: Instant,
    /// What went out.
    pub given: Given,
}

/// A server that runs; it ends when dropped, and its sockets are closed by then.
#[derive(Debug)]
pub struct Server {
    port: u16,
    stop: Arc<AtomicBool>,
    activity: Arc<Mutex<Activity>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to serve on a port of its own.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn begin(catalogue: Catalogue) -> io::Result<Self> {
        let listener = link::listen()?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let stop = Arc::<AtomicBool>::default();
        let activity = Arc::new(Mutex::new(Activity { last: Instant::now(), given: Given::default() }));
        let mut run = Run {
            listener,
            catalogue,
            connections: Vec::new(),
            peers: Peers::default(),
            activity: Arc::clone(&activity),
            turn: vec![0; TURN].into_boxed_slice(),
        };
        let told = Arc::clone(&stop);
        let thread = Builder::new().name("share".to_owned()).spawn(move || {
            while !told.load(Ordering::Relaxed) {
                run.round();
            }
        })?;
        Ok(Self { port, stop, activity, thread: Some(thread) })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has done so far.
    pub fn activity(&self) -> Activity {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It ends within a tick; if it died, its sockets are closed too.
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the thread has.
struct Run {
    listener: TcpListener,
    catalogue: Catalogue,
    connections: Vec<Connection>,
    peers: Peers,
    activity: Arc<Mutex<Activity>>,
    /// Bytes on their way from memory to a socket.
    turn: Box<[u8]>,
}

impl Run {
    /// Waits for something to do, or a tick, and does it.
    fn round(&mut self) {
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        let mut sockets: Vec<PollFd<'_>> = vec![PollFd::new(&self.listener, PollFlags::IN)];
        sockets.extend(self.connections.iter().map(|connection| {
            let wanted = if connection.is_sending() { PollFlags::OUT } else { PollFlags::IN };
            PollFd::new(connection.socket(), wanted)
        }));
        let ready: Vec<bool> = match poll(&mut sockets, Some(&tick)) {
            Ok(_) => sockets.iter().map(|socket| !socket.revents().is_empty()).collect(),
            Err(_) => Vec::new(),
        };
        let mut ready = ready.into_iter();
        let knocked = ready.next().unwrap_or(false);
        let mut connections = std::mem::take(&mut self.connections);
        connections.retain_mut(|connection| self.serve(connection, ready.next().unwrap_or(false)));
        self.connections = connections;
        if knocked {
            self.accept();
        }
    }

    /// One turn of one connection; false if that was its last.
    fn serve(&mut self, connection: &mut Connection, is_ready: bool) -> bool {
        if connection.is_late() {
            return false;
        }
        if !is_ready {
            return true;
        }
        let (peer, peers, catalogue) = (connection.peer(), &mut self.peers, &self.catalogue);
        let may_have = || peers.may_have_more(peer, catalogue.shelf.size());
        match connection.step(catalogue, may_have, &mut self.turn) {
            Step::Over => return false,
            Step::Waits => {}
            Step::Moved(bytes) => {
                self.peers.sent(peer, bytes);
                let given = self.peers.total();
                let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
                *activity = Activity { last: Instant::now(), given };
            }
        }
        true
    }

    /// Takes in whoever waits, as far as there is room.
    fn accept(&mut self) {
        for _ in 0..LIMITS.connections {
            match self.listener.accept() {
                Ok((socket, address)) => {
                    let peer = address.ip().to_canonical();
                    if self.has_room_for(peer) && link::is_on_link(Path::new("/"), &address) {
                        self.take_in(socket, peer);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // No descriptors, no memory: the next tick may have some.
                Err(_) => return std::thread::sleep(TICK),
            }
        }
    }

    fn has_room_for(&self, peer: IpAddr) -> bool {
        let own = self.connections.iter().filter(|connection| connection.peer() == peer).count();
        self.connections.len() < LIMITS.connections && own < LIMITS.connections_of_one
    }

    fn take_in(&mut self, socket: TcpStream, peer: IpAddr) {
        // A socket that may block is not taken in: it would hold up all others.
        if socket.set_nonblocking(true).is_ok() {
            self.connections.push(Connection::new(socket, peer));
        }
    }
}

#[cfg(test)]
pub(in crate::share) mod tests;
