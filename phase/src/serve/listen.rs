//! Takes connections, no more at once than there are file descriptors for, until the server is told to stop.
//!
//! Each core has a thread with an event loop of its own. A connection stays on the thread that took it: with one loop for all
//! threads, what they told each other cost as much as a small file does.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    net::sockopt::{set_tcp_nodelay, set_tcp_user_timeout},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::{
    net::TcpStream,
    runtime::Builder,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::{Site, connection};

/// Connections that may wait to be taken; the kernel's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 1024;
/// Longest that a peer may take none of the bytes that wait for it, in milliseconds.
const STALL: u32 = 60_000;
/// How long transfers that still run may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Most threads: more do not make a network faster.
const THREADS: usize = 8;
/// Most connections at once.
const CONNECTIONS: u32 = 4096;
/// File descriptors of a connection: its socket, and the file that is sent.
const DESCRIPTORS: u64 = 2;
/// File descriptors for everything else.
const RESERVED: u64 = 64;
/// How long no connection is taken after one could not be: what is missing (memory, file descriptors) has to come back.
const PAUSE: Duration = Duration::from_millis(100);

/// Allows this process as many open files as the system lets it have; many systems begin with 1024.
pub(super) fn more_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it may not, it serves fewer connections at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// How many connections there are file descriptors for.
fn room() -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = u32::try_from(files.saturating_sub(RESERVED) / DESCRIPTORS).unwrap_or(CONNECTIONS);
    room.clamp(1, CONNECTIONS)
}

/// Listens. What is set here, every connection inherits (tcp(7)).
///
/// # Errors
/// The address cannot be had.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // The standard library's is for 128, and 200 machines may be switched on at once.
    rustix::net::listen(&listener, BACKLOG)?;
    set_tcp_nodelay(&listener, true)?;
    set_tcp_user_timeout(&listener, STALL)?;
    Ok(listener)
}

/// The threads of a server; it stops when told to, or when this is dropped.
#[derive(Debug)]
pub(super) struct Workers {
    stopping: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Serves from now on.
    ///
    /// # Errors
    /// A thread or an event loop cannot be had.
    pub(super) fn start(listener: &TcpListener, site: &Arc<Site>) -> io::Result<Self> {
        let (stopping, stopped) = watch::channel(false);
        let mut workers = Self { stopping, threads: Vec::new() };
        let places = room();
        let room = Arc::new(Semaphore::new(places as usize));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(THREADS) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let listener = {
                let _inside = runtime.enter();
                tokio::net::TcpListener::from_std(listener.try_clone()?)?
            };
            let (site, room, stopped) = (Arc::clone(site), Arc::clone(&room), stopped.clone());
            let worker = Worker { listener, site, room, places, stopped };
            let run = move || runtime.block_on(worker.work());
            workers.threads.push(thread::Builder::new().name("phase-serve".to_owned()).spawn(run)?);
        }
        Ok(workers)
    }

    /// Stops: no new connection, a few seconds for transfers that run, then the end.
    ///
    /// # Errors
    /// One of the threads did not live until now.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.stopping.send_replace(true);
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        anyhow::ensure!(ended.iter().all(Result::is_ok), "a thread of the server panicked");
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("phase: the server ended with an error: {error:#}");
        }
    }
}

/// One thread of a server.
struct Worker {
    listener: tokio::net::TcpListener,
    site: Arc<Site>,
    /// A place for each connection, of all threads together; and how many there are.
    room: Arc<Semaphore>,
    places: u32,
    stopped: watch::Receiver<bool>,
}

impl Worker {
    async fn work(mut self) {
        let stopped = self.stopped.clone();
        loop {
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => break,
                taken = take(&self.listener, &self.room) => {
                    let Some((stream, peer, place)) = taken else { continue };
                    let (site, stopped) = (Arc::clone(&self.site), stopped.clone());
                    tokio::spawn(async move {
                        connection::serve(stream, peer, &site, stopped).await;
                        drop(place);
                    });
                }
            }
        }
        drop(self.listener);
        // When all places are free, nobody is served any more. Whoever is not done by then is cut.
        let _ = timeout(GRACE, self.room.acquire_many(self.places)).await;
    }
}

/// Takes the next connection when there is room for it.
async fn take(
    listener: &tokio::net::TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    if let Ok((stream, peer)) = listener.accept().await {
        return Some((stream, peer, place));
    }
    sleep(PAUSE).await;
    None
}
