//! A DHCP server that says what no well-kept one can be made to say at will: refusals, rubbish, other people's answers.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::lan::{Machine, Server, inside};

/// Where the fields of a message are (RFC 2131), and codes of options.
const ADDRESS: std::ops::Range<usize> = 16..20;
const OPTIONS: usize = 240;
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A reply to a request, with an address and further options.
fn reply(request: &[u8], kind: u8, address: [u8; 4], more: &[u8]) -> Vec<u8> {
    let mut reply = request[..OPTIONS].to_vec();
    reply[0] = 2;
    reply[ADDRESS].copy_from_slice(&address);
    reply.extend_from_slice(&[53, 1, kind, 54, 4, 10, 77, 0, 1, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0]);
    reply.extend_from_slice(more);
    reply.push(255);
    reply
}

/// What a client says: 1 for DISCOVER, 3 for REQUEST, 4 for DECLINE. It stands first among our options.
fn kind(request: &[u8]) -> u8 {
    request[OPTIONS + 2]
}

/// Answers each message of the one client with what `answers` makes of it, until the test ends.
fn serve(server: &Server, mut answers: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    let namespace = server.namespace();
    thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
        socket.set_broadcast(true).unwrap();
        let mut request = [0; 1500];
        while let Ok((length, _)) = socket.recv_from(&mut request) {
            for answer in answers(&request[..length]) {
                socket.send_to(&answer, "10.77.0.255:68").unwrap();
            }
        }
    });
}

#[test]
fn a_refusal_leads_back_to_the_beginning() {
    if !inside("hostile::a_refusal_leads_back_to_the_beginning") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    let mut refused = false;
    serve(&server, move |request| match kind(request) {
        1 => vec![reply(request, OFFER, [10, 77, 0, 50 + u8::from(refused)], &[])],
        3 if !refused => {
            refused = true;
            vec![reply(request, NAK, [0; 4], b"\x38\x05taken")]
        }
        _ => vec![reply(request, ACK, [10, 77, 0, 51], &[])],
    });
    let begin = Instant::now();
    assert_eq!(machine.up(&machine.settings()).address, "10.77.0.51/24");
    assert!(begin.elapsed() < machine.settings().lease / 2, "{:?}", begin.elapsed());
}

#[test]
fn rubbish_does_not_drown_a_good_offer() {
    if !inside("hostile::rubbish_does_not_drown_a_good_offer") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    serve(&server, |request| {
        let mut others = reply(request, OFFER, [10, 77, 0, 66], &[]);
        others[4] ^= 1;
        let good = if kind(request) == 1 { OFFER } else { ACK };
        let cut = reply(request, OFFER, [10, 77, 0, 67], &[3, 200, 1]);
        let mut answers = vec![vec![0xff; 700], vec![2; 30], others, cut];
        for impossible in [[0; 4], [127, 0, 0, 1], [255; 4], [10, 77, 0, 255]] {
            answers.push(reply(request, good, impossible, &[]));
        }
        answers.extend(vec![vec![0; 1]; 200]);
        // Options that are of no use leave the rest in force.
        answers.push(reply(request, good, [10, 77, 0, 50], &[26, 2, 0, 1, 121, 3, 99, 1, 2, 3, 4, 224, 0, 0, 1]));
        answers
    });
    let connection = machine.up(&machine.settings());
    assert_eq!((&*connection.address, connection.router), ("10.77.0.50/24", None));
}

#[test]
fn an_address_that_the_server_insists_on_is_taken_in_the_end() {
    if !inside("hostile::an_address_that_the_server_insists_on_is_taken_in_the_end") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    // A network whose router answers for every address, as some clouds have it.
    server.plugged("eth0", &["10.77.0.1/24", "10.77.0.50/24"]);
    let (said, says) = mpsc::channel();
    serve(&server, move |request| {
        said.send(kind(request)).unwrap();
        match kind(request) {
            1 => vec![reply(request, OFFER, [10, 77, 0, 50], &[])],
            3 => vec![reply(request, ACK, [10, 77, 0, 50], &[])],
            _ => Vec::new(),
        }
    });
    assert_eq!(machine.up(&machine.settings()).address, "10.77.0.50/24");
    let mut kinds: Vec<u8> = says.try_iter().collect();
    // On a busy machine an answer may be slower than the next question.
    kinds.dedup();
    assert_eq!(kinds, [1, 3, 4, 1, 3], "asked, declined once, asked again");
}

#[test]
fn a_server_that_offers_and_never_gives_ends_with_its_name_in_bounded_time() {
    if !inside("hostile::a_server_that_offers_and_never_gives_ends_with_its_name_in_bounded_time") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    serve(&server, |request| match kind(request) {
        1 => vec![reply(request, OFFER, [10, 77, 0, 50], &[])],
        _ => vec![reply(request, NAK, [0; 4], b"\x38\x05never")],
    });
    let lease = Duration::from_secs(4);
    let begin = Instant::now();
    let reason = machine.down(&init::network::Settings { lease, ..machine.settings() });
    assert!(begin.elapsed() < lease * 8, "{:?}", begin.elapsed());
    assert!(reason.to_string().contains("server 10.77.0.1 refused 10.77.0.50: 'never'"), "{reason}");
}
