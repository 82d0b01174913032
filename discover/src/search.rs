//! All ways of finding origins at once, and what the origins have: static ones, the directory of the local network, the DHT.
//!
//! A way that finds a place has it asked at once, while the others still look. Nothing is ranked here: every envelope is a
//! candidate, and the newest *verified* version wins elsewhere. A way that fails is a remark, never the end of the search.

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::gather::{Gathered, Request, gather};
use crate::{FetchError, Limits, Origin};

/// Stack of a thread that only waits for others.
const STACK_BYTES: usize = 256 << 10;

/// How often a place on the link is asked that cannot be reached, and the pause between.
const LINK_TRIES: u32 = 6;
const LINK_PAUSE: Duration = Duration::from_millis(500);

/// Where to look, for what and for how long.
#[derive(Debug)]
pub struct Search<'a> {
    /// What is asked for.
    pub request: Request<'a>,
    /// Places that are known.
    pub origins: &'a [Origin],
    /// Whether the directory of the local network is listened to.
    #[cfg(feature = "mdns")]
    pub link: bool,
    /// Whose list of places is looked for in the DHT.
    #[cfg(feature = "dht")]
    pub locator: Option<crate::dht::Locator>,
    /// How https servers that are found prove themselves.
    #[cfg(feature = "tls")]
    pub tls: crate::Tls,
    /// When it ends at the latest.
    pub deadline: Instant,
    /// The local network never says that it is done: with a candidate in hand, this much silence of it is the end.
    pub settle: Duration,
}

/// How a place was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It was given.
    Given,
    /// Somebody on the link offers it.
    Link {
        /// What the offer calls itself.
        name: String,
        /// The version that the offer says. A claim.
        version: Option<u64>,
    },
    /// The list of places in the DHT names it.
    Dht {
        /// The list's sequence number. A claim.
        sequence: u64,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("given"),
            Self::Link { name, version: None } => write!(f, "on this link, '{name}'"),
            Self::Link { name, version: Some(version) } => write!(f, "on this link, '{name}', which offers {version}"),
            Self::Dht { sequence } => write!(f, "from the DHT, list {sequence}"),
        }
    }
}

/// What came of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// Every place that was asked, and how it was found.
    pub places: Vec<(Way, Origin)>,
    /// What the places have.
    pub gathered: Gathered,
    /// What was found and is not used, or did not work: in words for people.
    pub remarks: Vec<String>,
}

/// What a thread of the search tells.
enum News {
    Place(Way, Box<Origin>),
    Remark(String),
    /// A way of finding places is at its end.
    Done,
    Answer(Gathered),
}

/// Looks everywhere at once; returns when every way is at its end and every place has answered, or at the deadline.
pub fn search(search: &Search<'_>) -> Found {
    let (news, arrivals) = mpsc::channel();
    let mut running = Running { found: Found::default(), news, asked: 0, ways: 0, listening: false };
    for origin in search.origins.iter().take(Limits::default().origins) {
        running.ask(Way::Given, origin.clone(), search);
    }
    #[cfg(feature = "mdns")]
    if search.link {
        running.listening = running.way("mdns", link_way(search));
    }
    #[cfg(feature = "dht")]
    if let Some(locator) = &search.locator {
        running.way("locate", dht_way(locator.clone(), search));
    }
    running.collect(&arrivals, search);
    running.found
}

/// A search that goes on.
struct Running {
    found: Found,
    news: Sender<News>,
    /// Places that have not answered.
    asked: usize,
    /// Ways that are not at their end.
    ways: usize,
    /// Whether the local network is one of them.
    listening: bool,
}

impl Running {
    fn collect(&mut self, arrivals: &Receiver<News>, search: &Search<'_>) {
        let mut last = Instant::now();
        while self.goes_on(last, search.settle) {
            let left = search.deadline.saturating_duration_since(Instant::now());
            match arrivals.recv_timeout(left.min(search.settle)) {
                Ok(news) => {
                    last = Instant::now();
                    self.hear(news, search);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < search.deadline => {}
                Err(_) => break,
            }
        }
        // Whoever has not answered by now is named like any other failure; the threads have the same deadline.
        while let Ok(news) = arrivals.recv_timeout(Duration::from_millis(if self.asked > 0 { 50 } else { 0 })) {
            self.hear(news, search);
        }
    }

    fn goes_on(&self, last: Instant, settle: Duration) -> bool {
        let settled = self.listening && !self.found.gathered.candidates.is_empty() && last.elapsed() >= settle;
        self.asked > 0 || self.ways > usize::from(settled)
    }

    fn hear(&mut self, news: News, search: &Search<'_>) {
        match news {
            News::Place(way, origin) => self.ask(way, *origin, search),
            News::Remark(remark) => self.found.remarks.push(remark),
            News::Done => self.ways -= 1,
            News::Answer(mut answer) => {
                self.asked -= 1;
                let gathered = &mut self.found.gathered;
                gathered.candidates.append(&mut answer.candidates);
                gathered.rotations.append(&mut answer.rotations);
                gathered.failures.append(&mut answer.failures);
            }
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
            self.found.remarks.push(format!("{origin} ({way}) was not asked: {most} others came before it"));
            return;
        }
        let Request { channel, arch, epoch } = search.request;
        let (channel, arch) = (channel.to_owned(), arch.to_owned());
        let (asked, deadline, news) = (origin.clone(), search.deadline, self.news.clone());
        let tries = if matches!(way, Way::Link { .. }) { LINK_TRIES } else { 1 };
        let run = move || {
            let request = Request { channel: &channel, arch: &arch, epoch };
            // Nobody listens any more after the search.
            let _ = news.send(News::Answer(ask_again(&asked, &request, tries, deadline)));
        };
        match thread::Builder::new().name("ask".to_owned()).stack_size(STACK_BYTES).spawn(run) {
            Ok(_) => self.asked += 1,
            Err(error) => self.found.remarks.push(format!("{origin} was not asked: {error}")),
        }
        self.found.places.push((way, origin));
    }

    /// Starts a way of finding places; says whether it runs.
    fn way(&mut self, name: &str, find: impl FnOnce(&dyn Fn(News)) + Send + 'static) -> bool {
        let news = self.news.clone();
        let run = move || {
            find(&|found| _ = news.send(found));
            let _ = news.send(News::Done);
        };
        match thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(_) => {
                self.ways += 1;
                true
            }
            Err(error) => {
                self.found.remarks.push(format!("{name}: {error}"));
                false
            }
        }
    }
}

