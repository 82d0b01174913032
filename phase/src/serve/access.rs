//! The access log: one line per request, written when its answer has been sent or the client has gone; large transfers
//! show a bar while they run.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use indicatif::{MultiProgress, ProgressBar};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use verify::Timestamp;

use crate::{clock, progress};

/// Bodies below this are over before a bar could be read.
const BAR_FROM: u64 = 8 << 20;

/// As many bars as leave room for the lines above them.
const BARS: usize = 8;

/// Whether requests are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One line per request on standard error.
    Stderr,
    /// Nothing.
    Off,
}

/// Where requests are reported.
pub(super) struct Log {
    bars: Option<MultiProgress>,
    /// For one bar each.
    room: Arc<Semaphore>,
}

impl Log {
    pub(super) fn new(log: AccessLog) -> Self {
        let bars = match log {
            AccessLog::Stderr => Some(MultiProgress::new()),
            AccessLog::Off => None,
        };
        Self { bars, room: Arc::new(Semaphore::new(BARS)) }
    }

    /// Begins the entry of a request; it is written when the value is dropped.
    pub(super) fn entry(&self, peer: SocketAddr, method: &str, path: &str) -> Option<Entry> {
        let bars = self.bars.clone()?;
        // As it came: percent-encoded. Whatever else a parser may let through stays away from the terminal.
        let path = path.replace(char::is_control, "\u{fffd}");
        let (method, room) = (method.to_owned(), Arc::clone(&self.room));
        Some(Entry {
            begin: Instant::now(),
            peer,
            method,
            path,
            status: 0,
            announced: 0,
            sent: 0,
            bar: None,
            bars,
            room,
        })
    }
}

/// One request on its way.
pub(super) struct Entry {
    begin: Instant,
    peer: SocketAddr,
    method: String,
    path: String,
    status: u16,
    announced: u64,
    sent: u64,
    bar: Option<(ProgressBar, OwnedSemaphorePermit)>,
    bars: MultiProgress,
    room: Arc<Semaphore>,
}

impl Entry {
    /// It is answered with `status`, and `announced` bytes are to follow the head.
    pub(super) fn answered(&mut self, status: u16, announced: u64) {
        (self.status, self.announced) = (status, announced);
        if announced >= BAR_FROM
            && let Ok(room) = Arc::clone(&self.room).try_acquire_owned()
        {
            let name = self.path.rsplit('/').next().unwrap_or_default();
            self.bar = Some((self.bars.add(progress::bytes(name, announced)), room));
        }
    }

    /// So many bytes more are in the hands of the kernel.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        if let Some((bar, _)) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn line(&self, now: Timestamp) -> String {
        let Self { peer, method, path, status, sent, .. } = self;
        let cut = if self.sent < self.announced { " cut" } else { "" };
        let milliseconds = self.begin.elapsed().as_millis();
        format!("{now} {peer} {method} {path} {status} {sent}{cut} {milliseconds}ms\n")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some((bar, _)) = &self.bar {
            bar.finish_and_clear();
            self.bars.remove(bar);
        }
        let line = self.line(clock::now());
        // A log that nobody reads any more does not stop the server.
        self.bars.suspend(|| _ = io::stderr().write_all(line.as_bytes()));
    }
}
