//! `phase-discover` as a person or a script meets it.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
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
    let manifest = BASE64.encode(br#"{"version":7,"issued":"2026-11-20T12:00:00Z"}"#);
    let envelope = format!(r#"{{"payload":"{manifest}","payloadType":"x","signatures":[]}}"#);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).unwrap_or(0);
            let release = text(&request[..length]).contains("/demo/x86_64/manifest.dsse.json ");
            let (status, body) = if release { ("200 OK", &*envelope) } else { ("404 Not Found", "") };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
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
