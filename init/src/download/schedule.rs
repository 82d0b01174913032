//! Who fetches which piece, decided over plain data: no thread, no clock, no byte.
//!
//! The rules stand in the order in which they come into play:
//!
//! 1. A source without work gets a *run*: consecutive pieces that nobody has, for one request. The longest gap is shared
//!    evenly among those who have no work. Where others are given pieces as well ([`Schedule::singly`]), a run is one piece at
//!    random, so that many machines fetch many different ones. Until all that a source gave is proved, it gets no further run:
//!    who lied in one is not asked for another. Where a run is one piece, who has given a right one may be one ahead, so that
//!    not every request waits for the hash of the piece before it.
//! 2. What a neighbour has, or has been fetching for less than [`COMING`], is not asked of an origin.
//! 3. If nothing is free, a source without work *steals* the far half of the longest run, unless its owner would be done
//!    before the request were worth it ([`WORTH`]). The owner finds its run shorter.
//! 4. A piece in hand cannot be stolen. If somebody who could fetch it has no work, its source is *late* when it has stalled,
//!    crawls or would need more than twice as long as the other one for it all anew ([`late`]): it is set back, which means
//!    that it gets work again when nobody else is left. So the last one has all the patience that there is.
//! 5. Who lied is out for good, and so is who failed without being cut in the middle, and a neighbour that was late too often.
//!    What it did not finish is free again.
//! 6. Rule 2 is a courtesy to origins, and what neighbours say is a claim: if they give too little, an origin is asked for what
//!    they say they have as well ([`courtesy`]).

mod courtesy;
mod late;

use std::ops::Range;
use std::time::{Duration, Instant};

use self::courtesy::Courtesy;
pub use self::late::Late;
use crate::share::shelf::PieceState;

/// Most runs at once.
const RUNS: usize = 8;
/// What an owner would finish within this time is not worth a request of its own.
const WORTH: Duration = Duration::from_millis(250);
/// How long a neighbour may say that a piece is coming to it.
const COMING: Duration = Duration::from_secs(10);
/// How often one source may go on after it was cut in the middle.
const RESUMES: u32 = 5;
/// How often a neighbour may be cut, be away, or have too much to do.
const REFUSALS: u32 = 20;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With all that was wanted of it.
    Well,
    /// Because somebody hung up.
    HungUp,
    /// Its source answers no requests for a part.
    NoRanges,
    /// Its source, a neighbour, is to be asked later.
    Busy,
    /// In another way.
    Failed,
}

/// Whether a source gets work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Like all others.
    Good,
    /// Only if nobody in good standing is left.
    SetBack,
    /// No more.
    Out,
}

/// The pieces of one artifact and the sources that they come from.
#[derive(Debug)]
pub struct Schedule {
    pieces: Vec<State>,
    /// Bytes of a piece.
    size: u64,
    members: Vec<Member>,
    /// The state of a random sequence, if runs are of one piece.
    random: Option<u64>,
    /// Whether origins are still to be spared what neighbours say they have.
    courtesy: Courtesy,
    /// Whether they are, by the rule that is tried now.
    spared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// In a run, in hand, or being hashed.
    Taken,
    Proved,
}

#[derive(Debug)]
struct Member {
    standing: Standing,
    ranges: bool,
    work: Option<Work>,
    /// Full pieces of it that are not hashed yet.
    unproved: usize,
    /// Whether a piece of it was ever proved.
    honest: bool,
    cuts: u32,
    /// How often it was late.
    strikes: u32,
    /// What the last piece took.
    pace: Option<Duration>,
    /// What it has, and since when it says so, if it has not all: then it is a neighbour.
    holds: Option<Vec<(PieceState, Instant)>>,
    /// Whether it gets no work until it was asked anew what it has.
    busy: bool,
}

/// A run.
#[derive(Debug)]
struct Work {
    /// The pieces that are not begun, from the one that is next; where it ends when it is empty.
    rest: Range<usize>,
    hand: Option<Hand>,
    began: Instant,
    /// When bytes came last.
    moved: Instant,
    /// Bytes so far.
    bytes: u64,
}

/// The piece that is being filled.
#[derive(Debug)]
struct Hand {
    index: usize,
    since: Instant,
    /// Bytes of the run before it.
    before: u64,
}

