//! Gathers the envelopes of all origins at once.
//!
//! What comes back is a list of candidates and a list of failures, one entry per place that was asked, never later than the
//! deadline. Nothing here ranks anything: the newest *verified* version wins, and that is decided elsewhere.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::{FetchError, Limits, Origin};

/// Stack of a thread that asks: a request needs little, and a machine may have little.
const STACK_BYTES: usize = 256 << 10;

/// An envelope that somebody sent. Untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it came from, as a person would name it; for an origin, its base URL.
    pub source: String,
    /// The bytes, as they came.
    pub envelope: Vec<u8>,
}

/// What came of asking everybody.
#[derive(Debug, Default)]
pub struct Gathered {
    /// In the order in which they arrived.
    pub candidates: Vec<Candidate>,
    /// The places that gave nothing, and why.
    pub failures: Vec<(String, FetchError)>,
}

/// One place to ask: what people call it, and the question. Other kinds of sources become other questions.
struct Inquiry {
    source: String,
    ask: Box<dyn FnOnce() -> Result<Vec<u8>, FetchError> + Send>,
}

/// Asks all origins for the envelope of `channel` and `arch` at once; returns when all have answered or at `deadline`.
///
/// An origin that has not answered by then is a failure of kind `timeout`. At most [`Limits::origins`] are asked.
pub fn gather(origins: &[Origin], channel: &str, arch: &str, deadline: Instant) -> Gathered {
    let most = Limits::default().origins;
    let inquiries = origins.iter().take(most).map(|origin| {
        let (origin, channel, arch) = (origin.clone(), channel.to_owned(), arch.to_owned());
        Inquiry { source: origin.to_string(), ask: Box::new(move || origin.envelope(&channel, &arch, deadline)) }
    });
    collect(inquiries, deadline)
}

/// Runs each inquiry on its own thread and collects the answers until `deadline`.
///
/// A thread that is late is left behind: it has the same deadline for its sockets, so it ends by itself soon after.
fn collect(inquiries: impl Iterator<Item = Inquiry>, deadline: Instant) -> Gathered {
    let mut gathered = Gathered::default();
    let (answers, arrivals) = mpsc::channel();
    let mut waiting: Vec<Option<String>> = Vec::new();
    for Inquiry { source, ask } in inquiries {
        let (index, answers) = (waiting.len(), answers.clone());
        let run = move || {
            // Nobody listens after the deadline; the answer is then of no use.
            let _ = answers.send((index, ask()));
        };
        match thread::Builder::new().name("origin".to_owned()).stack_size(STACK_BYTES).spawn(run) {
            Ok(_) => waiting.push(Some(source)),
            Err(error) => {
                waiting.push(None);
                gathered.failures.push((source.clone(), FetchError::Unreachable { url: source, source: error }));
            }
        }
    }
    // From here on the channel closes when the last thread is done.
    drop(answers);

    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok((index, answer)) = arrivals.recv_timeout(left()) {
        let Some(source) = waiting.get_mut(index).and_then(Option::take) else { continue };
        match answer {
            Ok(envelope) => gathered.candidates.push(Candidate { source, envelope }),
            Err(error) => gathered.failures.push((source, error)),
        }
    }
    for source in waiting.into_iter().flatten() {
        let error = FetchError::Timeout { url: source.clone(), phase: "the envelope" };
        gathered.failures.push((source, error));
    }
    gathered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hostile::{reply, serve};

    fn origin(replies: Vec<Vec<u8>>) -> Origin {
        Origin::parse(&format!("http://{}", serve(replies).0)).unwrap()
    }

    #[test]
    fn everybody_is_asked_and_accounted_for() {
        let here = origin(vec![reply("200 OK", "Content-Length: 2\r\n", b"{}")]);
        let lost = origin(vec![reply("404 Not Found", "Content-Length: 0\r\n", b"")]);
        let away = Origin::parse("http://127.0.0.1:1").unwrap();
        let begin = Instant::now();
        let gathered = gather(&[lost.clone(), here.clone(), away], "demo", "x86_64", begin + Duration::from_secs(20));
        assert!(begin.elapsed() < Duration::from_secs(5), "waited although all had answered: {:?}", begin.elapsed());
        assert_eq!(gathered.candidates, [Candidate { source: here.to_string(), envelope: b"{}".to_vec() }]);
        let mut kinds: Vec<_> = gathered.failures.iter().map(|(_, error)| error.kind()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["status", "unreachable"]);
    }

    #[test]
    fn the_deadline_ends_the_wait_and_keeps_what_came() {
        let quick = origin(vec![reply("200 OK", "Content-Length: 2\r\n", b"{}")]);
        let slow = origin(vec![reply("200 OK", "Content-Length: 2\r\n", b"HOLD")]);
        let begin = Instant::now();
        let gathered = gather(&[slow.clone(), quick], "demo", "x86_64", begin + Duration::from_millis(400));
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
        assert_eq!(gathered.candidates.len(), 1);
        assert_eq!(gathered.failures.len(), 1);
        assert_eq!((&*gathered.failures[0].0, gathered.failures[0].1.kind()), (slow.base(), "timeout"));
    }

    #[test]
    fn no_origins_is_no_wait() {
        let gathered = gather(&[], "demo", "x86_64", Instant::now() + Duration::from_mins(1));
        assert!(gathered.candidates.is_empty() && gathered.failures.is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let away = Origin::parse("http://127.0.0.1:1").unwrap();
        let gathered = gather(&vec![away; 20], "demo", "x86_64", Instant::now() + Duration::from_secs(20));
        assert_eq!(gathered.failures.len(), Limits::default().origins);
    }
}
