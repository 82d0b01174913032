//! Places of the link that join a download while it goes on: whoever offers the same channel and architecture, in Internet and
//! in Local mode. They are a cache of bytes and no more: what they give is proved like all else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use discover::Origin;

use super::neighbour::Neighbour;
use crate::network;
use crate::pool::Pool;
use crate::source::Source;

/// For which places is listened.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The channel.
    pub channel: String,
    /// The architecture.
    pub arch: String,
    /// What this machine calls itself on the link, if it shares: it hears itself, too.
    pub own_name: Option<String>,
}

/// Listens until dropped. The thread ends within two seconds then, and nobody waits for it: it serves nothing.
#[derive(Debug)]
pub struct Neighbours {
    enough: Arc<AtomicBool>,
}

impl Neighbours {
    /// Begins to listen; what is heard joins `pool`. A machine that cannot listen downloads from the places that it knows.
    pub fn join(pool: &Arc<Pool>, _: &network::Connection, wanted: Wanted) -> Self {
        let enough = Arc::<AtomicBool>::default();
        let (told, pool) = (Arc::clone(&enough), Arc::clone(pool));
        let thread = std::thread::Builder::new().name("neighbours".to_owned());
        drop(thread.spawn(move || listen(&pool, &wanted, &told)));
        Self { enough }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

/// A place of the link: one that shares only what it has so far is asked for that first.
pub fn source(origin: Origin, shares: bool) -> Source {
    let neighbour = shares.then(|| Neighbour::at(origin.clone())).and_then(Result::ok);
    neighbour.map_or_else(|| origin.into(), Source::Neighbour)
}

#[cfg(feature = "mdns")]
fn listen(pool: &Pool, wanted: &Wanted, enough: &AtomicBool) {
    use std::time::{Duration, Instant};

    use discover::mdns::{Heard, Place, browse};

    /// Longer than any download that PID 1 waits for.
    const LONGEST: Duration = Duration::from_hours(24);

    let join = |Place { name, origin, shares, .. }: Place| {
        if wanted.own_name.as_ref() != Some(&name) {
            pool.join(Arc::new(source(origin, shares)));
        }
    };
    // Whether there is a directory at all was said by the search, in the mode that depends on it.
    _ = browse(&wanted.channel, &wanted.arch, Instant::now() + LONGEST, &mut |heard| {
        if let Some(Heard::Place(place)) = heard {
            join(*place);
        }
        !enough.load(Ordering::Relaxed)
    });
}

/// A build without multicast DNS hears nobody.
#[cfg(not(feature = "mdns"))]
fn listen(_: &Pool, _: &Wanted, _: &AtomicBool) {}
