//! The clients: one thread each, all let go at once.

use std::{
    fmt,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use discover::{Origin, Sink};
use sha2::{Digest as _, Sha256};

use crate::{
    CLIENTS, Error,
    servers::{self, Server},
    tree::Tree,
};

/// Stack of a client: as PID 1's threads have it.
const STACK: usize = 256 << 10;
/// Bytes that a client takes at once, as `verify` lends them.
const PIECE: usize = 256 << 10;
/// How often a client asks for the two documents.
const TIMES: u32 = 30;
/// Longest that one client may take for all that it asks for.
const DEADLINE: Duration = Duration::from_mins(5);

/// What every client asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// The envelope, then every blob.
    Release,
    /// The envelope and the next trust file, again and again.
    Documents,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release => write!(f, "release: each client fetches the envelope and every blob"),
            Self::Documents => write!(f, "documents: each client fetches the envelope and a trust file {TIMES} times"),
        }
    }
}

/// What one server did in one round.
pub(crate) struct Outcome {
    server: &'static str,
    /// From the moment that all clients were let go until the last one was done.
    time: Duration,
    bytes: u64,
    requests: u32,
    /// Processor time of the server, and of the clients.
    of_server: Duration,
    of_clients: Duration,
}

impl Outcome {
    pub(crate) const HEADING: &str = "server      time      MB/s  requests/s  server's CPU  clients' CPU";

    /// How many requests went to `server`.
    pub(crate) fn requests_to(&self, server: &dyn Server) -> u32 {
        if self.server == server.name() { self.requests } else { 0 }
    }

    /// Requests a second; each round has the same ones, so that their bytes do not matter.
    pub(crate) fn throughput(&self) -> f64 {
        f64::from(self.requests) / self.time.as_secs_f64()
    }

    /// Seconds of the server's processor time.
    pub(crate) fn cost(&self) -> f64 {
        self.of_server.as_secs_f64()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, time, bytes, of_server, of_clients, .. } = self;
        let megabytes = u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX);
        let (rate, requests) = (f64::from(megabytes) / time.as_secs_f64(), self.throughput());
        let (time, of_server, of_clients) = (time.as_secs_f64(), of_server.as_secs_f64(), of_clients.as_secs_f64());
        write!(f, "{server:<6} {time:>7.2} s {rate:>9.0} {requests:>11.0} {of_server:>11.2} s {of_clients:>11.2} s")
    }
}

/// The median of a figure.
pub(crate) fn median(outcomes: &[Outcome], figure: fn(&Outcome) -> f64) -> f64 {
    let mut figures: Vec<_> = outcomes.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs all clients against one server; every one has to get everything, and every byte right if `hashed`.
pub(crate) fn run(load: Load, tree: &Tree, server: &dyn Server, hashed: bool) -> Result<Outcome, Error> {
    let together = Barrier::new(CLIENTS + 1);
    let client = || {
        let origin = Origin::parse(&server.url());
        together.wait();
        let client = Client { origin: origin?, tree, hashed, deadline: Instant::now() + DEADLINE };
        match load {
            Load::Release => client.release(),
            Load::Documents => client.documents(),
        }
    };
    let (of_server, of_clients) = (server.processor()?, servers::processor_of_this_process()?);
    let (time, fetched) = thread::scope(|scope| {
        let started = (0..CLIENTS).map(|_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client));
        let started: Vec<_> = started.collect::<Result<_, _>>()?;
        together.wait();
        let begin = Instant::now();
        let fetched: Result<Vec<Fetched>, Error> =
            started.into_iter().map(|client| client.join().map_err(|_| "a client panicked")?).collect();
        fetched.map(|fetched| (begin.elapsed(), fetched))
    })
    .map_err(|error: Error| format!("{}: {error}", server.name()))?;
    Ok(Outcome {
        server: server.name(),
        time,
        bytes: fetched.iter().map(|it| it.bytes).sum(),
        requests: fetched.iter().map(|it| it.requests).sum(),
        of_server: server.processor()?.saturating_sub(of_server),
        of_clients: servers::processor_of_this_process()?.saturating_sub(of_clients),
    })
}

/// What one client got.
#[derive(Default)]
struct Fetched {
    bytes: u64,
    requests: u32,
}

struct Client<'a> {
    origin: Origin,
    tree: &'a Tree,
    hashed: bool,
    deadline: Instant,
}

impl Client<'_> {
    fn release(&self) -> Result<Fetched, Error> {
        let mut fetched = Fetched::default();
        self.envelope(&mut fetched)?;
        for (sha256, size) in &self.tree.blobs {
            let mut sink = Counter { space: vec![0; PIECE], got: 0, digest: self.hashed.then(Sha256::new) };
            self.origin.blob(&sha256.to_string(), *size, *size, &mut sink, self.deadline, &mut |_| ())?;
            if sink.got != *size {
                return Err(format!("{} bytes of {sha256}, wanted {size}", sink.got).into());
            }
            if sink.digest.is_some_and(|digest| digest.finalize()[..] != sha256.0) {
                return Err(format!("{sha256} has other bytes").into());
            }
            fetched.bytes += sink.got;
            fetched.requests += 1;
        }
        Ok(fetched)
    }

    fn documents(&self) -> Result<Fetched, Error> {
        let mut fetched = Fetched::default();
        for _ in 0..TIMES {
            self.envelope(&mut fetched)?;
            let trust = self.origin.trust(2, self.deadline)?;
            same("trust file", &trust, &self.tree.trust)?;
            fetched.bytes += trust.len() as u64;
            fetched.requests += 1;
        }
        Ok(fetched)
    }

    fn envelope(&self, fetched: &mut Fetched) -> Result<(), Error> {
        let envelope = self.origin.envelope("demo", "x86_64", self.deadline)?;
        same("envelope", &envelope, &self.tree.envelope)?;
        fetched.bytes += envelope.len() as u64;
        fetched.requests += 1;
        Ok(())
    }
}

fn same(what: &str, seen: &[u8], wanted: &[u8]) -> Result<(), Error> {
    if seen == wanted { Ok(()) } else { Err(format!("another {what} than the tree has").into()) }
}

/// Takes bytes and keeps none.
struct Counter {
    space: Vec<u8>,
    got: u64,
    digest: Option<Sha256>,
}

impl Sink for Counter {
    fn space(&mut self) -> &mut [u8] {
        &mut self.space
    }

    fn filled(&mut self, n: usize) {
        self.got += n as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&self.space[..n]);
        }
    }

    fn position(&self) -> u64 {
        self.got
    }
}
