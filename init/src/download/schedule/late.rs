//! Who is late: whose piece somebody else could have sooner.

use std::time::{Duration, Instant};

use super::{Member, Schedule, Standing, Work};

/// Without a byte for this long, a source has stalled.
const STALL: Duration = Duration::from_secs(3);
/// A source that nobody's pace can be compared with has this long to come to speed, and must then have been faster on
/// average than [`CRAWL`].
const START: Duration = Duration::from_secs(10);
/// Bytes per second.
pub(super) const CRAWL: u64 = 256 << 10;
/// A piece that takes less than this is never late.
const HASTE: Duration = Duration::from_secs(2);
/// What a new request costs beside the piece itself.
const REQUEST: Duration = Duration::from_millis(500);
/// How often a neighbour may be late. Two who only hold pieces would pass them to each other for ever.
const STRIKES: u32 = 5;

/// Why somebody else is asked instead, though nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Late {
    /// No byte came.
    #[error("nothing came for {} s, and others are there", .0.as_secs())]
    Stalled(Duration),
    /// Hardly a byte came.
    #[error("{0} bytes per second on average, wanted {CRAWL} as long as others are there")]
    Crawls(u64),
    /// Another one is faster.
    #[error("it needs {} for a piece, and another one {}", seconds(*.0), seconds(*.1))]
    Slower(Duration, Duration),
}

/// An estimate from the first bytes of a piece is soon absurd.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        ..600 => format!("{:.1} s", time.as_secs_f32()),
        _ => "more than 10 minutes".to_owned(),
    }
}

impl Schedule {
    /// Sets back whoever is late, if somebody who could do its work has none. To be asked when [`Self::next_run`] has none.
    pub fn late(&mut self, now: Instant) -> Vec<(usize, Late)> {
        let idle = self.idle();
        // Who is not in good standing was told to stop already.
        let busy = self.members.iter().enumerate().filter(|(_, member)| member.standing == Standing::Good);
        let busy = busy.filter_map(|(number, member)| Some((number, member.work.as_ref()?)));
        let late: Vec<_> = busy.filter_map(|(number, work)| Some((number, self.lateness(work, &idle, now)?))).collect();
        for (number, _) in &late {
            let Member { standing, strikes, holds, .. } = &mut self.members[*number];
            *strikes += 1;
            let out = holds.is_some() && *strikes >= STRIKES;
            *standing = if out { Standing::Out } else { Standing::SetBack };
        }
        late
    }

    fn lateness(&self, work: &Work, idle: &[usize], now: Instant) -> Option<Late> {
        let piece = work.hand.as_ref().map_or(work.rest.start, |hand| hand.index);
        let helpers = || idle.iter().filter(|helper| self.members[**helper].ranges && self.holds(**helper, piece));
        helpers().next()?;
        let silent = now.saturating_duration_since(work.moved);
        if silent >= STALL {
            return Some(Late::Stalled(silent));
        }
        if let (Some(pace), Some(hand)) = (helpers().filter_map(|helper| self.members[*helper].pace).min(), &work.hand)
        {
            let took = now.saturating_duration_since(hand.since);
            let whole =
                took.as_millis() * u128::from(self.size) / u128::from(work.bytes.saturating_sub(hand.before).max(1));
            let whole = Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX));
            // Whether a silent one is slow or has stalled will be seen.
            let late = took >= HASTE && silent < STALL / 2 && whole.saturating_sub(took) > 2 * (REQUEST + pace);
            return late.then_some(Late::Slower(whole, pace));
        }
        let since = now.saturating_duration_since(work.began);
        let rate = work.bytes / since.as_secs().max(1);
        (since >= START && rate < CRAWL).then_some(Late::Crawls(rate))
    }
}
