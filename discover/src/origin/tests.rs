//! Each way in which a server can lie, against a real socket.

use std::time::Duration;

use super::*;
use crate::hostile::{reply, serve};

const HEX: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

/// A sink that gives its memory in pieces of at most `piece` bytes.
struct Buffer {
    bytes: Vec<u8>,
    got: usize,
    piece: usize,
}

impl Buffer {
    fn of(size: usize) -> Self {
        Self { bytes: vec![0; size], got: 0, piece: 3 }
    }
}

impl Sink for Buffer {
    fn space(&mut self) -> &mut [u8] {
        let end = self.bytes.len().min(self.got + self.piece);
        &mut self.bytes[self.got..end]
    }
    fn filled(&mut self, n: usize) {
        self.got += n;
    }
    fn position(&self) -> u64 {
        self.got as u64
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn fetch(replies: Vec<Vec<u8>>, sink: &mut Buffer) -> Result<(), FetchError> {
    let (address, _) = serve(replies);
    let origin = Origin::parse(&format!("http://{address}/tree")).unwrap();
    let size = sink.bytes.len() as u64;
    origin.blob(HEX, size, size, sink, soon(), &mut |_| {})
}

fn blob_error(answer: Vec<u8>) -> FetchError {
    fetch(vec![answer], &mut Buffer::of(10)).unwrap_err()
}

#[test]
fn a_name_that_is_no_component_asks_nothing() {
    let origin = Origin::parse("http://127.0.0.1:1").unwrap();
    for name in ["", ".", "..", "a/b", "A", "a%2f", &"a".repeat(65)] {
        assert_eq!(origin.envelope(name, "x86_64", soon()).unwrap_err().kind(), "name", "{name}");
    }
}

#[test]
fn an_envelope_arrives_as_it_is() {
    let (address, seen) = serve(vec![reply("200 OK", "Content-Length: 5\r\n", b"hello")]);
    let origin = Origin::parse(&format!("http://{address}/tree/")).unwrap();
    assert_eq!(origin.envelope("demo", "x86_64", soon()).unwrap(), b"hello");
    let request = seen.recv().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /tree/demo/x86_64/manifest.dsse.json http/1.1\r\n"), "{request}");
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
    assert!(request.contains("user-agent: phase-boot/"), "{request}");
}

#[test]
fn an_envelope_has_a_limit_announced_or_not() {
    let limits = Limits { envelope_bytes: 4, ..Limits::default() };
    for (headers, seen) in [("Content-Length: 5\r\n", "offers 5"), ("", "more than the 4")] {
        let (address, _) = serve(vec![reply("200 OK", headers, b"hello")]);
        let origin = Origin::with_limits(&format!("http://{address}"), limits.clone()).unwrap();
        let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
        assert_eq!(error.kind(), "too-much");
        assert!(error.to_string().contains(seen), "{error}");
    }
}

#[test]
fn an_envelope_that_is_cut_is_not_an_envelope() {
    let (address, _) = serve(vec![reply("200 OK", "Content-Length: 9\r\n", b"hello")]);
    let origin = Origin::parse(&format!("http://{address}")).unwrap();
    let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
    assert!(matches!(error, FetchError::Cut { got: 5, wanted: 9, .. }), "{error:?}");
}

#[test]
fn a_blob_arrives_in_place_with_progress() {
    let (address, _) = serve(vec![reply("200 OK", "Content-Length: 10\r\n", b"0123456789")]);
    let origin = Origin::parse(&format!("http://{address}")).unwrap();
    let (mut sink, mut told) = (Buffer::of(10), Vec::new());
    origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |bytes| told.push(bytes)).unwrap();
    assert_eq!(sink.bytes, b"0123456789");
    assert_eq!(told.last(), Some(&10));
    assert!(told.len() >= 4 && told.is_sorted(), "{told:?}");
}

#[test]
fn a_large_blob_is_the_same_behind_the_librarys_buffer() {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let (address, _) = serve(vec![reply("200 OK", "Content-Length: 3000000\r\n", &bytes)]);
    let origin = Origin::parse(&format!("http://{address}")).unwrap();
    let mut sink = Buffer { piece: 77_777, ..Buffer::of(bytes.len()) };
    origin.blob(HEX, 3_000_000, 3_000_000, &mut sink, soon(), &mut |_| {}).unwrap();
    assert!(sink.bytes == bytes);
}

#[test]
fn a_blob_without_length_or_in_chunks_is_accepted() {
    for answer in [
        reply("200 OK", "", b"0123456789"),
        reply("200 OK", "Transfer-Encoding: chunked\r\n", b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"),
    ] {
        let mut sink = Buffer::of(10);
        fetch(vec![answer], &mut sink).unwrap();
        assert_eq!(sink.bytes, b"0123456789");
    }
}

#[test]
fn a_wrong_length_is_refused_before_a_byte() {
    let more = blob_error(reply("200 OK", "Content-Length: 11\r\n", b"0123456789x"));
    assert!(matches!(more, FetchError::Length { seen: 11, wanted: 10, .. }), "{more:?}");
    assert_eq!(more.kind(), "too-much");
    let less = blob_error(reply("200 OK", "Content-Length: 9\r\n", b"012345678"));
    assert_eq!(less.kind(), "length");
}

#[test]
fn surplus_bytes_are_noticed() {
    for answer in [
        reply("200 OK", "", b"0123456789x"),
        reply("200 OK", "Transfer-Encoding: chunked\r\n", b"b\r\n0123456789x\r\n0\r\n\r\n"),
    ] {
        let error = blob_error(answer);
        assert!(matches!(error, FetchError::TooMuch { wanted: 10, .. }), "{error:?}");
    }
}

#[test]
fn a_cut_is_counted_and_resumed() {
    let (address, seen) = serve(vec![
        reply("200 OK", "Content-Length: 10\r\n", b"0123"),
        reply("206 Partial Content", "Content-Length: 6\r\nContent-Range: bytes 4-9/10\r\n", b"456789"),
    ]);
    let origin = Origin::parse(&format!("http://{address}")).unwrap();
    let mut sink = Buffer::of(10);
    let error = origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::Cut { got: 4, wanted: 10, .. }), "{error:?}");
    assert!(error.may_resume());
    origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |_| {}).unwrap();
    assert_eq!(sink.bytes, b"0123456789");
    assert!(!seen.recv().unwrap().to_ascii_lowercase().contains("range:"));
    assert!(seen.recv().unwrap().to_ascii_lowercase().contains("range: bytes=4-\r\n"));
    // Complete: nobody is asked, and nobody listens any more.
    origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |_| {}).unwrap();
}

