//! A neighbour that floods the directory of the link does not end the search. Needs `unshare` and `ip`.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use discover::mdns::{Advertisement, Heard, Offer, browse};
use namespaces::{inside, ip};

#[path = "support/namespaces.rs"]
mod namespaces;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A response (RFC 6762, section 6) that names `count` services, whose names begin with `first`: more than a daemon keeps for
/// who is slow, if there are three of them.
fn rubbish(first: char, count: u16) -> Vec<u8> {
    let mut packet = vec![0, 0, 0x84, 0, 0, 0];
    packet.extend_from_slice(&count.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    for number in 0..count {
        match number {
            0 => packet.extend_from_slice(b"\x0b_phase-boot\x04_tcp\x05local\0"),
            // The name at the first place after the header.
            _ => packet.extend_from_slice(&[0xc0, 12]),
        }
        // A pointer record of the internet class that holds two minutes, to a label before that name.
        let label = format!("{first}{number}");
        let length = u8::try_from(label.len()).unwrap();
        packet.extend_from_slice(&[0, 12, 0, 1, 0, 0, 0, 120, 0, length + 3, length]);
        packet.extend_from_slice(label.as_bytes());
        packet.extend_from_slice(&[0xc0, 12]);
    }
    packet
}

#[test]
fn a_flood_of_answers_does_not_end_the_search() {
    if !inside("a_flood_of_answers_does_not_end_the_search") {
        return;
    }
    ip("link add eth0 type veth peer name eth1");
    ip("address add 10.77.0.1/24 dev eth0");
    ip("link set eth0 up");
    ip("link set eth1 up");

    let neighbour = UdpSocket::bind((OURS, 0)).unwrap();
    let mut advertisement = Advertisement::begin().unwrap();
    let (begun, mut flooded, mut found) = (Instant::now(), false, false);
    let outcome = browse("demo", "x86_64", begun + Duration::from_secs(20), &mut |heard| {
        found |= matches!(&heard, Some(Heard::Place(place)) if place.name == "late");
        // Once it listens. While this waits, nobody takes what comes.
        if !flooded && begun.elapsed() > Duration::from_secs(1) {
            flooded = true;
            for first in ['a', 'b', 'c'] {
                neighbour.send_to(&rubbish(first, 450), (Ipv4Addr::new(224, 0, 0, 251), 5353)).unwrap();
            }
            thread::sleep(Duration::from_secs(1));
            let listen = (OURS, 8000).into();
            let (name, host) = ("late", "late");
            let offer = Offer { name, host, listen, channel: "demo", arch: "x86_64", version: 7, shares: false };
            advertisement.say(&offer).unwrap();
        }
        !found
    });
    advertisement.end();
    assert_eq!(outcome, Ok(()));
    assert!(flooded && found, "the search ended after {:?}", begun.elapsed());
}
