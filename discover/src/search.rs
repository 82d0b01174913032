//! All ways of finding origins at once, and what the origins have: static ones, the directory of the local network, the DHT.
//!
//! A way that finds a place has it asked at once, while the others still look. Nothing is ranked here: every envelope is a
//! candidate, and the newest *verified* version wins elsewhere. A way that fails is a remark, never the end of the search.

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::gather::{Gathered, Request, gather};
use crate::{FetchError, Limits, Locator, Origin, Proxy};

/// Stack of a thread that only waits for others.
const STACK_BYTES: usize = 256 << 10;

/// How often a place on the link is asked that cannot be reached, and the pause between.
const LINK_TRIES: u32 = 6;
const LINK_PAUSE: Duration = Duration::from_millis(500);

/// How often it is looked whether there is more to wait for.
const TICK: Duration = Duration::from_millis(100);

/// How long after the deadline its last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Where to look, for what and for how long.
#[derive(Debug)]
pub struct Search<'a> {
    /// What is asked for.
    pub request: Request<'a>,
    /// Places that are known, and how they came to be.
    pub places: &'a [(Way, Origin)],
    /// Whether the directory of the local network is listened to.
    pub link: bool,
    /// Whose list of places is looked for in the DHT.
    pub locator: Option<&'a Locator>,
    /// How the places of that list are asked.
    pub manner: &'a Manner,
    /// When it ends at the latest.
    pub deadline: Instant,
    /// The local network never says that it is done: with a release in hand, this much silence of it is the end.
    pub settle: Duration,
    /// With a release in hand, the DHT is waited for so long, from the beginning on.
    pub patience: Duration,
}

/// How places on any network are asked.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// The proxy that leads to them.
    pub proxy: Option<Proxy>,
    /// How https servers prove themselves.
    #[cfg(feature = "tls")]
    pub tls: crate::Tls,
}

impl Manner {
    /// The place, asked in this manner.
    #[must_use]
    pub fn of(&self, origin: Origin) -> Origin {
        #[cfg(feature = "tls")]
        let origin = origin.with_tls(self.tls.clone());
        match &self.proxy {
            Some(proxy) => origin.through(proxy),
            None => origin,
        }
    }
}

/// How a place was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It was given.
    Given,
    /// A DHCP server named it.
    Dhcp,
    /// Somebody on the link offers it.
    Link {
        /// What the offer calls itself.
        name: String,
        /// The version that the offer says. A claim.
        version: Option<u64>,
        /// Whether it has only what it got so far (docs/formats.md, "Sharing").
        shares: bool,
    },
    /// The list of places in the DHT names it.
    Dht {
        /// The list's sequence number. A claim.
        sequence: u64,
    },
}

impl Way {
    /// How often a place that was found so is asked until it can be reached: on a link that has just come up neither end has
    /// its addresses for certain (RFC 4862, duplicate address detection), although each hears the other.
    fn tries(&self) -> u32 {
        match self {
            Self::Given | Self::Dht { .. } => 1,
            Self::Dhcp | Self::Link { .. } => LINK_TRIES,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("given"),
            Self::Dhcp => f.write_str("from the DHCP server"),
            Self::Link { name, version: None, .. } => write!(f, "on this link, '{name}'"),
            Self::Link { name, version: Some(version), .. } => {
                write!(f, "on this link, '{name}', which offers {version}")
            }
            Self::Dht { sequence } => write!(f, "from the DHT, list {sequence}"),
        }
    }
}

/// What was found and is not used, or a way that did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The reason in one short stable word, for markers and scripts.
    pub kind: &'static str,
    /// The same in words for people.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What came of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// Every place that was asked, and how it was found.
    pub places: Vec<(Way, Origin)>,
    /// What the places have.
    pub gathered: Gathered,
    /// What was found and is not used, and what did not work.
    pub remarks: Vec<Remark>,
}

impl Found {
    fn remark(&mut self, kind: &'static str, text: String) {
        self.keep(Remark { kind, text });
    }

    /// Keeps a remark, up to [`Limits::remarks`]; the last one says that there were more.
    fn keep(&mut self, remark: Remark) {
        let most = Limits::default().remarks;
        if self.remarks.len() + 1 < most {
            self.remarks.push(remark);
        } else if self.remarks.len() < most {
            self.remarks.push(Remark { kind: "too-many", text: "more is not used than is listed here".to_owned() });
        }
    }
}

/// A way of finding places that is at work while others are asked.
#[derive(Debug, Clone, Copy)]
enum Directory {
    Link,
    Dht,
}

/// What a thread of the search tells.
enum News {
    #[cfg_attr(
        not(any(feature = "dht", feature = "mdns")),
        expect(dead_code, reason = "no directory is in this build")
    )]
    Place(Way, Box<Origin>),
    Remark(Remark),
    /// A way of finding places is at its end.
    Done(Directory),
    Answer(Gathered),
}

