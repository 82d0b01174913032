//! What anybody on the link may send to a machine that shares: it is read the same in whatever parts it comes, and the answer is
//! one of docs/formats.md, "Sharing", whose length is what it says.

#![no_main]

use std::sync::Arc;

use init::share::LIMITS;
use init::share::answer::Catalogue;
use init::share::request::parse;
use init::share::shelf::Shelf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    assert!(whole.is_some() || bytes.len() < LIMITS.head_bytes);
    for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        if let Some(earlier) = parse(&bytes[..cut]) {
            assert_eq!(Some(earlier), whole);
        }
    }
    let Some(request) = whole else { return };
    if let Ok(request) = &request {
        assert!(request.path.len() < LIMITS.head_bytes && request.path.bytes().all(|byte| byte.is_ascii_graphic()));
        for size in [1, 1000, u64::MAX] {
            let range = request.part.and_then(|part| part.of(size));
            assert!(range.is_none_or(|range| range.start < range.end && range.end <= size));
        }
    }
    let catalogue = Catalogue {
        channel: "demo".to_owned(),
        arch: "x86_64".to_owned(),
        envelope: b"{}".to_vec(),
        proof: None,
        shelf: Arc::new(Shelf::open()),
    };
    let answer = catalogue.answer(request.as_ref().map_err(|refused| *refused));
    assert!([200, 400, 404, 405, 431].contains(&answer.status) && answer.blob.is_none());
    let end = answer.head.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an empty line") + 4;
    let head_only = request.is_ok_and(|request| request.head_only);
    let length = format!("Content-Length: {}\r\n", if answer.status == 200 { 2 } else { 0 });
    assert!(String::from_utf8_lossy(&answer.head[..end]).contains(&length));
    assert_eq!(answer.head.len() - end, if answer.status == 200 && !head_only { 2 } else { 0 });
});