impl Schedule {
    /// Nothing of `pieces` pieces of `size` bytes is there.
    pub fn new(pieces: usize, size: u64) -> Self {
        let (pieces, courtesy) = (vec![State::Free; pieces], Courtesy::default());
        Self { pieces, size, members: Vec::new(), random: None, courtesy, spared: true }
    }

    /// From now on runs are of one piece, in an order that depends on `seed`.
    pub fn singly(&mut self, seed: u64) {
        self.random = Some(seed | 1);
    }

    /// Takes in a source, whose number is returned. `all` says whether it has every piece; else it has none, until
    /// [`Self::has`] says so.
    pub fn join(&mut self, standing: Standing, all: bool) -> usize {
        let holds = (!all).then(Vec::new);
        let (ranges, work, unproved, honest, pace, busy) = (true, None, 0, false, None, false);
        self.members.push(Member { standing, ranges, work, unproved, honest, cuts: 0, strikes: 0, pace, holds, busy });
        self.members.len() - 1
    }

    /// What a neighbour says that it has by now.
    pub fn has(&mut self, member: usize, states: &[PieceState], now: Instant) {
        self.members[member].busy = false;
        let Some(holds) = &mut self.members[member].holds else { return };
        holds.resize(states.len(), (PieceState::Missing, now));
        for (known, state) in holds.iter_mut().zip(states) {
            if known.0 != *state {
                *known = (*state, now);
            }
        }
    }

    /// Gives work to somebody who has none, if there is any: the source, and its run.
    pub fn next_run(&mut self, now: Instant) -> Option<(usize, Range<usize>)> {
        self.call_back();
        let working = self.members.iter().filter(|member| member.work.is_some()).count();
        if working >= RUNS {
            return None;
        }
        let mut idle = self.idle();
        let origins: Vec<usize> = idle.iter().copied().filter(|member| self.is_origin(*member)).collect();
        // The last place is an origin's.
        if working + 1 == RUNS && !origins.is_empty() {
            idle.clone_from(&origins);
        }
        let pace = origins.iter().filter_map(|origin| self.members[*origin].pace).min();
        self.courtesy.look(now, self.arrived(), pace, self.size);
        if self.random.is_some() {
            let turn = self.random(idle.len());
            idle.rotate_left(turn);
        }
        let Some((member, mut run)) = self.work_for(&idle, true, now).or_else(|| self.work_for(&idle, false, now))
        else {
            if !origins.is_empty() && !self.is_complete() {
                self.courtesy.kept_waiting(now, self.arrived());
            }
            return None;
        };
        if self.is_origin(member) && self.courtesy.worked(now, self.arrived()) {
            run.end = run.start + 1;
        }
        self.pieces[run.clone()].fill(State::Taken);
        self.members[member].work = Some(Work { rest: run.clone(), hand: None, began: now, moved: now, bytes: 0 });
        Some((member, run))
    }

    /// What one of these could do. Origins are spared what neighbours have, or if that is not due any more, are not.
    fn work_for(&mut self, idle: &[usize], spared: bool, now: Instant) -> Option<(usize, Range<usize>)> {
        if !spared && self.courtesy.is_due() {
            return None;
        }
        self.spared = spared;
        idle.iter().find_map(|member| {
            let run = self.gap(*member, now).or_else(|| self.steal(*member, now));
            run.map(|run| (*member, run))
        })
    }

    /// The next piece of its run, if it is to go on. `bytes` came of the run so far.
    pub fn next_piece(&mut self, member: usize, bytes: u64, now: Instant) -> Option<usize> {
        let Member { work: Some(work), standing: Standing::Good, .. } = &mut self.members[member] else { return None };
        let index = work.rest.next()?;
        work.hand = Some(Hand { index, since: now, before: bytes });
        Some(index)
    }

    /// The piece in hand is full and goes to be hashed.
    pub fn filled(&mut self, member: usize, now: Instant) {
        let Member { work: Some(work), pace, unproved, .. } = &mut self.members[member] else { return };
        if let Some(hand) = work.hand.take() {
            *unproved += 1;
            *pace = Some(now.saturating_duration_since(hand.since));
        }
    }

    /// The piece before which the run of a source ends by now.
    pub fn end(&self, member: usize) -> Option<usize> {
        self.members[member].work.as_ref().map(|work| work.rest.end)
    }

