use super::*;
use crate::hostile::{reply, serve};

fn given(origins: &[Origin], deadline: Duration) -> Found {
    let places: Vec<_> = origins.iter().map(|origin| (Way::Given, origin.clone())).collect();
    look(&places, None, deadline)
}

fn look(places: &[(Way, Origin)], locator: Option<&Locator>, deadline: Duration) -> Found {
    let any = |gathered: &Gathered| !gathered.candidates.is_empty();
    judged(places, locator, deadline, &any)
}

fn judged(
    places: &[(Way, Origin)],
    locator: Option<&Locator>,
    deadline: Duration,
    in_hand: &dyn Fn(&Gathered) -> bool,
) -> Found {
    let search_of = Search {
        request: Request { channel: "demo", arch: "x86_64", epoch: 1 },
        places,
        link: false,
        locator,
        manner: &Manner::default(),
        deadline: Instant::now() + deadline,
        settle: Duration::from_millis(200),
        patience: Duration::from_millis(500),
    };
    search(&search_of, in_hand)
}

fn origin(body: &[u8]) -> Origin {
    let length = body.strip_suffix(b"HOLD").map_or(body.len(), |rest| rest.len() + 1);
    let answer = reply("200 OK", &format!("Content-Length: {length}\r\n"), body);
    // Two connections: the envelope, and the next trust file.
    Origin::parse(&format!("http://{}", serve(vec![answer.clone(), answer]).0)).unwrap()
}

#[test]
fn nowhere_to_look_is_no_wait() {
    let begin = Instant::now();
    let found = given(&[], Duration::from_secs(20));
    assert!(found.places.is_empty() && begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_place_is_asked_once_and_all_answers_count() {
    let (here, away) = (origin(b"{}"), Origin::parse("http://127.0.0.1:1").unwrap());
    let found = given(&[here.clone(), away.clone(), here.clone()], Duration::from_secs(20));
    assert_eq!(found.places.len(), 2);
    let from: Vec<_> = found.gathered.candidates.iter().map(|candidate| &*candidate.source).collect();
    assert_eq!(from, [here.base()]);
    assert!(found.gathered.failures.iter().any(|(from, _)| from == away.base()), "{found:?}");
}

#[test]
fn the_deadline_ends_the_search_and_names_who_is_late() {
    let slow = origin(b"{HOLD");
    let begin = Instant::now();
    let found = given(std::slice::from_ref(&slow), Duration::from_millis(500));
    assert!(begin.elapsed() < Limits::default().idle, "{:?}", begin.elapsed());
    let failures: Vec<_> = found.gathered.failures.iter().map(|(from, error)| (&**from, error.kind())).collect();
    assert_eq!(failures, [(slow.base(), "timeout")]);
}

#[test]
fn one_way_has_only_its_share() {
    let away: Vec<_> = (1..=20).map(|n| Origin::parse(&format!("http://127.0.0.{n}:1")).unwrap()).collect();
    let found = given(&away, Duration::from_secs(20));
    assert_eq!(found.places.len(), Limits::default().origins);
}

#[test]
fn each_way_has_a_share_of_its_own_and_a_place_is_asked_in_the_first_way_only() {
    let away = |n: usize| Origin::parse(&format!("http://127.0.0.{n}:1")).unwrap();
    let given = (1..=8).map(|n| (Way::Given, away(n)));
    let places: Vec<_> = given.chain([(Way::Dhcp, away(1)), (Way::Dhcp, away(9))]).collect();
    let found = look(&places, None, Duration::from_secs(20));
    let from_dhcp: Vec<_> = found.places.iter().filter(|(way, _)| *way == Way::Dhcp).collect();
    assert_eq!((found.places.len(), from_dhcp.len()), (9, 1));
    assert_eq!(from_dhcp[0].1.base(), "http://127.0.0.9:1");
}

/// A node that says nothing, as behind a firewall.
#[test]
#[cfg(feature = "dht")]
fn a_dead_dht_costs_a_found_release_its_patience_and_no_more() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let locator = Locator { key: [7; 32], bootstrap: vec![silent.local_addr().unwrap().to_string()] };
    let places = [(Way::Given, origin(b"{}"))];
    let begun = Instant::now();
    let found = look(&places, Some(&locator), Duration::from_mins(1));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert_eq!((found.gathered.candidates.len(), found.remarks.len()), (1, 1), "{found:?}");
    assert!(found.remarks[0].text.contains("not waited for any longer"), "{found:?}");
}

/// Otherwise any neighbour could keep the DHT's places from being asked.
#[test]
#[cfg(feature = "dht")]
fn rubbish_in_hand_ends_no_wait() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let locator = Locator { key: [7; 32], bootstrap: vec![silent.local_addr().unwrap().to_string()] };
    let places = [(Way::Given, origin(b"{}"))];
    let begun = Instant::now();
    let found = judged(&places, Some(&locator), Duration::from_secs(3), &|_| false);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(found.gathered.candidates.len(), 1);
    assert!(!found.remarks.iter().any(|remark| remark.text.contains("not waited for")), "{found:?}");
}

#[test]
#[cfg(not(feature = "dht"))]
fn a_build_without_the_dht_says_so() {
    let locator = Locator { key: [7; 32], bootstrap: Vec::new() };
    let found = look(&[], Some(&locator), Duration::from_secs(20));
    assert_eq!(found.remarks[0].kind, "not-built");
}

#[test]
fn whoever_is_heard_often_is_not_remarked_on_for_ever() {
    let mut found = Found::default();
    for number in 0..10_000 {
        found.remark("dropped", format!("service {number} is not used"));
    }
    assert_eq!(found.remarks.len(), Limits::default().remarks);
    assert_eq!(found.remarks[62].text, "service 62 is not used");
    assert_eq!(found.remarks[63].text, "more is not used than is listed here");
}
