//! Many origins at once, against real sockets.

use std::time::Duration;

use super::*;
use crate::hostile::{reply, serve, serve_tree};

const DEMO: Request<'static> = Request { channel: "demo", arch: "x86_64", epoch: 1 };

fn away() -> Origin {
    Origin::parse("http://127.0.0.1:1").unwrap()
}

/// An origin that answers each path with the bytes beside it, and everything else with 404.
fn origin(files: &[(&'static str, &'static [u8])]) -> Origin {
    let answers = files.iter().map(|(path, body)| {
        let length = format!("Content-Length: {}\r\n", body.strip_suffix(b"HOLD").map_or(body.len(), |_| 9999));
        (*path, reply("200 OK", &length, body))
    });
    Origin::parse(&format!("http://{}", serve_tree(answers.collect()))).unwrap()
}

/// How long somebody who says nothing is waited for, if no deadline ends it (`Limits::idle`).
const PATIENCE: Duration = Duration::from_secs(15);

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn everybody_is_asked_and_accounted_for() {
    let here = origin(&[("/demo/x86_64/manifest.dsse.json", b"{}")]);
    let lost = origin(&[]);
    let begin = Instant::now();
    let gathered = gather(&[lost.clone(), here.clone(), away()], &DEMO, soon());
    assert!(begin.elapsed() < Duration::from_secs(15), "waited although all had answered: {:?}", begin.elapsed());
    let found = Candidate { source: here.to_string(), envelope: b"{}".to_vec(), proof: None };
    assert_eq!(gathered.candidates, [found]);
    assert!(gathered.rotations.is_empty());
    let mut kinds: Vec<_> = gathered.failures.iter().map(|(_, error)| error.kind()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["status", "unreachable"],
        "one failure of each place, and none for a trust file that is not there"
    );
}

#[test]
fn trust_files_are_asked_for_until_there_is_no_next_one() {
    let here = origin(&[
        ("/demo/x86_64/manifest.dsse.json", b"{}"),
        ("/trust/2.dsse.json", b"two"),
        ("/trust/3.dsse.json", b"three"),
        ("/trust/5.dsse.json", b"five"),
    ]);
    let gathered = gather(std::slice::from_ref(&here), &DEMO, soon());
    let envelopes: Vec<_> = gathered.rotations.iter().map(|(source, bytes)| (&**source, &**bytes)).collect();
    assert_eq!(envelopes, [(here.base(), &b"two"[..]), (here.base(), b"three")]);
    assert!(gathered.failures.is_empty(), "{:?}", gathered.failures);
    let later = gather(&[here], &Request { epoch: 4, ..DEMO }, soon());
    assert_eq!(later.rotations.len(), 1);
}

#[test]
fn nothing_is_asked_for_that_cannot_be() {
    let (address, requests) = serve(vec![reply("200 OK", "Content-Length: 2\r\n", b"{}"); 2]);
    let here = Origin::parse(&format!("http://{address}")).unwrap();
    let paths =
        || -> Vec<_> { requests.try_iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect() };
    let gathered = gather(std::slice::from_ref(&here), &Request { epoch: LAST_EPOCH, ..DEMO }, soon());
    assert_eq!((gathered.candidates.len(), gathered.failures.len()), (1, 0));
    assert_eq!(paths(), ["/demo/x86_64/manifest.dsse.json"]);
    follow(&here, LAST_EPOCH - 1, soon(), &mut |_| ()).unwrap();
    assert_eq!(paths(), ["/trust/9007199254740991.dsse.json"]);
}

#[test]
fn a_trust_file_that_fails_is_said_and_costs_no_release() {
    let here = origin(&[("/demo/x86_64/manifest.dsse.json", b"{}"), ("/trust/2.dsse.json", b"HOLD")]);
    let begin = Instant::now();
    let gathered = gather(&[here], &DEMO, begin + Duration::from_secs(2));
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(gathered.candidates.len(), 1);
    assert_eq!(gathered.failures.len(), 1);
    assert_eq!(gathered.failures[0].1.kind(), "timeout");
}

#[test]
fn the_trust_files_of_one_origin_have_a_limit_together() {
    const LARGE: &[u8] = &[b' '; 128 << 10];
    let paths = [
        "/demo/x86_64/manifest.dsse.json",
        "/trust/2.dsse.json",
        "/trust/3.dsse.json",
        "/trust/4.dsse.json",
        "/trust/5.dsse.json",
        "/trust/6.dsse.json",
        "/trust/7.dsse.json",
        "/trust/8.dsse.json",
        "/trust/9.dsse.json",
        "/trust/10.dsse.json",
    ];
    let files = paths.map(|path| (path, LARGE));
    let greedy = || origin(&files);
    let honest = origin(&[("/trust/2.dsse.json", b"two")]);
    let origins = [greedy(), greedy(), honest.clone()];
    let gathered = gather(&origins, &DEMO, soon());
    let from = |origin: &Origin| gathered.rotations.iter().filter(|(source, _)| source == origin.base()).count();
    assert_eq!(origins.each_ref().map(from), [8, 8, 1]);
    let (_, error) = gathered.failures.iter().find(|(source, _)| source == origins[0].base()).unwrap();
    assert!(error.to_string().contains("/trust/10.dsse.json"), "{error}");
}

#[test]
fn a_proof_comes_to_the_candidate_of_its_place() {
    let logged =
        origin(&[("/demo/x86_64/manifest.dsse.json", b"{}"), ("/demo/x86_64/manifest.sigsum-proof", b"proof")]);
    let bare = origin(&[("/demo/x86_64/manifest.dsse.json", b"{}")]);
    let origins = [logged.clone(), bare.clone(), away()];
    let mut gathered = gather(&origins, &DEMO, soon());
    let failures = prove(&mut gathered.candidates, &origins, ("demo", "x86_64"), soon());
    for candidate in &gathered.candidates {
        let wanted = (candidate.source == logged.base()).then(|| b"proof".to_vec());
        assert_eq!(candidate.proof, wanted, "{}", candidate.source);
    }
    assert_eq!(failures.len(), 1, "only who has a candidate is asked: {failures:?}");
    assert_eq!((&*failures[0].0, failures[0].1.kind()), (bare.base(), "status"));
}

#[test]
fn the_deadline_ends_the_wait_and_keeps_what_came() {
    let quick = origin(&[("/demo/x86_64/manifest.dsse.json", b"{}")]);
    let slow = origin(&[("/demo/x86_64/manifest.dsse.json", b"HOLD")]);
    let begin = Instant::now();
    let gathered = gather(&[slow.clone(), quick], &DEMO, begin + Duration::from_secs(2));
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(gathered.candidates.len(), 1);
    assert_eq!(gathered.failures.len(), 1);
    assert_eq!((&*gathered.failures[0].0, gathered.failures[0].1.kind()), (slow.base(), "timeout"));
}

#[test]
fn no_origins_is_no_wait() {
    let gathered = gather(&[], &DEMO, Instant::now() + Duration::from_mins(1));
    assert!(gathered.candidates.is_empty() && gathered.failures.is_empty());
}

#[test]
fn a_long_list_is_cut() {
    let many: Vec<Origin> = (1..=20).map(|port| Origin::parse(&format!("http://127.0.0.1:{port}")).unwrap()).collect();
    let gathered = gather(&many, &DEMO, soon());
    assert_eq!(gathered.failures.len(), Limits::default().origins);
}
