//! Which time it is, decided from what a machine has: an RTC that may have lost its battery, and moments that have
//! certainly passed (docs: "Freshness without a trusted clock").

use crate::limits::LIMITS;
use crate::time::Timestamp;

/// The time that a check goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The time, or the latest moment that has certainly passed if it is not [`Self::trusted`].
    pub time: Timestamp,
    /// Whether the RTC was within reason, so that `time` is its.
    pub trusted: bool,
}

impl Now {
    /// Takes the RTC's time (seconds since 1970) if it is not before the newest moment that has certainly passed, and
    /// at most [`LIMITS`]`.clock_seconds` after it; otherwise that moment. `built` is the trust file's, `last_issued`
    /// that of the last acknowledged manifest.
    pub fn decide(rtc: Option<u64>, built: Timestamp, last_issued: Option<Timestamp>) -> Self {
        let floor = last_issued.map_or(built, |issued| issued.max(built));
        let reasonable = floor.unix()..=floor.unix().saturating_add(LIMITS.clock_seconds);
        match rtc {
            Some(seconds) if reasonable.contains(&seconds) => {
                Self { time: Timestamp::from_unix(seconds), trusted: true }
            }
            _ => Self { time: floor, trusted: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: Timestamp = Timestamp::from_unix(1_790_000_000);

    fn decided(rtc: Option<u64>, last_issued: Option<u64>) -> (u64, bool) {
        let now = Now::decide(rtc, BUILT, last_issued.map(Timestamp::from_unix));
        (now.time.unix(), now.trusted)
    }

    #[test]
    fn an_rtc_within_reason_is_the_time() {
        assert_eq!(decided(Some(1_790_000_000), None), (1_790_000_000, true));
        assert_eq!(decided(Some(1_800_000_000), None), (1_800_000_000, true));
        assert_eq!(decided(Some(1_800_000_000), Some(1_795_000_000)), (1_800_000_000, true));
    }

    #[test]
    fn without_an_rtc_the_newest_known_moment_is_the_time() {
        assert_eq!(decided(None, None), (1_790_000_000, false));
        assert_eq!(decided(None, Some(1_795_000_000)), (1_795_000_000, false));
        assert_eq!(decided(None, Some(1_000_000_000)), (1_790_000_000, false));
    }

    #[test]
    fn an_rtc_in_the_past_or_the_far_future_is_not_believed() {
        assert_eq!(decided(Some(0), None), (1_790_000_000, false));
        assert_eq!(decided(Some(1_789_999_999), None), (1_790_000_000, false));
        assert_eq!(decided(Some(1_794_999_999), Some(1_795_000_000)), (1_795_000_000, false));
        assert!(decided(Some(1_790_000_000 + LIMITS.clock_seconds), None).1);
        assert_eq!(decided(Some(1_790_000_001 + LIMITS.clock_seconds), None), (1_790_000_000, false));
        assert_eq!(decided(Some(u64::MAX), None), (1_790_000_000, false));
    }
}