/// Asks a place until it can be reached: on a link that has just come up neither end has its addresses for certain (RFC 4862,
/// duplicate address detection), although each hears the other.
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

/// Listens to the local network until the deadline.
#[cfg(feature = "mdns")]
fn link_way(search: &Search<'_>) -> impl FnOnce(&dyn Fn(News)) + Send + 'static {
    use crate::mdns::{Heard, browse};
    let (channel, arch) = (search.request.channel.to_owned(), search.request.arch.to_owned());
    let deadline = search.deadline;
    move |tell| {
        let mut heard = |heard| match heard {
            Heard::Place(place) => {
                let way = Way::Link { name: place.name, version: place.version };
                tell(News::Place(way, Box::new(place.origin)));
            }
            Heard::Dropped(name, reason) => tell(News::Remark(format!("'{name}' on this link is not used: {reason}"))),
            Heard::Gone(_) => {}
        };
        let outcome = browse(&channel, &arch, deadline, &mut |news| {
            news.into_iter().for_each(&mut heard);
            true
        });
        if let Err(error) = outcome {
            tell(News::Remark(error.to_string()));
        }
    }
}

/// Looks for the list of places in the DHT.
#[cfg(feature = "dht")]
fn dht_way(locator: crate::dht::Locator, search: &Search<'_>) -> impl FnOnce(&dyn Fn(News)) + Send + 'static {
    let (channel, arch) = (search.request.channel.to_owned(), search.request.arch.to_owned());
    let deadline = search.deadline;
    #[cfg(feature = "tls")]
    let tls = search.tls.clone();
    move |tell| match crate::dht::locate(&locator, &channel, &arch, deadline) {
        Ok(located) => {
            for origin in located.origins {
                #[cfg(feature = "tls")]
                let origin = origin.with_tls(tls.clone());
                tell(News::Place(Way::Dht { sequence: located.sequence }, Box::new(origin)));
            }
            for ignored in located.ignored {
                tell(News::Remark(format!("the list in the DHT: {ignored}")));
            }
        }
        Err(error) => tell(News::Remark(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{reply, serve};

    fn given(origins: &[Origin], deadline: Duration) -> Found {
        search(&Search {
            request: Request { channel: "demo", arch: "x86_64", epoch: 1 },
            origins,
            #[cfg(feature = "mdns")]
            link: false,
            #[cfg(feature = "dht")]
            locator: None,
            #[cfg(feature = "tls")]
            tls: crate::Tls::default(),
            deadline: Instant::now() + deadline,
            settle: Duration::from_millis(200),
        })
    }

    fn origin(body: &[u8]) -> Origin {
        let length = body.strip_suffix(b"HOLD").map_or(body.len(), |rest| rest.len() + 1);
        let answer = reply("200 OK", &format!("Content-Length: {length}\r\n"), body);
        // Two connections: the envelope, and the next trust file.
        Origin::parse(&format!("http://{}", serve(vec![answer.clone(), answer]).0)).unwrap()
    }

    #[test]
    fn nowhere_to_look_is_no_wait() {
        let begin = Instant::now();
        let found = given(&[], Duration::from_secs(20));
        assert!(found.places.is_empty() && begin.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_place_is_asked_once_and_all_answers_count() {
        let (here, away) = (origin(b"{}"), Origin::parse("http://127.0.0.1:1").unwrap());
        let found = given(&[here.clone(), away.clone(), here.clone()], Duration::from_secs(20));
        assert_eq!(found.places.len(), 2);
        let from: Vec<_> = found.gathered.candidates.iter().map(|candidate| &*candidate.source).collect();
        assert_eq!(from, [here.base()]);
        assert!(found.gathered.failures.iter().any(|(from, _)| from == away.base()), "{found:?}");
    }

    #[test]
    fn the_deadline_ends_the_search_and_names_who_is_late() {
        let slow = origin(b"{HOLD");
        let begin = Instant::now();
        let found = given(std::slice::from_ref(&slow), Duration::from_millis(500));
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
        let failures: Vec<_> = found.gathered.failures.iter().map(|(from, error)| (&**from, error.kind())).collect();
        assert_eq!(failures, [(slow.base(), "timeout")]);
    }

    #[test]
    fn one_way_has_only_its_share() {
        let away: Vec<_> = (1..=20).map(|n| Origin::parse(&format!("http://127.0.0.{n}:1")).unwrap()).collect();
        let found = given(&away, Duration::from_secs(20));
        assert_eq!(found.places.len(), Limits::default().origins);
    }
}
