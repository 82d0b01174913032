//! Who leads the threads: takes new sources in, hands out runs, hangs up on who is late or lied, and tells people.
//!
//! Nothing here waits for a peer, only for the next look, so that nothing that a peer does keeps this from going on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use discover::Hangup;
use verify::pieces::{CheckedPiece, Piece};
use verify::{ArtifactError, PieceList};

use super::Carrier;
use super::error::TryError;
use super::schedule::{Late, Schedule, Standing};
use super::worker::{self, Full, Shared, Table, Worker};
use crate::progress::Bar;
use crate::share::shelf::Board;
use crate::source::Source;

/// Time between two looks at what everybody does.
const TICK: Duration = Duration::from_millis(100);
/// Time between two redraws of the bar.
const REDRAW: Duration = Duration::from_millis(250);
/// Time between two questions to one neighbour.
const ASK: Duration = Duration::from_millis(250);
/// How long neighbours who have nothing new are waited for when there is nobody else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most threads that hash. One does 300 MB/s without instructions for it.
const HASHING: usize = 4;

/// What is proved now, and who lost, and why.
pub(super) type Outcome<'r> = (Vec<CheckedPiece<'r>>, Vec<(String, TryError)>);

/// Fetches `pieces`, which are all of an artifact, until they are proved or nobody is left to ask.
pub(super) fn fetch<'r>(pieces: Vec<Piece<'r>>, list: &PieceList, board: &Board, carrier: &Carrier<'_>) -> Outcome<'r> {
    let mut schedule = Schedule::new(pieces.len(), list.piece_size());
    if carrier.shelf.is_open() {
        schedule.singly(seed());
    }
    let pieces = pieces.into_iter().map(Some).collect();
    let table = Table { schedule, pieces, checked: Vec::new(), news: Vec::new(), stirred: false };
    let hex = list.sha256().to_string();
    let shared = Shared { list, hex, board, table: Mutex::new(table), changed: Condvar::new() };
    let mut crew = Crew { shared: &shared, carrier, members: Vec::new(), quit: Hangup::default(), tries: Vec::new() };
    std::thread::scope(|scope| {
        let (full, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(HASHING).min(list.digests().len() - 1) {
            let (queue, shared) = (Arc::clone(&queue), &shared);
            // Whoever fills a piece hashes it if nobody else does.
            _ = Builder::new().name("sha256".to_owned()).spawn_scoped(scope, move || shared.hash(&queue));
        }
        drop(queue);
        crew.lead(scope, &full);
    });
    // That somebody sent too much is known only now.
    crew.tell();
    let tries = crew.tries;
    (shared.table.into_inner().unwrap_or_else(PoisonError::into_inner).checked, tries)
}

/// Not secret: it only has to differ from machine to machine.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Before the kernel's pool is ready, the time since the boot has to do.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_le_bytes(bytes),
        _ => rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec.unsigned_abs(),
    }
}

struct Crew<'s, 'l, 'r> {
    shared: &'s Shared<'l, 'r>,
    carrier: &'s Carrier<'s>,
    /// In the order of their numbers.
    members: Vec<Member>,
    /// Ends the questions to neighbours.
    quit: Hangup,
    tries: Vec<(String, TryError)>,
}

struct Member {
    source: Arc<Source>,
    /// Of its last run.
    hangup: Hangup,
    bytes: Arc<AtomicU64>,
    /// When it was asked last what it has.
    asked: Option<Instant>,
    /// There while it is being asked.
    question: Weak<()>,
    /// Whether people were told that it is late.
    told: bool,
}

