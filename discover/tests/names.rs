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

/// A name server that knows the IPv4 address of everything, and answers the question for an IPv6 address by a code of RFC 1035:
/// the digit at the end of the first part of the name, such as `code5`.
fn refuses_ipv6(address: &str) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            // A header, the name up to a zero, type and class.
            let name = 12 + packet[12..length].iter().position(|&byte| byte == 0).unwrap();
            let mut answer = packet[..name + 5].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
            if answer[name + 1..name + 3] == [0, 1] {
                answer[7] = 1;
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            } else {
                answer[3] |= answer[17] - b'0';
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
}

/// Name servers of small routers do that.
#[test]
fn a_name_server_that_refuses_questions_for_ipv6_is_enough() {
    if !inside("a_name_server_that_refuses_questions_for_ipv6_is_enough") {
        return;
    }
    let _server = machine(&["127.0.0.9"]);
    refuses_ipv6("127.0.0.9");
    // NOERROR without an address, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED.
    for code in [0, 2, 3, 4, 5] {
        let begin = Instant::now();
        let fetched = fetch(&format!("code{code}.test"));
        assert_eq!(fetched.unwrap_or_else(|error| panic!("code {code}: {error:?}")), b"{}");
        assert!(begin.elapsed() < Duration::from_secs(2), "code {code}: {:?}", begin.elapsed());
    }
}

/// A name server that knows at once an IPv6 address of everything, to which no route leads, and after `pause` that of IPv4.
fn is_slow_with_ipv4(address: &str, pause: Duration) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            // A header, the name up to a zero, type and class.
            let name = 12 + packet[12..length].iter().position(|&byte| byte == 0).unwrap();
            let mut answer = packet[..name + 5].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            let is_ipv4 = answer[name + 2] == 1;
            let address: &[u8] =
                if is_ipv4 { &[127, 0, 0, 1] } else { &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7] };
            answer.extend_from_slice(&[
                0xc0,
                12,
                0,
                answer[name + 2],
                0,
                1,
                0,
                0,
                0,
                60,
                0,
                address.len().to_le_bytes()[0],
            ]);
            answer.extend_from_slice(address);
            let socket = socket.try_clone().unwrap();
            thread::spawn(move || {
                thread::sleep(if is_ipv4 { pause } else { Duration::ZERO });
                socket.send_to(&answer, from).unwrap();
            });
        }
    });
}

/// As when the first answer about IPv4 is lost.
#[test]
fn an_address_that_no_route_leads_to_does_not_hurry_the_other_kind() {
    if !inside("an_address_that_no_route_leads_to_does_not_hurry_the_other_kind") {
        return;
    }
    let _server = machine(&["127.0.0.9"]);
    is_slow_with_ipv4("127.0.0.9", Duration::from_millis(800));
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