    /// Whether a source may go on after it was cut.
    pub fn may_resume(&mut self, member: usize) -> bool {
        let Member { cuts, holds, .. } = &mut self.members[member];
        *cuts += 1;
        *cuts <= if holds.is_some() { REFUSALS } else { RESUMES }
    }

    /// How many bytes of its run came so far.
    pub fn seen(&mut self, member: usize, bytes: u64, now: Instant) {
        if let Some(work) = &mut self.members[member].work
            && work.bytes != bytes
        {
            (work.bytes, work.moved) = (bytes, now);
        }
    }

    /// The piece that a source gave is proved. Says whether the source waits for work since.
    pub fn proved(&mut self, member: usize, index: usize) -> bool {
        self.pieces[index] = State::Proved;
        let giver = &mut self.members[member];
        giver.unproved = giver.unproved.saturating_sub(1);
        giver.honest = true;
        self.is_free(&self.members[member])
    }

    /// The piece that a source gave is wrong.
    pub fn wrong(&mut self, member: usize, index: usize) {
        self.pieces[index] = State::Free;
        let member = &mut self.members[member];
        member.unproved = member.unproved.saturating_sub(1);
        member.standing = Standing::Out;
    }

    /// The run of a source ended. What is free again.
    pub fn ended(&mut self, member: usize, end: End) -> Vec<usize> {
        let member = &mut self.members[member];
        let Some(Work { rest, hand, .. }) = member.work.take() else { return Vec::new() };
        match end {
            End::Well | End::HungUp => {}
            // Who is out stays out.
            End::NoRanges if member.ranges && member.standing != Standing::Out => {
                (member.ranges, member.standing) = (false, Standing::SetBack);
            }
            End::Busy => member.busy = true,
            End::NoRanges | End::Failed => member.standing = Standing::Out,
        }
        let free: Vec<usize> = hand.map(|hand| hand.index).into_iter().chain(rest).collect();
        for index in &free {
            self.pieces[*index] = State::Free;
        }
        free
    }

    /// Somebody said nothing of what it has: it is not there any more.
    pub fn left(&mut self, member: usize) {
        self.members[member].standing = Standing::Out;
    }

    /// Whether a source is not out.
    pub fn counts(&self, member: usize) -> bool {
        self.members[member].standing != Standing::Out
    }

    /// How many bytes are in their places, proved or not.
    pub fn arrived(&self) -> u64 {
        let works = || self.members.iter().filter_map(|member| member.work.as_ref());
        let begun = self.pieces.iter().filter(|piece| **piece != State::Free).count();
        let open: usize = works().map(|work| work.rest.len() + usize::from(work.hand.is_some())).sum();
        let hands = works().filter_map(|work| Some(work.bytes.saturating_sub(work.hand.as_ref()?.before)));
        begun.saturating_sub(open) as u64 * self.size + hands.sum::<u64>()
    }

    /// Whether every piece is proved.
    pub fn is_complete(&self) -> bool {
        self.pieces.iter().all(|piece| *piece == State::Proved)
    }

    /// Whether nothing is under way: nobody works, and nothing is being hashed.
    pub fn rests(&self) -> bool {
        !self.pieces.contains(&State::Taken) && self.members.iter().all(|member| member.work.is_none())
    }

    /// Whether somebody who has not everything may still get it.
    pub fn waits_for_neighbours(&self) -> bool {
        self.members.iter().any(|member| member.holds.is_some() && member.standing != Standing::Out)
    }

    /// If nobody in good standing is left, those who were set back are.
    fn call_back(&mut self) {
        let origin = |member: &Member| member.standing == Standing::Good && member.holds.is_none() && member.ranges;
        if !self.members.iter().any(origin) {
            for member in &mut self.members {
                // Who was told to stop has not stopped yet as long as it has work.
                if member.standing == Standing::SetBack && member.work.is_none() {
                    member.standing = Standing::Good;
                }
            }
        }
    }

    /// Those who could work.
    fn idle(&self) -> Vec<usize> {
        let idle = |member: &Member| member.standing == Standing::Good && !member.busy && self.is_free(member);
        self.members.iter().enumerate().filter(|(_, member)| idle(member)).map(|(number, _)| number).collect()
    }