impl<'s, 'l, 'r> Crew<'s, 'l, 'r>
where
    'l: 's,
    'r: 's,
{
    fn lead<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, full: &Sender<Full<'r>>)
    where
        's: 'scope,
    {
        let mut display = Display::new(self.shared.list, self.carrier);
        let mut moved = (Instant::now(), 0);
        loop {
            self.enlist();
            self.hand_out(scope, full);
            self.tell();
            let table = self.shared.table();
            let (arrived, now) = (table.schedule.arrived(), Instant::now());
            if arrived != moved.1 {
                moved = (now, arrived);
            }
            let waits = table.schedule.waits_for_neighbours() && now.duration_since(moved.0) < PATIENCE;
            // What was stirred since work was handed out may be work for somebody.
            let over = table.schedule.rests() && !table.stirred && !waits;
            if table.schedule.is_complete() || over {
                break;
            }
            drop(self.shared.changed.wait_timeout_while(table, TICK, |table| !table.stirred));
            display.show(arrived);
        }
        self.quit.pull();
        self.members.iter().for_each(|member| member.hangup.pull());
        self.carrier.console.progress_done();
    }

    /// Takes in who joined the pool.
    fn enlist(&mut self) {
        for source in self.carrier.sources.sources() {
            if self.members.iter().any(|member| Arc::ptr_eq(&member.source, &source)) {
                continue;
            }
            let last = self.carrier.sources.is_last(source.name());
            let standing = if last { Standing::SetBack } else { Standing::Good };
            self.shared.table().schedule.join(standing, !source.is_neighbour());
            let (hangup, bytes) = (Hangup::default(), Arc::default());
            self.members.push(Member { source, hangup, bytes, asked: None, question: Weak::new(), told: false });
        }
    }

    /// Gives work to everybody who has none, and takes it from who is late.
    fn hand_out<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, full: &Sender<Full<'r>>)
    where
        's: 'scope,
    {
        let now = Instant::now();
        let mut runs = Vec::new();
        let mut table = self.shared.table();
        table.stirred = false;
        for (number, member) in self.members.iter().enumerate() {
            table.schedule.seen(number, member.bytes.load(Ordering::Relaxed), now);
        }
        while let Some((number, run)) = table.schedule.next_run(now) {
            let member = &mut self.members[number];
            (member.hangup, member.bytes) = (Hangup::default(), Arc::default());
            runs.push((number, run));
        }
        for (number, late) in table.schedule.late(now) {
            self.members[number].hangup.pull();
            table.news.push((number, late.into()));
        }
        drop(table);
        for (number, run) in runs {
            let member = &self.members[number];
            if !member.source.is_neighbour() {
                run.clone().for_each(|index| self.shared.board.fetching(index));
            }
            let worker = Worker {
                shared: self.shared,
                source: Arc::clone(&member.source),
                member: number,
                first: run.start,
                hangup: member.hangup.clone(),
                bytes: Arc::clone(&member.bytes),
                full: full.clone(),
            };
            let other = worker.clone();
            // Without a thread it is done here: nobody looks after it then, and its own deadlines end it.
            if Builder::new().name("fetch".to_owned()).spawn_scoped(scope, move || worker.work()).is_err() {
                other.work();
            }
        }
        self.ask(scope, now);
    }

    /// Asks the neighbours what they have.
    fn ask<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, now: Instant)
    where
        's: 'scope,
    {
        for (number, member) in self.members.iter_mut().enumerate().filter(|(_, member)| member.source.is_neighbour()) {
            let early = member.asked.is_some_and(|asked| now.duration_since(asked) < ASK);
            if early || member.question.strong_count() > 0 || !self.shared.table().schedule.counts(number) {
                continue;
            }
            let question = Arc::new(());
            (member.asked, member.question) = (Some(now), Arc::downgrade(&question));
            let (shared, source, quit) = (self.shared, Arc::clone(&member.source), self.quit.clone());
            // It is asked again if there is no thread for it now.
            let ask = move || {
                worker::ask(shared, &source, number, &quit);
                drop(question);
            };
            _ = Builder::new().name("ask".to_owned()).spawn_scoped(scope, ask);
        }
    }

    /// Says who lost and why, and sees to it that who lied is asked for nothing more.
    fn tell(&mut self) {
        let news = std::mem::take(&mut self.shared.table().news);
        for (number, error) in news {
            let Member { source, hangup, told, .. } = &mut self.members[number];
            match &error {
                TryError::Artifact(ArtifactError::Digest { .. } | ArtifactError::Piece { .. }) => {
                    hangup.pull();
                    self.carrier.sources.ban(source.name());
                }
                TryError::Late(Late::Stalled(_)) => self.carrier.sources.set_back(source.name()),
                _ => {}
            }
            let late = matches!(error, TryError::Late(_));
            if !(late && std::mem::replace(told, true)) {
                self.carrier.console.progress_done();
                self.carrier.console.warn(format_args!("{}: {}: {error}", source.name(), self.shared.list.name()));
            }
            self.tries.retain(|(name, _)| name != source.name());
            self.tries.push((source.name().to_owned(), error));
        }
    }
}

/// The bar, and the sign of life: both only while bytes come.
struct Display<'a> {
    list: &'a PieceList,
    carrier: &'a Carrier<'a>,
    begun: Instant,
    drawn: Instant,
    done: u64,
}

impl<'a> Display<'a> {
    fn new(list: &'a PieceList, carrier: &'a Carrier<'a>) -> Self {
        let begun = Instant::now();
        Self { list, carrier, begun, drawn: begun, done: 0 }
    }

    fn show(&mut self, done: u64) {
        if done != self.done && self.drawn.elapsed() >= REDRAW {
            (self.done, self.drawn) = (done, Instant::now());
            self.carrier.pulse.beat();
            let (name, total, elapsed) = (self.list.name().to_owned(), self.list.size(), self.begun.elapsed());
            self.carrier.console.progress(Bar { name, done, total, elapsed });
        }
    }
}
