//! The threads of a download: one for each run that is under way, and some that hash.
//!
//! They share the [`Schedule`] and the pieces, behind one lock that nobody holds while it waits or hashes. A piece is in
//! one hand at a time: on the table, with the thread that fills it, or with one that hashes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use discover::{FetchError, Hangup, Sink};
use verify::pieces::{self, CheckedPiece, Filling, Piece};
use verify::{ArtifactError, PieceList};

use super::error::TryError;
use super::schedule::{End, Schedule};
use crate::share::shelf::Board;
use crate::source::{Holds, Source, SourceError, Wanted};

/// A source that is slower than this on average (bytes per second) is given up, though it be the last.
const SLOWEST: u64 = 16 << 10;
/// What every request has beside the time that its size allows.
const GRACE: Duration = Duration::from_mins(1);

/// What the threads of one download share.
#[derive(Debug)]
pub(super) struct Shared<'l, 'r> {
    pub(super) list: &'l PieceList,
    /// The artifact's name as a blob.
    pub(super) hex: String,
    pub(super) board: &'l Board,
    pub(super) table: Mutex<Table<'r>>,
    /// When somebody may have to be given work, or everything is there.
    pub(super) changed: Condvar,
}

/// What is decided, and what it is decided about.
#[derive(Debug)]
pub(super) struct Table<'r> {
    pub(super) schedule: Schedule,
    /// Those that are in nobody's hand.
    pub(super) pieces: Vec<Option<Piece<'r>>>,
    pub(super) checked: Vec<CheckedPiece<'r>>,
    /// Who lost, and why, that nobody was told yet.
    pub(super) news: Vec<(usize, TryError)>,
    /// Whether the crew has to look again.
    pub(super) stirred: bool,
}

/// A full piece, and who filled it.
pub(super) struct Full<'r> {
    piece: Piece<'r>,
    member: usize,
}

impl<'r> Shared<'_, 'r> {
    pub(super) fn table(&self) -> MutexGuard<'_, Table<'r>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes what comes, until nobody is left who could send something.
    pub(super) fn hash(&self, queue: &Mutex<Receiver<Full<'r>>>) {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match next {
                Ok(full) => self.judge(full),
                Err(_) => return,
            }
        }
    }

    fn judge(&self, Full { piece, member }: Full<'r>) {
        match piece.check() {
            Ok(checked) => self.accept(member, checked),
            Err(bad) => self.refuse(member, bad.error(), bad.piece),
        }
    }

    fn accept(&self, member: usize, checked: CheckedPiece<'r>) {
        self.board.proved(&checked);
        let index = self.index(checked.range().start);
        let mut table = self.table();
        let waits = table.schedule.proved(member, index);
        table.checked.push(checked);
        if waits || table.schedule.is_complete() {
            self.stir(table);
        }
    }

    fn refuse(&self, member: usize, error: ArtifactError, piece: Piece<'r>) {
        let index = self.index(piece.range().start);
        self.board.dropped(index);
        let mut table = self.table();
        table.schedule.wrong(member, index);
        table.pieces[index] = Some(piece);
        table.news.push((member, error.into()));
        self.stir(table);
    }

    /// Lets the crew look again.
    fn stir(&self, mut table: MutexGuard<'_, Table<'r>>) {
        table.stirred = true;
        drop(table);
        self.changed.notify_one();
    }

    /// The piece that this byte is of.
    fn index(&self, byte: u64) -> usize {
        usize::try_from(byte / self.list.piece_size()).unwrap_or(usize::MAX)
    }

    /// The byte that this piece begins with.
    fn byte(&self, index: usize) -> u64 {
        (index as u64 * self.list.piece_size()).min(self.list.size())
    }
}

/// Carries out one run.
#[derive(Clone)]
pub(super) struct Worker<'s, 'l, 'r> {
    pub(super) shared: &'s Shared<'l, 'r>,
    pub(super) source: Arc<Source>,
    /// Its number.
    pub(super) member: usize,
    /// The first piece of the run.
    pub(super) first: usize,
    pub(super) hangup: Hangup,
    /// Bytes of the run that came.
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) full: Sender<Full<'r>>,
}

impl<'r> Worker<'_, '_, 'r> {
    /// Fetches what the run has, or comes to have, and reports the end of it.
    pub(super) fn work(&self) {
        let (left, outcome) = if self.shared.list.digests().len() == 1 { self.whole() } else { self.pieces() };
        let end = match &outcome {
            _ if self.hangup.is_pulled() => End::HungUp,
            Ok(()) => End::Well,
            Err(TryError::Source(SourceError::Fetch(FetchError::Status { code: 200, .. }))) => End::NoRanges,
            Err(TryError::Source(error)) if self.source.is_neighbour() && is_busy(error) && self.may_resume() => {
                End::Busy
            }
            Err(_) => End::Failed,
        };
        let mut table = self.shared.table();
        if let Some(piece) = left {
            let index = self.shared.index(piece.range().start);
            table.pieces[index] = Some(piece);
        }
        for index in table.schedule.ended(self.member, end) {
            self.shared.board.dropped(index);
        }
        if let (Err(error), End::Failed | End::NoRanges) = (outcome, end) {
            table.news.push((self.member, error));
        }
        self.shared.stir(table);
    }

