//! What a cable does to the frames on it, in each direction.

use std::time::Duration;

/// The faults of a cable; none at first. They may be combined, and mean what `tc netem` means by the same words.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    pub(super) loss: f64,
    pub(super) corrupt: f64,
    pub(super) reorder: f64,
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    pub(super) bits_per_second: Option<u64>,
    pub(super) late: Option<Duration>,
}

impl Faults {
    /// Of a hundred frames so many are lost.
    #[must_use]
    pub fn loss(mut self, percent: f64) -> Self {
        self.loss = percent / 100.0;
        self
    }

    /// Of a hundred frames so many arrive with one flipped bit.
    #[must_use]
    pub fn corrupt(mut self, percent: f64) -> Self {
        self.corrupt = percent / 100.0;
        self
    }

    /// Every frame is on its way for so long, `jitter` more or less.
    #[must_use]
    pub fn delay(mut self, delay: Duration, jitter: Duration) -> Self {
        (self.delay, self.jitter) = (delay, jitter);
        self
    }

    /// Of a hundred frames so many overtake those that are delayed.
    #[must_use]
    pub fn reorder(mut self, percent: f64) -> Self {
        self.reorder = percent / 100.0;
        self
    }

    /// So many bits pass in a second.
    #[must_use]
    pub fn rate(mut self, bits_per_second: u64) -> Self {
        self.bits_per_second = Some(bits_per_second);
        self
    }

    /// For so long the port has a carrier and carries nothing.
    #[must_use]
    pub fn late_link(mut self, late: Duration) -> Self {
        self.late = Some(late);
        self
    }

    /// Whether frames are touched at all.
    pub(super) fn on_the_way(&self) -> bool {
        Self { late: None, ..self.clone() } != Self::default()
    }
}
