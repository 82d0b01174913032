//! `phase-discover` as a person or a script meets it.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use data_encoding::BASE64;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phase-discover")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An origin with an envelope that nobody signed; its URL.
fn origin() -> String {
    origin_with(r#"{"version":7,"issued":"2026-11-20T12:00:00Z"}"#)
}

/// The same with this manifest, or with none that can be read.
fn origin_with(manifest: &str) -> String {
    let envelope =
        format!(r#"{{"payload":"{}","payloadType":"x","signatures":[]}}"#, BASE64.encode(manifest.as_bytes()));
    serve(move |request| {
        let release = request.contains("/demo/x86_64/manifest.dsse.json ");
        let (status, body) = if release { ("200 OK", &*envelope) } else { ("404 Not Found", "") };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
}

/// A server that answers each request so; its URL.
fn serve(mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).unwrap_or(0);
            let _ = stream.write_all(&answer(&text(&request[..length])));
        }
    });
    url
}

#[test]
fn claims_are_listed_as_claims() {
    let url = origin();
    let arguments = ["--channel", "demo", "--arch", "x86_64", "--origin", &url];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let line = format!("claims version 7 of 2026-11-20T12:00:00Z  {url} (given)\n");
    assert_eq!(text(&output.stdout), line);
    assert!(text(&output.stderr).contains("nothing was verified"));

    let json: serde_json::Value = serde_json::from_slice(&run(&[&arguments[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!((&json["verified"], &json["candidates"][0]["claim"]["version"]), (&false.into(), &7.into()));
    assert_eq!(json["failures"], serde_json::json!([]));
}

#[test]
fn whatever_is_claimed_is_shown_and_moves_no_cursor() {
    let huge = origin_with(r#"{"version":1152921504606846976,"issued":"\u001b[2J\u009b2J2026"}"#);
    let none = origin_with(r#"{"version":1e99,"issued":"2026-11-20T12:00:00Z"}"#);
    // U+009B begins an escape sequence, like ESC [, and an HTTP library lets it pass in a header.
    let rude = serve(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Encoding: \xc2\x9b2J\r\n\r\nx".to_vec());
    let arguments = ["--channel", "demo", "--arch", "x86_64", "--origin", &huge, "--origin", &none, "--origin", &rude];
    let output = run(&arguments);
    let (listed, said) = (text(&output.stdout), text(&output.stderr));
    assert!(listed.contains(&format!("claims version 1152921504606846976 of [2J2J2026  {huge} (given)\n")), "{listed}");
    assert!(listed.contains(&format!("claims nothing readable  {none} (given)\n")), "{listed}");
    assert!(said.contains("content encoding '\u{fffd}2J'"), "{said:?}");
    let json = text(&run(&[&arguments[..], &["--json"]].concat()).stdout);
    for printed in [listed, said, json] {
        assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "{printed:?}");
    }
}

#[test]
fn watching_prints_what_changes_until_nobody_reads() {
    let release = Arc::new(AtomicU64::new(7));
    let served = Arc::clone(&release);
    let url = serve(move |_| match served.load(Ordering::Relaxed) {
        0 => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        version => {
            let manifest = format!(r#"{{"version":{version},"issued":"2026-11-20T12:00:00Z"}}"#);
            let body = format!(r#"{{"payload":"{}"}}"#, BASE64.encode(manifest.as_bytes()));
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_phase-discover"));
    command.args(["--channel", "demo", "--origin", &url, "--watch", "--timeout", "4"]);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), format!("claims version 7 of 2026-11-20T12:00:00Z  {url} (given)\n"));
    release.store(8, Ordering::Relaxed);
    assert_eq!(next(), format!("claims version 8 of 2026-11-20T12:00:00Z  {url} (given)\n"));
    release.store(0, Ordering::Relaxed);
    assert_eq!(next(), format!("gone  {url} (given)\n"));
    drop(lines);
    release.store(9, Ordering::Relaxed);
    // As a shell sees it that ends its pipes.
    assert_eq!(watching.wait().unwrap().code(), Some(141));
}

#[test]
fn finding_nothing_is_status_1_and_says_why() {
    let output = run(&["--channel", "demo", "--origin", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("could not be reached") && said.contains("nothing was found"), "{said}");
}

#[test]
fn what_cannot_be_done_is_status_2() {
    let cases: [(&[&str], &str); 5] = [
        (&["--channel", "demo"], "say where to look"),
        (&["--origin", "http://h"], "--channel"),
        (&["--channel", "demo", "--origin", "ftp://h"], "does not begin with http://"),
        (&["--channel", "demo", "--dht"], "--locator"),
        (&["--channel", "demo", "--mdns", "--tls-roots", "/no/such/file"], "cannot read /no/such/file"),
    ];
    for (arguments, wanted) in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(wanted), "{arguments:?}: {}", text(&output.stderr));
    }
}