/// Looks everywhere at once; returns when every way is at its end and every place has answered, or at the deadline. Whether
/// what was gathered holds a release is the caller's to say, who can verify it: whoever sends rubbish ends no wait.
pub fn search(search: &Search<'_>, in_hand: &dyn Fn(&Gathered) -> bool) -> Found {
    let (news, arrivals) = mpsc::channel();
    let mut running = Running {
        found: Found::default(),
        news,
        begun: Instant::now(),
        asked: 0,
        listening: false,
        locating: false,
        judge: in_hand,
        in_hand: false,
    };
    for (way, origin) in search.places.iter().take(2 * Limits::default().origins) {
        running.ask(way.clone(), origin.clone(), search);
    }
    if search.link {
        running.listening = running.start(Directory::Link, link_way(search));
    }
    if let Some(locator) = search.locator {
        running.locating = running.start(Directory::Dht, dht_way(locator.clone(), search));
    }
    running.collect(&arrivals, search);
    running.conclude(search);
    running.found
}

/// A search that goes on.
struct Running<'a> {
    found: Found,
    news: Sender<News>,
    begun: Instant,
    /// Places that have not answered.
    asked: usize,
    /// Whether the local network is listened to.
    listening: bool,
    /// Whether the DHT is being asked.
    locating: bool,
    /// Whether a release is in what was gathered.
    judge: &'a dyn Fn(&Gathered) -> bool,
    /// What it said last.
    in_hand: bool,
}

impl Running<'_> {
    fn collect(&mut self, arrivals: &Receiver<News>, search: &Search<'_>) {
        let mut last = Instant::now();
        while self.goes_on(last, search) {
            let left = search.deadline.saturating_duration_since(Instant::now());
            match arrivals.recv_timeout(left.min(TICK)) {
                Ok(news) => {
                    last = Instant::now();
                    self.hear(news, search);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < search.deadline => {}
                Err(_) => break,
            }
        }
        self.hear_last_words(arrivals, search);
    }

    /// Who works to the same deadline says at it what was not reached, and is waited for, but not for long.
    fn hear_last_words(&mut self, arrivals: &Receiver<News>, search: &Search<'_>) {
        let end = Instant::now() + LAST_WORDS;
        let at_deadline = Instant::now() >= search.deadline;
        loop {
            let awaited = self.asked > 0 || (at_deadline && (self.listening || self.locating));
            let left = if awaited { end.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            match arrivals.recv_timeout(left) {
                Ok(news) => self.hear(news, search),
                Err(_) => return,
            }
        }
    }

    fn goes_on(&self, last: Instant, search: &Search<'_>) -> bool {
        let listening = self.listening && !(self.in_hand && last.elapsed() >= search.settle);
        let locating = self.locating && !(self.in_hand && self.begun.elapsed() >= search.patience);
        self.asked > 0 || listening || locating
    }

    fn hear(&mut self, news: News, search: &Search<'_>) {
        match news {
            News::Place(way, origin) => self.ask(way, *origin, search),
            News::Remark(remark) => self.found.keep(remark),
            News::Done(Directory::Link) => self.listening = false,
            News::Done(Directory::Dht) => self.locating = false,
            News::Answer(mut answer) => {
                self.asked -= 1;
                let gathered = &mut self.found.gathered;
                gathered.candidates.append(&mut answer.candidates);
                gathered.rotations.append(&mut answer.rotations);
                gathered.failures.append(&mut answer.failures);
                self.in_hand = (self.judge)(gathered);
            }
        }
    }

    /// Says of what was silent to the end that it was.
    fn conclude(&mut self, search: &Search<'_>) {
        if self.locating && self.in_hand {
            let seconds = self.begun.elapsed().as_secs();
            self.found.remark("timeout", format!("the DHT was not waited for any longer after {seconds} s"));
        }
        let heard = self.found.places.iter().any(|(way, _)| matches!(way, Way::Link { .. }));
        if cfg!(feature = "mdns") && search.link && !heard && self.found.gathered.candidates.is_empty() {
            let Request { channel, arch, .. } = search.request;
            let text =
                format!("nobody on this link offers channel {channel} for {arch}; `phase serve --advertise` does");
            // It stands before what others on the link offer.
            self.found.remarks.insert(0, Remark { kind: "not-found", text });
        }
    }

    /// Asks a place on a thread of its own, once; a way can fill only its own share of the places.
    fn ask(&mut self, way: Way, origin: Origin, search: &Search<'_>) {
        let same_way = |other: &Way| std::mem::discriminant(other) == std::mem::discriminant(&way);
        let most = Limits::default().origins;
        if self.found.places.iter().any(|(_, known)| known.base() == origin.base()) {
            return;
        }
        if self.found.places.iter().filter(|(other, _)| same_way(other)).count() >= most {
            self.found.remark("too-many", format!("{origin} ({way}) was not asked: {most} others came before it"));
            return;
        }
        let Request { channel, arch, epoch } = search.request;
        let (channel, arch) = (channel.to_owned(), arch.to_owned());
        let (asked, deadline, news) = (origin.clone(), search.deadline, self.news.clone());
        let tries = way.tries();
        let run = move || {
            let request = Request { channel: &channel, arch: &arch, epoch };
            // Nobody listens any more after the search.
            let _ = news.send(News::Answer(ask_again(&asked, &request, tries, deadline)));
        };
        match thread::Builder::new().name("ask".to_owned()).stack_size(STACK_BYTES).spawn(run) {
            Ok(_) => self.asked += 1,
            Err(error) => self.found.remark("thread", format!("{origin} was not asked: {error}")),
        }
        self.found.places.push((way, origin));
    }

    /// Starts a way of finding places; says whether it runs.
    fn start(&mut self, directory: Directory, find: impl FnOnce(&dyn Fn(News)) + Send + 'static) -> bool {
        let news = self.news.clone();
        let run = move || {
            find(&|found| _ = news.send(found));
            let _ = news.send(News::Done(directory));
        };
        let name = match directory {
            Directory::Link => "mdns",
            Directory::Dht => "locate",
        };
        match thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(_) => true,
            Err(error) => {
                self.found.remark("thread", format!("{name}: {error}"));
                false
            }
        }
    }
}

