//! How long origins are spared what neighbours say that they have. Whoever is on the link can say so, and give nothing.

use std::time::{Duration, Instant};

/// After so long without work for an origin, in one go or in many, it is looked whether the neighbours give.
const WINDOW: Duration = Duration::from_secs(5);
/// They may be so many times slower than the origin was.
const SLOWER: u128 = 4;

/// What origins are spared, while it is worth the wait.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    /// Since when an origin without work is kept waiting, and the bytes that were there by then.
    waits: Option<(Instant, u64)>,
    /// How long one waited before that, and the bytes that came meanwhile.
    before: (Duration, u64),
    /// Whether an origin may be asked for one piece, to see how fast it is.
    sample: bool,
    /// Whether the neighbours turned out to be no help.
    over: bool,
}

impl Courtesy {
    /// Whether origins are spared now.
    pub(super) fn is_due(&self) -> bool {
        !self.over && !self.sample
    }

    /// An origin has no work because of what neighbours say.
    pub(super) fn kept_waiting(&mut self, now: Instant, arrived: u64) {
        self.waits.get_or_insert((now, arrived));
    }

    /// An origin gets work; true if it is to be one piece.
    pub(super) fn worked(&mut self, now: Instant, arrived: u64) -> bool {
        self.before = self.so_far(now, arrived);
        self.waits = None;
        std::mem::take(&mut self.sample)
    }

    /// Looks what the wait was worth: `arrived` bytes are there, and an origin took `pace` for its last piece of `size` bytes.
    pub(super) fn look(&mut self, now: Instant, arrived: u64, pace: Option<Duration>, size: u64) {
        let (waited, came) = self.so_far(now, arrived);
        // An origin that takes long for a piece is not compared with less than that, up to a limit.
        if waited < pace.unwrap_or_default().clamp(WINDOW, 2 * WINDOW) {
            return;
        }
        match pace {
            None => self.sample = true,
            Some(pace) => {
                let [given, missed] = [u128::from(came) * pace.as_millis(), u128::from(size) * waited.as_millis()];
                self.over |= given * SLOWER < missed;
            }
        }
        self.before = (Duration::ZERO, 0);
        self.waits = self.waits.map(|_| (now, arrived));
    }

    fn so_far(&self, now: Instant, arrived: u64) -> (Duration, u64) {
        let (waited, came) = self.before;
        let now =
            self.waits.map(|(since, before)| (now.saturating_duration_since(since), arrived.saturating_sub(before)));
        now.map_or((waited, came), |now| (waited + now.0, came + now.1))
    }
}