    /// Piece by piece; the hash of one goes on while the next one arrives. What is left of one that is not full is for others.
    fn pieces(&self) -> (Option<Piece<'r>>, Result<(), TryError>) {
        let mut sink = InPieces { worker: self, hand: None, filled: 0, position: self.shared.byte(self.first) };
        let outcome = self.fetch(&mut sink);
        (sink.hand, outcome.map_err(TryError::from))
    }

    /// An artifact that is one piece, which is hashed while it arrives.
    fn whole(&self) -> (Option<Piece<'r>>, Result<(), TryError>) {
        let Some(piece) = self.next_piece() else { return (None, Ok(())) };
        let filled = pieces::stream(piece, |filling| self.fetch(&mut InWhole(filling)).map_err(TryError::from));
        match filled {
            Err((piece, TryError::Artifact(error @ ArtifactError::Digest { .. }))) => {
                self.filled();
                self.shared.refuse(self.member, error, piece);
            }
            Err((piece, error)) => return (Some(piece), Err(error)),
            Ok(checked) => {
                self.filled();
                self.shared.accept(self.member, checked);
            }
        }
        (None, Ok(()))
    }

    /// Takes the next piece off the table.
    fn next_piece(&self) -> Option<Piece<'r>> {
        let mut table = self.shared.table();
        let index = table.schedule.next_piece(self.member, self.bytes.load(Ordering::Relaxed), Instant::now())?;
        table.pieces[index].take()
    }

    fn filled(&self) {
        self.shared.table().schedule.filled(self.member, Instant::now());
    }

    /// Asks for the run, and after a cut for what is left of it.
    fn fetch(&self, sink: &mut dyn Sink) -> Result<(), SourceError> {
        let mut at = sink.position();
        let mut came = |position: u64| {
            let count = position.saturating_sub(std::mem::replace(&mut at, position));
            self.bytes.fetch_add(count, Ordering::Relaxed);
        };
        loop {
            let (from, end) = (sink.position(), self.shared.table().schedule.end(self.member));
            let end = end.map_or(from, |end| self.shared.byte(end));
            if from >= end {
                return Ok(());
            }
            let deadline = Instant::now() + GRACE + Duration::from_secs((end - from) / SLOWEST);
            let (hex, size, hangup) = (&self.shared.hex, self.shared.list.size(), &self.hangup);
            match self.source.blob(&Wanted { hex, size, end, deadline, hangup }, sink, &mut came) {
                Err(error) if error.may_resume() && sink.position() > from && self.may_resume() => {}
                outcome => return outcome,
            }
        }
    }

    fn may_resume(&self) -> bool {
        !self.hangup.is_pulled() && self.shared.table().schedule.may_resume(self.member)
    }
}

/// The seam between the two crates that do not know each other: where untrusted bytes go in to be proved.
struct InPieces<'w, 's, 'l, 'r> {
    worker: &'w Worker<'s, 'l, 'r>,
    /// The piece that is being filled, and how many of its bytes are there.
    hand: Option<Piece<'r>>,
    filled: usize,
    position: u64,
}

impl Sink for InPieces<'_, '_, '_, '_> {
    fn space(&mut self) -> &mut [u8] {
        if self.hand.is_none() {
            self.hand = self.worker.next_piece();
        }
        self.hand.as_mut().map_or(&mut [], |piece| &mut piece.bytes()[self.filled..])
    }

    fn filled(&mut self, count: usize) {
        self.filled += count;
        self.position += count as u64;
        let full = |piece: &mut Piece<'_>| piece.bytes().len() <= self.filled;
        let Some(piece) = self.hand.take_if(full) else { return };
        self.filled = 0;
        self.worker.filled();
        let (shared, member) = (self.worker.shared, self.worker.member);
        // Threads can be refused (memory, limits); without one that hashes the boot is only slower.
        if let Err(SendError(full)) = self.worker.full.send(Full { piece, member }) {
            shared.judge(full);
        }
    }

    fn position(&self) -> u64 {
        self.position
    }
}

/// The same for one piece that is hashed while it fills.
struct InWhole<'a, 'p>(&'a mut Filling<'p>);

impl Sink for InWhole<'_, '_> {
    fn space(&mut self) -> &mut [u8] {
        self.0.space()
    }

    fn filled(&mut self, count: usize) {
        self.0.filled(count);
    }

    fn position(&self) -> u64 {
        self.0.position()
    }
}

/// Whether a neighbour that says so may do better later: it is a machine that boots, and has others to give to.
fn is_busy(error: &SourceError) -> bool {
    error.may_resume() || matches!(error, SourceError::Fetch(FetchError::Status { code: 404 | 503, .. }))
}

/// Asks a neighbour what it has.
pub(super) fn ask(shared: &Shared<'_, '_>, source: &Source, member: usize, hangup: &Hangup) {
    let answer = source.holds(&shared.hex, shared.list.digests().len(), hangup);
    let mut table = shared.table();
    match answer {
        Ok(Holds::Some(states)) => table.schedule.has(member, &states, Instant::now()),
        Ok(Holds::All) => {}
        Err(_) if hangup.is_pulled() => {}
        Err(error) if is_busy(&error) && table.schedule.may_resume(member) => {}
        Err(error) => {
            table.schedule.left(member);
            table.news.push((member, error.into()));
        }
    }
    shared.stir(table);
}
