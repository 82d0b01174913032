//! The form of the value, and a network of real nodes on loopback.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainline::SigningKey;

use super::*;

const HERE: &str = "http://127.0.0.1:8000/tree";

fn strings(urls: &[&str]) -> Vec<String> {
    urls.iter().map(ToString::to_string).collect()
}

#[test]
fn a_value_is_what_bep_3_says() {
    let bytes = value(&strings(&["http://a", "https://example.org/t"])).unwrap();
    assert_eq!(bytes, b"d1:ul8:http://a21:https://example.org/tee");
    assert_eq!(urls_of(&bytes).unwrap(), ["http://a", "https://example.org/t"]);
}

#[test]
fn every_other_form_is_refused() {
    let forms: [&[u8]; 13] = [
        b"",
        b"d",
        b"de",
        b"d1:ule",
        b"d1:u8:http://ae",
        b"d1:ul8:http://aeee",
        b"d1:ul08:http://aee",
        b"d1:ul-1:aee",
        b"d1:ul+8:http://aee",
        b"d1:ul99999:aee",
        b"d1:uli8eee",
        b"d1:ul8:http://ae1:x1:ye",
        b"d1:ulllllllllllee",
    ];
    for bytes in forms {
        let error = urls_of(bytes).unwrap_err();
        assert!(matches!(error, ValueError::Form { .. }), "{}: {error}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(urls_of(b"d1:ul8:http://axee").unwrap_err(), ValueError::Form { at: 15 });
    assert_eq!(urls_of(b"d1:ulee").unwrap_err(), ValueError::Count { seen: 0, wanted: 8 });
    assert_eq!(value(&strings(&[HERE; 9])).unwrap_err(), ValueError::Count { seen: 9, wanted: 8 });
    for url in ["http://a b", "http://\u{e9}", "http://\u{1b}[2J"] {
        assert_eq!(value(&strings(&["http://a", url])).unwrap_err(), ValueError::Text { index: 1 }, "{url:?}");
    }
}

#[test]
fn a_value_has_at_most_what_a_node_stores() {
    let url = |length: usize| format!("http://{}", "h".repeat(length - 7));
    // Seven bytes around the list and four before the URL.
    assert_eq!(value(&[url(VALUE_BYTES - 11)]).unwrap().len(), VALUE_BYTES);
    assert_eq!(value(&[url(VALUE_BYTES - 10)]).unwrap_err(), ValueError::TooLong { seen: VALUE_BYTES + 1 });
}

#[test]
fn a_salt_fits() {
    assert_eq!(salt("demo", "x86_64"), "pb1/demo/x86_64");
    assert!(salt(&"c".repeat(32), "aarch64").len() <= 64);
}

/// A network of its own on loopback, with a node that everybody knows.
fn network() -> (mainline::Testnet, Vec<String>) {
    let network = mainline::Testnet::builder(8).build().unwrap();
    let nodes = network.bootstrap.clone();
    (network, nodes)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

const SEED: [u8; 32] = [7; 32];

/// Signs a list for channel demo and stores it.
fn store(seed: &[u8; 32], nodes: &[String], version: u64, urls: &[&str]) -> Result<(), DhtError> {
    let key = SigningKey::from_bytes(seed);
    let sign = |message: &[u8]| ed25519_dalek::Signer::sign(&key, message).to_bytes();
    let places = ("demo", "x86_64");
    let item = Item::sign(key.verifying_key().to_bytes(), places, (version, &strings(urls)), &sign).unwrap();
    item.store(nodes, soon())
}

fn locator(bootstrap: &[String]) -> Locator {
    Locator { key: SigningKey::from_bytes(&SEED).verifying_key().to_bytes(), bootstrap: bootstrap.to_vec() }
}

#[test]
fn the_newest_list_is_found_and_nobody_elses() {
    let (_network, nodes) = network();
    for (version, url) in [(7, "http://old.example"), (8, HERE)] {
        store(&SEED, &nodes, version, &[url]).unwrap();
    }
    store(&[8; 32], &nodes, 99, &["http://evil.example"]).unwrap();
    let located = locate(&locator(&nodes), "demo", "x86_64", soon()).unwrap();
    assert_eq!(located.sequence, 8);
    assert_eq!(located.origins.iter().map(Origin::base).collect::<Vec<_>>(), [HERE]);
    let missing = locate(&locator(&nodes), "demo", "aarch64", soon()).unwrap_err();
    assert!(matches!(&missing, DhtError::NotFound { salt } if salt == "pb1/demo/aarch64"), "{missing}");
    let older = store(&SEED, &nodes, 7, &[HERE]).unwrap_err();
    assert_eq!(older.kind(), "not-stored", "{older}");
}

#[test]
fn a_signed_list_of_another_form_is_named_and_a_bad_place_ignored() {
    let (_network, nodes) = network();
    let salt = salt("demo", "x86_64");
    let dht = join(&nodes).unwrap();
    let sign = |value: &[u8], sequence| {
        MutableItem::new(SigningKey::from_bytes(&SEED), value, sequence, Some(salt.as_bytes()))
    };
    put(&dht, sign(b"d1:ul8:ftp://no26:http://127.0.0.1:8000/treeee", 3)).unwrap();
    let located = locate(&locator(&nodes), "demo", "x86_64", soon()).unwrap();
    assert_eq!((located.origins.len(), located.ignored.len()), (1, 1));
    put(&dht, sign(b"llllllll", 4)).unwrap();
    let error = locate(&locator(&nodes), "demo", "x86_64", soon()).unwrap_err();
    assert!(error.to_string().contains("sequence number 4"), "{error}");
    assert_eq!(error.kind(), "format");
}

#[test]
fn nobody_there_is_said_in_time() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string();
    let begin = Instant::now();
    let error = locate(&locator(std::slice::from_ref(&silent)), "demo", "x86_64", soon()).unwrap_err();
    assert!(matches!(&error, DhtError::NoNode { nodes } if *nodes == silent), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    let late = locate(&locator(&[silent]), "demo", "x86_64", Instant::now() + Duration::from_millis(100)).unwrap_err();
    assert_eq!(late.kind(), "timeout", "{late}");
    let nowhere = locate(&locator(&strings(&["no.such.host.invalid:1"])), "demo", "x86_64", soon()).unwrap_err();
    assert_eq!(nowhere.kind(), "dns", "{nowhere}");
}

#[test]
fn a_node_that_sends_rubbish_is_survived() {
    let (_network, nodes) = network();
    store(&SEED, &nodes, 1, &[HERE]).unwrap();
    // It answers every question with the deepest and the emptiest messages that a packet can hold.
    let hostile = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = hostile.local_addr().unwrap().to_string();
    hostile.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    thread::spawn(move || {
        let mut space = [0; 2048];
        while let Ok((_, peer)) = hostile.recv_from(&mut space) {
            count.fetch_add(1, Ordering::Relaxed);
            let nested = [vec![b'l'; 1000], vec![b'e'; 1000]].concat();
            let inside =
                [b"d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa1:x".to_vec(), nested.clone(), b"e1:t4:aaaa1:y1:re".to_vec()]
                    .concat();
            for message in [vec![b'l'; 2000], vec![b'd'; 2000], nested, inside, Vec::new(), b"d1:y1:re".to_vec()] {
                let _ = hostile.send_to(&message, peer);
            }
        }
    });
    let both = [address, nodes[0].clone()];
    let located = locate(&locator(&both), "demo", "x86_64", soon()).unwrap();
    assert_eq!(located.sequence, 1);
    assert!(asked.load(Ordering::Relaxed) > 0, "the hostile node was not asked");
}