#[test]
fn only_the_exact_rest_continues_a_blob() {
    let rest = |status: &str, headers: &str| {
        let mut sink = Buffer::of(10);
        sink.got = 4;
        fetch(vec![reply(status, headers, b"456789")], &mut sink).unwrap_err()
    };
    let over = rest("200 OK", "Content-Length: 10\r\n");
    assert!(matches!(over, FetchError::Status { code: 200, wanted: 206, .. }), "{over:?}");
    for range in ["bytes 3-9/10", "bytes 4-9/11", "bytes 4-8/10", "bytes 4-9/*"] {
        let error = rest("206 Partial Content", &format!("Content-Range: {range}\r\n"));
        assert!(matches!(&error, FetchError::Range { wanted, .. } if wanted == "bytes 4-9/10"), "{error:?}");
    }
    assert_eq!(rest("206 Partial Content", "").kind(), "range");
}

#[test]
fn a_part_in_the_middle_is_asked_for_and_taken_as_strictly() {
    let middle = |status: &str, headers: &str, body: &[u8]| {
        let (address, seen) = serve(vec![reply(status, headers, body)]);
        let origin = Origin::parse(&format!("http://{address}")).unwrap();
        let mut sink = Buffer::of(10);
        sink.got = 4;
        let outcome = origin.blob(HEX, 10, 7, &mut sink, soon(), &mut |_| {});
        assert!(seen.recv().unwrap().to_ascii_lowercase().contains("range: bytes=4-6\r\n"));
        outcome.map(|()| sink)
    };
    let partial = "206 Partial Content";
    let sink = middle(partial, "Content-Length: 3\r\nContent-Range: bytes 4-6/10\r\n", b"456").unwrap();
    assert_eq!((sink.got, &sink.bytes[..]), (7, &b"\0\0\0\x00456\0\0\0"[..]));
    for (status, range, body, kind) in [
        ("200 OK", "", "0123456789", "status"),
        (partial, "bytes 4-9/10", "456789", "range"),
        (partial, "bytes 4-6/11", "456", "range"),
        (partial, "bytes 3-6/10", "3456", "range"),
        (partial, "bytes 4-6/10", "4567", "too-much"),
        (partial, "bytes 4-6/10", "45", "cut"),
    ] {
        let refused = middle(status, &format!("Content-Range: {range}\r\n"), body.as_bytes()).err();
        assert_eq!(refused.map(|error| error.kind()), Some(kind), "{status} {range} {body}");
    }
}

