//! How names are looked up where `init` looks them up: by musl, with the options that `init` writes to resolv.conf. Run with
//! `--target x86_64-unknown-linux-musl` (as `make test` does); with another C library a dead server costs its timeout.
//! Needs `unshare`, `ip` and `dnsmasq`.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use discover::Origin;
use namespaces::{Helper, inside, ip, run};

#[path = "support/namespaces.rs"]
mod namespaces;

/// What `init` writes (init/src/network/resolver.rs).
const OPTIONS: &str = "options timeout:6 attempts:6\n";

/// A machine with these name servers, of which 127.0.0.1 is a dnsmasq that knows `origin.test`, with a web server.
fn machine(name_servers: &[&str]) -> Helper {
    ip("link set lo up");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("nameserver {}\n{OPTIONS}", name_servers.join("\nnameserver "))).unwrap();
    run(Command::new("mount").arg("--bind").arg(file.path()).arg("/etc/resolv.conf"));
    let options = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--user=root",
        "--no-resolv",
        "--pid-file=",
        "--listen-address=127.0.0.1",
    ];
    let answers = ["--bind-interfaces", "--local=/test/", "--host-record=origin.test,127.0.0.1"];
    let mut command = Command::new("dnsmasq");
    let server = Helper::start(command.args(options).args(answers));
    let begin = Instant::now();
    // Its port is taken once it is ready.
    while UdpSocket::bind("127.0.0.1:53").is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(5), "dnsmasq does not come up");
        thread::sleep(Duration::from_millis(10));
    }
    thread::spawn(|| {
        let listener = TcpListener::bind("127.0.0.1:8000").unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 2000]);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        }
    });
    server
}

fn fetch(host: &str) -> Result<Vec<u8>, discover::FetchError> {
    let origin = Origin::parse(&format!("http://{host}:8000")).unwrap();
    origin.envelope("demo", "x86_64", Instant::now() + Duration::from_secs(20))
}

#[test]
fn a_dead_name_server_costs_nothing() {
    if !inside("a_dead_name_server_costs_nothing") {
        return;
    }
    // It takes questions and never answers, as one behind a broken link does.
    let _server = machine(&["127.0.0.9", "127.0.0.1"]);
    let _dead = UdpSocket::bind("127.0.0.9:53").unwrap();
    let begin = Instant::now();
    assert_eq!(fetch("origin.test").unwrap(), b"{}");
    let most = Duration::from_secs(if cfg!(target_env = "musl") { 1 } else { 8 });
    assert!(begin.elapsed() < most, "{:?}", begin.elapsed());
}

#[test]
fn dead_name_servers_end_in_bounded_time_with_their_word() {
    if !inside("dead_name_servers_end_in_bounded_time_with_their_word") {
        return;
    }
    let _server = machine(&["127.0.0.9"]);
    let _dead = UdpSocket::bind("127.0.0.9:53").unwrap();
    let begin = Instant::now();
    let error = fetch("origin.test").unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    let kinds = if cfg!(target_env = "musl") { &["dns"][..] } else { &["dns", "timeout"] };
    assert!(kinds.contains(&error.kind()), "{error}");
}

#[test]
fn a_name_that_nobody_knows_is_said_at_once() {
    if !inside("a_name_that_nobody_knows_is_said_at_once") {
        return;
    }
    let _server = machine(&["127.0.0.1"]);
    let begin = Instant::now();
    let error = fetch("nobody.test").unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(error.kind(), "dns", "{error}");
}
