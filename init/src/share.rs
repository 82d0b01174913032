//! Sharing (`phase.share=1`, docs/formats.md "Sharing"): what this machine has proved of a release is given to its neighbours
//! on the link, from the moment that the release is chosen until the jump.
//!
//! [`Sharing`] is the giving side: a [`server`] that answers ([`answer`]) requests ([`request`]) from the [`shelf`] alone, on
//! which nothing stands that was not proved, and a word to the link about it. [`neighbours`] is the taking side: it listens for
//! places of the link while a download goes on, one that shares being a [`neighbour`].
//!
//! Both take the machine's [`network::Connection`], which private mode never has: there nothing of this can begin.
//! [`Neighbourhood`] is both for one download.

pub mod answer;
mod connection;
pub mod limits;
pub mod neighbour;
pub mod neighbours;
mod peers;
pub mod request;
pub mod server;
pub mod shelf;
#[cfg_attr(not(feature = "mdns"), path = "share/silent_voice.rs")]
mod voice;
mod wait;

use std::io;
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};

use self::answer::Catalogue;
pub use self::limits::{LIMITS, Limits};
use self::neighbours::{Neighbours, Wanted};
use self::server::Server;
use self::shelf::Shelf;
use self::voice::Voice;
use crate::console::Console;
use crate::download::Pulse;
use crate::network;
use crate::pool::Pool;

/// A release as it is shared.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its channel.
    pub channel: String,
    /// Its architecture.
    pub arch: String,
    /// Its version.
    pub version: u64,
    /// Its envelope, as it was verified.
    pub envelope: Vec<u8>,
    /// The proof that it was logged, if one came with it.
    pub proof: Option<Vec<u8>>,
}

/// Why nothing is shared. The boot goes on without.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A build that cannot say anything on the link.
    #[error("nothing is shared: this build has no multicast DNS (cargo feature mdns)")]
    NotBuilt,
    /// No port, no thread, no random name.
    #[error("nothing is shared: {0}")]
    Server(#[from] io::Error),
    /// Nobody on the link can be told.
    #[cfg(feature = "mdns")]
    #[error("nothing is shared: {0}")]
    Mdns(#[from] discover::mdns::MdnsError),
}

/// What was given to neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Addresses that got something.
    pub peers: usize,
    /// Bytes that they got.
    pub bytes: u64,
}

/// The neighbours of one download, giving and taking, until it is dropped.
#[derive(Debug)]
pub struct Neighbourhood {
    sharing: Option<Sharing>,
    neighbours: Option<Neighbours>,
    closed: Shelf,
}

impl Neighbourhood {
    /// Nobody: a machine without a network has none.
    pub fn none() -> Self {
        Self { sharing: None, neighbours: None, closed: Shelf::closed() }
    }

    /// Listens for places of the link that join `pool`, and shares the release if `share` says so. What cannot be done is
    /// said, and the download goes on without.
    pub fn enter(
        connection: &network::Connection,
        pool: &Arc<Pool>,
        release: Release,
        share: bool,
        console: &Console,
    ) -> Self {
        let (channel, arch) = (release.channel.clone(), release.arch.clone());
        let sharing = share
            .then(|| Sharing::begin(connection, release))
            .and_then(|sharing| sharing.inspect_err(|error| console.warn(format_args!("{error}"))).ok());
        if let Some(sharing) = &sharing {
            console.info(format_args!("sharing with this link on port {} as {}", sharing.port(), sharing.name()));
        }
        let own_name = sharing.as_ref().map(|sharing| sharing.name().to_owned());
        let neighbours = Neighbours::join(pool, connection, Wanted { channel, arch, own_name });
        Self { sharing, neighbours: Some(neighbours), closed: Shelf::closed() }
    }

    /// What the download marks what it proved on.
    pub fn shelf(&self) -> &Shelf {
        self.sharing.as_ref().map_or(&self.closed, Sharing::shelf)
    }

    /// Whether anything is shared.
    pub fn shares(&self) -> bool {
        self.sharing.is_some()
    }

    /// The download is done: nobody else joins, and neighbours that still ask are waited for. When this returns, every socket
    /// that serves is closed and its thread has ended. Says what was given.
    pub fn leave(self, console: &Console, pulse: &dyn Pulse) -> Given {
        drop(self.neighbours);
        self.sharing.map_or_else(Given::default, |sharing| sharing.end(console, pulse))
    }
}

/// What is given to neighbours while it lasts: when it is dropped, they are told that it is over, every socket is closed and
/// the thread has ended.
#[derive(Debug)]
pub struct Sharing {
    shelf: Arc<Shelf>,
    name: String,
    // In this order: neighbours hear the goodbye before nobody answers any more.
    _voice: Voice,
    server: Server,
}

impl Sharing {
    /// Begins to serve a release that was verified, and says so on the link.
    ///
    /// # Errors
    /// What this build or this machine lacks for it.
    pub fn begin(_: &network::Connection, release: Release) -> Result<Self, ShareError> {
        let shelf = Arc::new(Shelf::open());
        let Release { channel, arch, version, envelope, proof } = release;
        let name = random_name()?;
        let catalogue =
            Catalogue { channel: channel.clone(), arch: arch.clone(), envelope, proof, shelf: Arc::clone(&shelf) };
        let server = Server::begin(catalogue)?;
        let voice = Voice::say(&name, server.port(), (&channel, &arch), version)?;
        Ok(Self { shelf, name, _voice: voice, server })
    }

    /// What is served from.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// What this machine calls itself on the link.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port that it serves on.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Ends it: once no neighbour has asked for a while, but in bounded time ([`LIMITS`]).
    pub fn end(self, console: &Console, pulse: &dyn Pulse) -> Given {
        wait::until_nobody_asks(&self.server, &LIMITS, console, pulse)
    }
}

/// A name that no neighbour has: a machine that boots has none of its own.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(format!("phase-{:08x}", u32::from_ne_bytes(bytes)))
}