#[test]
fn a_sink_that_wants_no_more_ends_the_transfer() {
    struct Weary(Buffer);
    impl Sink for Weary {
        fn space(&mut self) -> &mut [u8] {
            if self.0.got >= 4 { &mut [] } else { self.0.space() }
        }
        fn filled(&mut self, n: usize) {
            self.0.filled(n);
        }
        fn position(&self) -> u64 {
            self.0.position()
        }
    }
    // The server never sends the rest, nor ends: nobody waits for it.
    let (address, _) = serve(vec![reply("200 OK", "Content-Length: 10\r\n", b"0123456HOLD")]);
    let origin = Origin::parse(&format!("http://{address}")).unwrap();
    let (begin, mut sink) = (Instant::now(), Weary(Buffer::of(10)));
    origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |_| {}).unwrap();
    assert_eq!((sink.0.got, &sink.0.bytes[..6]), (6, &b"012345"[..]));
    assert!(begin.elapsed() < Limits::default().idle, "{:?}", begin.elapsed());
}

#[test]
fn other_answers_are_named() {
    assert!(matches!(
        blob_error(reply("404 Not Found", "Content-Length: 0\r\n", b"")),
        FetchError::Status { code: 404, wanted: 200, .. }
    ));
    assert_eq!(blob_error(reply("200 OK", "Content-Encoding: gzip\r\n", b"x")).kind(), "encoding");
    assert_eq!(blob_error(b"SSH-2.0-OpenSSH\r\n".to_vec()).kind(), "protocol");
    assert_eq!(blob_error(reply("200 OK", &"X-Y: z\r\n".repeat(4000), b"")).kind(), "protocol");
    let https = blob_error(reply("302 Found", "Location: https://127.0.0.1:1/x\r\nContent-Length: 0\r\n", b""));
    // A build with TLS goes there, and finds nobody.
    assert_eq!(https.kind(), if cfg!(feature = "tls") { "unreachable" } else { "redirect" }, "{https}");
    let again = reply("302 Found", "Location: /x\r\nContent-Length: 0\r\nConnection: close\r\n", b"");
    let circle = fetch(vec![again; 5], &mut Buffer::of(10)).unwrap_err();
    assert_eq!(circle.kind(), "redirect", "{circle}");
}

#[test]
fn a_redirect_is_followed() {
    let there = reply("302 Found", "Location: /x\r\nContent-Length: 0\r\nConnection: close\r\n", b"");
    let mut sink = Buffer::of(2);
    fetch(vec![there, reply("200 OK", "Content-Length: 2\r\n", b"ok")], &mut sink).unwrap();
    assert_eq!(sink.bytes, b"ok");
}

#[test]
fn nobody_there_is_unreachable_or_unknown() {
    let at = |base: &str| Origin::parse(base).unwrap().envelope("demo", "x86_64", soon()).unwrap_err();
    let refused = at("http://127.0.0.1:1");
    assert_eq!(refused.kind(), "unreachable", "{refused}");
    assert!(refused.to_string().contains("http://127.0.0.1:1/demo/"), "{refused}");
    // RFC 6761: `invalid` never resolves.
    assert_eq!(at("http://no.such.host.invalid").kind(), "dns");
}

