//! Gathers what all origins have at once: envelopes of releases, and those of trust files that follow the one in force.
//!
//! What comes back is a list of candidates and a list of failures, one entry per place that was asked, never later than the
//! deadline. Nothing here ranks anything: the newest *verified* version wins, and that is decided elsewhere.

use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use crate::{FetchError, Limits, Origin};

/// Stack of a thread that asks: a request needs little, and a machine may have little.
const STACK_BYTES: usize = 256 << 10;

/// The last epoch that there can be (docs/formats.md): no trust file follows it.
pub const LAST_EPOCH: u64 = (1 << 53) - 1;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The channel of the release.
    pub channel: &'a str,
    /// Its architecture.
    pub arch: &'a str,
    /// The epoch of the trust file in force: later ones are asked for.
    pub epoch: u64,
}

/// An envelope that somebody sent. Untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it came from, as a person would name it; for an origin, its base URL.
    pub source: String,
    /// The bytes, as they came.
    pub envelope: Vec<u8>,
    /// The proof that stood beside it, if it was asked for and came.
    pub proof: Option<Vec<u8>>,
}

/// What came of asking everybody.
#[derive(Debug, Default)]
pub struct Gathered {
    /// In the order in which they arrived.
    pub candidates: Vec<Candidate>,
    /// Envelopes of trust files, and where they came from; those of one place in the order of their epochs.
    pub rotations: Vec<(String, Vec<u8>)>,
    /// The places that gave nothing, and why.
    pub failures: Vec<(String, FetchError)>,
}

/// A question; what comes is given to its argument.
type Ask<T> = Box<dyn FnOnce(&mut dyn FnMut(T)) -> Result<(), FetchError> + Send>;

/// One place to ask: what people call it, and the question. Other kinds of sources become other questions.
struct Inquiry<T> {
    source: String,
    /// What is waited for, in words.
    wanted: &'static str,
    ask: Ask<T>,
}

/// What came back to one of the inquiries.
enum Answer<T> {
    Came(usize, T),
    Done(usize, Result<(), FetchError>),
}

/// What an origin has.
enum Document {
    Release(Vec<u8>),
    Rotation(Vec<u8>),
}

/// Asks all origins at once for the envelope of a channel, and for trust files after that of an epoch; returns when all
/// have answered or at `deadline`.
///
/// An origin that has not answered by then is a failure of kind `timeout`. That it has no further trust file is none. At most
/// [`Limits::origins`] are asked.
pub fn gather(origins: &[Origin], request: &Request<'_>, deadline: Instant) -> Gathered {
    let most = Limits::default().origins;
    let Request { channel, arch, epoch } = *request;
    let (channel, arch) = (channel.to_owned(), arch.to_owned());
    let inquiries = origins.iter().take(most).flat_map(|origin| {
        let (release, rotation) = (origin.clone(), origin.clone());
        let (channel, arch) = (channel.clone(), arch.clone());
        let envelope = Inquiry::new(origin, "the envelope", move |came| {
            release.envelope(&channel, &arch, deadline).map(|envelope| came(Document::Release(envelope)))
        });
        let rotations = Inquiry::new(origin, "its trust files", move |came| {
            follow(&rotation, epoch, deadline, &mut |envelope| came(Document::Rotation(envelope)))
        });
        [envelope, rotations]
    });
    let mut gathered = Gathered::default();
    let failures = collect(inquiries, deadline, |source, document| match document {
        Document::Release(envelope) => {
            gathered.candidates.push(Candidate { source: source.to_owned(), envelope, proof: None });
        }
        Document::Rotation(envelope) => gathered.rotations.push((source.to_owned(), envelope)),
    });
    for (source, error) in failures {
        // A place that is away is away for both questions; the one for the release is named.
        if !gathered.failures.iter().any(|(named, _)| *named == source) {
            gathered.failures.push((source, error));
        }
    }
    gathered
}