/// Asks a place until it can be reached.
fn ask_again(place: &Origin, request: &Request<'_>, tries: u32, deadline: Instant) -> Gathered {
    let mut gathered = gather(std::slice::from_ref(place), request, deadline);
    for _ in 1..tries {
        let away = gathered.failures.iter().any(|(_, error)| matches!(error, FetchError::Unreachable { .. }));
        if !gathered.candidates.is_empty() || !away || Instant::now() + LINK_PAUSE >= deadline {
            break;
        }
        thread::sleep(LINK_PAUSE);
        gathered = gather(std::slice::from_ref(place), request, deadline);
    }
    gathered
}

fn told(kind: &'static str, text: String) -> News {
    News::Remark(Remark { kind, text })
}

/// Listens to the local network until the deadline.
#[cfg(feature = "mdns")]
fn link_way(search: &Search<'_>) -> impl FnOnce(&dyn Fn(News)) + Send + 'static {
    use crate::mdns::{Heard, browse};
    let (channel, arch) = (search.request.channel.to_owned(), search.request.arch.to_owned());
    let deadline = search.deadline;
    move |tell| {
        let mut heard = |heard| match heard {
            Heard::Place(place) => {
                let way = Way::Link { name: place.name, version: place.version, shares: place.shares };
                tell(News::Place(way, Box::new(place.origin)));
            }
            Heard::Dropped(name, reason) => {
                tell(told("dropped", format!("'{name}' on this link is not used: {reason}")));
            }
            Heard::Gone(_) => {}
        };
        let outcome = browse(&channel, &arch, deadline, &mut |news| {
            news.into_iter().for_each(&mut heard);
            true
        });
        if let Err(error) = outcome {
            tell(told("mdns", error.to_string()));
        }
    }
}

/// A build without multicast DNS hears nobody, and says so.
#[cfg(not(feature = "mdns"))]
fn link_way(_: &Search<'_>) -> impl FnOnce(&dyn Fn(News)) + Send + 'static {
    |tell| tell(told("not-built", "nobody on this link is heard: this build has no multicast DNS".to_owned()))
}

/// Looks for the list of places in the DHT.
#[cfg(feature = "dht")]
fn dht_way(locator: Locator, search: &Search<'_>) -> impl FnOnce(&dyn Fn(News)) + Send + 'static {
    let (channel, arch) = (search.request.channel.to_owned(), search.request.arch.to_owned());
    let (deadline, manner) = (search.deadline, search.manner.clone());
    move |tell| match crate::dht::locate(&locator, &channel, &arch, deadline) {
        Ok(located) => {
            for origin in located.origins {
                let way = Way::Dht { sequence: located.sequence };
                tell(News::Place(way, Box::new(manner.of(origin))));
            }
            for ignored in located.ignored {
                tell(told("dropped", format!("the list in the DHT: {ignored}")));
            }
        }
        Err(error) => tell(told(error.kind(), error.to_string())),
    }
}

/// A build without the DHT looks for no list, and says so.
#[cfg(not(feature = "dht"))]
fn dht_way(_: Locator, _: &Search<'_>) -> impl FnOnce(&dyn Fn(News)) + Send + 'static {
    |tell| tell(told("not-built", "no list of places is looked for: this build has no DHT".to_owned()))
}

#[cfg(test)]
mod tests;
