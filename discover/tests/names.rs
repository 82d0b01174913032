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
/// What a question costs that nobody answers, in these words.
const UNANSWERED: Duration = Duration::from_secs(6);

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
        assert!(begin.elapsed() < Duration::from_mins(1), "dnsmasq does not come up");
        thread::sleep(Duration::from_millis(10));
    }
    // Before the thread runs, so that nobody is refused.
    let listener = TcpListener::bind("127.0.0.1:8000").unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 2000]);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        }
    });
    server
}

/// A name server (RFC 1035) at port 53 of `address`. Of a question's name and type, `judge` makes a response code, an address
/// (or none), and how long the answer takes.
fn name_server<F>(address: &str, judge: F)
where
    F: Fn(&[u8], Kind) -> (u8, &'static [u8], Duration) + Send + 'static,
{
    let socket = UdpSocket::bind((address, 53)).unwrap();
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            // A header, the name up to a zero, type and class.
            let name = 12 + packet[12..length].iter().position(|&byte| byte == 0).unwrap();
            let kind = if packet[name + 2] == 1 { Kind::Ipv4 } else { Kind::Ipv6 };
            let (code, address, pause) = judge(&packet[12..name], kind);
            let mut answer = packet[..name + 5].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
            if !address.is_empty() {
                answer[7] = 1;
                let length = address.len().to_le_bytes()[0];
                answer.extend_from_slice(&[0xc0, 12, 0, packet[name + 2], 0, 1, 0, 0, 0, 60, 0, length]);
                answer.extend_from_slice(address);
            }
            let socket = socket.try_clone().unwrap();
            thread::spawn(move || {
                thread::sleep(pause);
                socket.send_to(&answer, from).unwrap();
            });
        }
    });
}

/// Which kind of address is asked for.
enum Kind {
    Ipv4,
    Ipv6,
}

const IPV4: &[u8] = &[127, 0, 0, 1];
/// An address that no route leads to.
const IPV6: &[u8] = &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

/// Name servers of small routers do that.
#[test]
fn a_name_server_that_refuses_questions_for_ipv6_is_enough() {
    if !inside("a_name_server_that_refuses_questions_for_ipv6_is_enough") {
        return;
    }
    let _server = machine(&["127.0.0.9"]);
    // The code of the answer about IPv6 is the digit at the end of the first part of the name, such as `code5`.
    name_server("127.0.0.9", |name, kind| match kind {
        Kind::Ipv4 => (0, IPV4, Duration::ZERO),
        Kind::Ipv6 => (name[5] - b'0', &[], Duration::ZERO),
    });
    // NOERROR without an address, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED.
    for code in [0, 2, 3, 4, 5] {
        let begin = Instant::now();
        let fetched = fetch(&format!("code{code}.test"));
        assert_eq!(fetched.unwrap_or_else(|error| panic!("code {code}: {error:?}")), b"{}");
        assert!(begin.elapsed() < UNANSWERED, "code {code}: {:?}", begin.elapsed());
    }
}

/// As when the first answer about IPv4 is lost.
#[test]
fn an_address_that_no_route_leads_to_does_not_hurry_the_other_kind() {
    if !inside("an_address_that_no_route_leads_to_does_not_hurry_the_other_kind") {
        return;
    }
    let _server = machine(&["127.0.0.9"]);
    name_server("127.0.0.9", |_, kind| match kind {
        Kind::Ipv4 => (0, IPV4, Duration::from_millis(800)),
        Kind::Ipv6 => (0, IPV6, Duration::ZERO),
    });
    assert_eq!(fetch("late.test").unwrap(), b"{}");
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
    let most = if cfg!(target_env = "musl") { UNANSWERED } else { 2 * UNANSWERED };
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
    assert!(begin.elapsed() < 3 * UNANSWERED, "{:?}", begin.elapsed());
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
    assert!(begin.elapsed() < UNANSWERED, "{:?}", begin.elapsed());
    assert_eq!(error.kind(), "dns", "{error}");
}