/// Asks the origins of the candidates for the proofs that stand beside their envelopes, at once; says which failed.
pub fn prove(
    candidates: &mut [Candidate],
    origins: &[Origin],
    (channel, arch): (&str, &str),
    deadline: Instant,
) -> Vec<(String, FetchError)> {
    let inquiries =
        origins.iter().filter(|origin| candidates.iter().any(|it| it.source == origin.base())).map(|origin| {
            let (asked, channel, arch) = (origin.clone(), channel.to_owned(), arch.to_owned());
            Inquiry::new(origin, "the proof", move |came| asked.proof(&channel, &arch, deadline).map(came))
        });
    let inquiries: Vec<_> = inquiries.collect();
    collect(inquiries.into_iter(), deadline, |source, proof| {
        for candidate in candidates.iter_mut().filter(|candidate| candidate.source == source) {
            candidate.proof = Some(proof.clone());
        }
    })
}

/// Asks for one trust file after the other until there is no next one, or none that there is room for.
fn follow(origin: &Origin, epoch: u64, deadline: Instant, came: &mut dyn FnMut(Vec<u8>)) -> Result<(), FetchError> {
    let Limits { rotations, rotation_bytes, .. } = Limits::default();
    let mut left = rotation_bytes;
    for next in (epoch..LAST_EPOCH).map(|last| last + 1).take(rotations) {
        match origin.trust(next, deadline) {
            Ok(envelope) if envelope.len() > left => {
                let url = format!("{}/trust/{next}.dsse.json", origin.base());
                return Err(FetchError::TooMuch { url, wanted: left as u64 });
            }
            Ok(envelope) => {
                left -= envelope.len();
                came(envelope);
            }
            Err(FetchError::Status { code: 404 | 410, .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<T> Inquiry<T> {
    fn new(
        origin: &Origin,
        wanted: &'static str,
        ask: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), FetchError> + Send + 'static,
    ) -> Self {
        Self { source: origin.to_string(), wanted, ask: Box::new(ask) }
    }
}

/// Runs each inquiry on its own thread, gives what comes to `take` with its source until `deadline`, and says which failed,
/// in the order of the inquiries.
///
/// A thread that is late is left behind: it has the same deadline for its sockets, so it ends by itself soon after.
fn collect<T: Send + 'static>(
    inquiries: impl Iterator<Item = Inquiry<T>>,
    deadline: Instant,
    mut take: impl FnMut(&str, T),
) -> Vec<(String, FetchError)> {
    let mut failures = Vec::new();
    let (answers, arrivals) = mpsc::channel();
    let mut waiting: Vec<Option<(String, &'static str)>> = Vec::new();
    for Inquiry { source, wanted, ask } in inquiries {
        let (index, answers) = (waiting.len(), answers.clone());
        let run = move || answer(index, ask, &answers);
        match thread::Builder::new().name("origin".to_owned()).stack_size(STACK_BYTES).spawn(run) {
            Ok(_) => waiting.push(Some((source, wanted))),
            Err(error) => {
                waiting.push(None);
                failures.push((index, source.clone(), FetchError::Unreachable { url: source, source: error }));
            }
        }
    }
    // From here on the channel closes when the last thread is done.
    drop(answers);

    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok(answer) = arrivals.recv_timeout(left()) {
        match answer {
            Answer::Came(index, document) => {
                if let Some(Some((source, _))) = waiting.get(index) {
                    take(source, document);
                }
            }
            Answer::Done(index, result) => {
                let source = waiting.get_mut(index).and_then(Option::take);
                if let (Some((source, _)), Err(error)) = (source, result) {
                    failures.push((index, source, error));
                }
            }
        }
    }
    let late = waiting.into_iter().enumerate().filter_map(|(index, late)| Some((index, late?)));
    failures.extend(late.map(|(index, (url, phase))| (index, url.clone(), FetchError::Timeout { url, phase })));
    failures.sort_by_key(|(index, ..)| *index);
    failures.into_iter().map(|(_, source, error)| (source, error)).collect()
}

/// Puts the question. Nobody listens after the deadline; what comes then is of no use.
fn answer<T>(index: usize, ask: Ask<T>, answers: &Sender<Answer<T>>) {
    let result = ask(&mut |document| _ = answers.send(Answer::Came(index, document)));
    _ = answers.send(Answer::Done(index, result));
}

#[cfg(test)]
mod tests;