#[test]
fn silence_ends_at_the_idle_limit_or_the_deadline() {
    let answer = || reply("200 OK", "Content-Length: 10\r\n", b"0123HOLD");
    let patient = Limits::default();
    let idle = Limits { idle: Duration::from_secs(1), ..patient.clone() };
    for (limits, most, phase) in
        [(idle, patient.idle, "the next bytes"), (patient.clone(), Duration::from_secs(2), "the whole file")]
    {
        let (address, _) = serve(vec![answer()]);
        let origin = Origin::with_limits(&format!("http://{address}"), limits).unwrap();
        let (begin, mut sink) = (Instant::now(), Buffer::of(10));
        let error = origin.blob(HEX, 10, 10, &mut sink, begin + most, &mut |_| {}).unwrap_err();
        assert!(matches!(error, FetchError::Timeout { phase: seen, .. } if seen == phase), "{error:?}");
        assert!(begin.elapsed() < patient.idle, "{:?}", begin.elapsed());
        assert_eq!(sink.got, 4);
    }
}

#[test]
fn a_proxy_is_asked_with_the_whole_url() {
    let (address, seen) = serve(vec![
        reply("200 OK", "Content-Length: 5\r\n", b"hello"),
        reply("200 OK", "Content-Length: 10\r\n", b"0123456789"),
    ]);
    let proxy = Proxy::parse(&format!("http://{address}")).unwrap();
    // A name that nobody here can look up: that is the proxy's to do.
    let origin = Origin::parse("http://origin.invalid:8000/tree").unwrap().through(&proxy);
    assert_eq!(origin.envelope("demo", "x86_64", soon()).unwrap(), b"hello");
    let request = seen.recv().unwrap();
    let wanted = "GET http://origin.invalid:8000/tree/demo/x86_64/manifest.dsse.json HTTP/1.1\r\n";
    assert!(request.starts_with(wanted), "{request}");
    assert!(request.to_ascii_lowercase().contains("host: origin.invalid:8000\r\n"), "{request}");

    let mut sink = Buffer::of(10);
    origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |_| {}).unwrap();
    assert_eq!(sink.bytes, b"0123456789");
    assert!(seen.recv().unwrap().starts_with("GET http://origin.invalid:8000/tree/blobs/sha256/"));
}

#[test]
fn a_redirect_goes_through_the_proxy_too() {
    let (address, seen) = serve(vec![
        reply("302 Found", "Location: http://mirror.invalid/e\r\nContent-Length: 0\r\n", b""),
        reply("200 OK", "Content-Length: 5\r\n", b"hello"),
    ]);
    let proxy = Proxy::parse(&format!("http://{address}")).unwrap();
    let origin = Origin::parse("http://origin.invalid").unwrap().through(&proxy);
    assert_eq!(origin.envelope("demo", "x86_64", soon()).unwrap(), b"hello");
    assert!(seen.recv().unwrap().starts_with("GET http://origin.invalid/demo/x86_64/"));
    assert!(seen.recv().unwrap().starts_with("GET http://mirror.invalid/e HTTP/1.1\r\n"));
}

#[test]
fn a_proxy_that_is_away_is_named() {
    let proxy = Proxy::parse("http://127.0.0.1:1").unwrap();
    let origin = Origin::parse("http://origin.invalid").unwrap().through(&proxy);
    let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
    assert_eq!(error.kind(), "unreachable");
    assert!(error.to_string().contains("through the proxy http://127.0.0.1:1:"), "{error}");
}

const PAGE: &[u8] = b"\n<!DOCTYPE html><html><body>Welcome to the hotel</body></html>";