    /// Whether nothing that it does, or has given, stands against a further run.
    fn is_free(&self, member: &Member) -> bool {
        let ahead = usize::from(self.random.is_some() && member.honest);
        member.work.is_none() && member.unproved <= ahead
    }

    /// Whether it has everything, and gives parts of it.
    fn is_origin(&self, member: usize) -> bool {
        self.members[member].holds.is_none() && self.members[member].ranges
    }

    fn holds(&self, member: usize, piece: usize) -> bool {
        let states = self.members[member].holds.as_ref();
        states.is_none_or(|states| states.get(piece).is_some_and(|(state, _)| *state == PieceState::Proved))
    }

    /// Whether a source may be given a piece: it has it, and if it is no neighbour, none has it either.
    fn may_take(&self, member: usize, piece: usize, now: Instant) -> bool {
        let spare = |other: &Member| match other.holds.as_ref().and_then(|states| states.get(piece)) {
            _ if other.standing != Standing::Good => false,
            Some((PieceState::Proved, _)) => true,
            Some((PieceState::Fetching, since)) => now.saturating_duration_since(*since) < COMING,
            Some((PieceState::Missing, _)) | None => false,
        };
        match &self.members[member].holds {
            Some(_) => self.holds(member, piece),
            None => !self.spared || !self.members.iter().any(spare),
        }
    }

    /// What is free and may be taken: one piece of it, or its fair part of the longest gap.
    fn gap(&mut self, member: usize, now: Instant) -> Option<Range<usize>> {
        if !self.members[member].ranges {
            let untouched = self.pieces.iter().all(|piece| *piece == State::Free);
            return untouched.then_some(0..self.pieces.len());
        }
        let may: Vec<bool> = (0..self.pieces.len())
            .map(|index| self.pieces[index] == State::Free && self.may_take(member, index, now))
            .collect();
        if self.random.is_some() {
            let free: Vec<usize> = (0..may.len()).filter(|index| may[*index]).collect();
            let index = *free.get(self.random(free.len()))?;
            return Some(index..index + 1);
        }
        let gap = longest(&may)?;
        let part = gap.len().div_ceil(self.idle().len().max(1));
        Some(gap.start..gap.start + part)
    }

    /// Cuts the far half off the longest run, and gives what `thief` has of it.
    fn steal(&mut self, thief: usize, now: Instant) -> Option<Range<usize>> {
        if !self.members[thief].ranges {
            return None;
        }
        let worth = |member: &Member, work: &Work| {
            let hand = work.hand.as_ref().map(|hand| now.saturating_duration_since(hand.since));
            let pace = member.pace.map(|pace| pace.max(hand.unwrap_or_default()));
            pace.is_none_or(|pace| pace * u32::try_from(work.rest.len()).unwrap_or(u32::MAX) > WORTH)
        };
        let runs = self.members.iter().enumerate().filter_map(|(number, member)| {
            let work = member.work.as_ref().filter(|work| worth(member, work))?;
            // Whoever has nothing in hand keeps the larger half.
            let left = work.rest.len();
            let far = if work.hand.is_some() { left.div_ceil(2) } else { left / 2 };
            let half = work.rest.end - far..work.rest.end;
            let start = half.clone().find(|piece| self.may_take(thief, *piece, now))?;
            Some((number, start..half.end))
        });
        let (victim, cut) = runs.max_by_key(|(_, cut)| cut.len())?;
        let end = cut.clone().find(|piece| !self.may_take(thief, *piece, now)).unwrap_or(cut.end);
        self.members[victim].work.as_mut()?.rest.end = cut.start;
        self.pieces[cut.clone()].fill(State::Free);
        Some(cut.start..end)
    }

    /// A number below `below`, or 0 if there is none: xorshift (Marsaglia, 2003), which is good enough to spread machines.
    fn random(&mut self, below: usize) -> usize {
        let Some(state) = &mut self.random else { return 0 };
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state % (below.max(1) as u64)).unwrap_or(0)
    }
}

/// The longest row of `true`.
fn longest(may: &[bool]) -> Option<Range<usize>> {
    let mut best = 0..0;
    let mut start = 0;
    for row in may.chunk_by(|one, next| one == next) {
        let range = start..start + row.len();
        start = range.end;
        if row.first() == Some(&true) && range.len() > best.len() {
            best = range;
        }
    }
    (!best.is_empty()).then_some(best)
}

#[cfg(test)]
mod tests;