#[test]
fn a_page_instead_of_an_envelope_is_a_captive_portal() {
    // Whatever it is called.
    for kind in ["text/html; charset=utf-8", "application/json"] {
        let answer = reply("200 OK", &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", PAGE.len()), PAGE);
        let origin = Origin::parse(&format!("http://{}", serve(vec![answer]).0)).unwrap();
        let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
        assert_eq!(error.kind(), "captive-portal");
        assert!(error.to_string().contains("captive portal) does this: log in there"), "{error}");
    }
}

#[test]
fn a_redirect_to_a_login_page_is_named_with_its_place() {
    let (portal, _) = serve(vec![reply("200 OK", &format!("Content-Length: {}\r\n", PAGE.len()), PAGE)]);
    let away = reply("302 Found", &format!("Location: http://{portal}/login\r\nContent-Length: 0\r\n"), b"");
    let origin = Origin::parse(&format!("http://{}", serve(vec![away]).0)).unwrap();
    let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
    assert_eq!(error.kind(), "captive-portal");
    assert!(error.to_string().contains(&format!("it came from http://{portal}/login")), "{error}");
}

// With TLS the redirect is followed, and the page is seen.
#[cfg(not(feature = "tls"))]
#[test]
fn a_redirect_to_a_login_page_over_https_says_what_it_may_be() {
    let away = reply("302 Found", "Location: https://login.invalid/\r\nContent-Length: 0\r\n", b"");
    let origin = Origin::parse(&format!("http://{}", serve(vec![away]).0)).unwrap();
    let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
    assert_eq!(error.kind(), "redirect");
    assert!(error.to_string().contains("captive portal"), "{error}");
}

#[test]
fn the_status_of_captive_portals_is_known() {
    let answer = reply("511 Network Authentication Required", "Content-Length: 0\r\n", b"");
    let origin = Origin::parse(&format!("http://{}", serve(vec![answer]).0)).unwrap();
    assert_eq!(origin.envelope("demo", "x86_64", soon()).unwrap_err().kind(), "captive-portal");
}

#[test]
fn a_page_instead_of_a_blob_is_a_captive_portal_and_a_page_with_status_404_is_not() {
    let headers = format!("Content-Type: text/html\r\nContent-Length: {}\r\n", PAGE.len());
    assert_eq!(blob_error(reply("200 OK", &headers, PAGE)).kind(), "captive-portal");
    assert_eq!(blob_error(reply("404 Not Found", &headers, PAGE)).kind(), "status");
}

#[test]
fn local_mode_asks_addresses_of_the_link_and_follows_nobody_away() {
    let local = |text: &str| Origin::parse(text).and_then(Origin::on_link);
    let there = reply("302 Found", "Location: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n", b"");
    let (address, _) = serve(vec![there, reply("200 OK", "Content-Length: 2\r\n", b"{}")]);
    let origin = local(&format!("http://{address}")).unwrap();
    let error = origin.envelope("demo", "x86_64", soon()).unwrap_err();
    assert_eq!(error.kind(), "redirect");
    assert!(error.to_string().contains("local mode follows none"), "{error}");
    // The same place is asked and answers: what was refused is the redirect alone.
    assert_eq!(origin.envelope("demo", "x86_64", soon()).unwrap(), b"{}");

    assert!(matches!(local("http://mirror.example/tree"), Err(OriginError::HostName { .. })));
    // RFC 5737: nobody's link.
    let far = local("http://198.51.100.7").unwrap().envelope("demo", "x86_64", soon()).unwrap_err();
    assert_eq!(far.kind(), "off-link");
    assert!(far.to_string().contains("198.51.100.7 is not on this link"), "{far}");
}

/// Pulls while a fetch waits for whatever `base` lets it wait for.
fn hang_up_on(base: &str) {
    let hangup = Hangup::default();
    let origin = Origin::parse(base).unwrap().with_hangup(&hangup);
    let begun = Instant::now();
    let puller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        hangup.pull();
        hangup
    });
    let mut sink = Buffer::of(10);
    origin.blob(HEX, 10, 10, &mut sink, soon(), &mut |_| {}).unwrap_err();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < Limits::default().connect, "{base}: {waited:?}");
    assert!(puller.join().unwrap().is_pulled());
    assert_eq!(origin.envelope("demo", "x86_64", soon()).unwrap_err().kind(), "unreachable");
}

#[test]
fn hanging_up_ends_the_wait_for_bytes_and_for_an_answer() {
    for silence in [&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123HOLD"[..], b"HTTP/1.1 200HOLD"] {
        let (address, _) = serve(vec![silence.to_owned()]);
        hang_up_on(&format!("http://{address}"));
    }
}

/// A listener whose queue is full answers nothing (listen(2)).
#[test]
fn hanging_up_ends_the_wait_for_a_connection() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any_port.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300));
    let queued: Vec<_> = (0..8).map_while(|_| connect().ok()).collect();
    assert!(queued.len() < 8, "the queue does not fill");
    hang_up_on(&format!("http://{address}"));
}
