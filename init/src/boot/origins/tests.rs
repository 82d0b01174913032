use std::path::Path;

use discover::Candidate;

use super::*;

/// A trust file that nobody signs for.
const TRUST: &str = r#"{"schema":"phase.trust/1","channel":"demo","epoch":1,"built":"2026-11-20T12:00:00Z","minimum_version":0,"roles":{"root":{"threshold":1,"keys":[{"public":"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c","name":"a"}]},"release":{"threshold":1,"keys":[{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a","name":"b"}]}},"policy":{"expiry":"refuse","rescue_prompt":false}}"#;

fn config(command_line: &str) -> Config {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [("proc/cmdline", command_line), ("etc/phase/trust.json", TRUST)] {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }
    crate::config::read(root.path()).unwrap()
}

fn bases(places: &[(Way, Origin)]) -> Vec<(&Way, &str)> {
    places.iter().map(|(way, origin)| (way, origin.base())).collect()
}

#[test]
fn local_asks_addresses_alone_and_names_the_rest() {
    let config = config("phase.origin=http://192.0.2.7 phase.origin=http://mirror.example phase.proxy=http://p:1");
    let urls = ["http://192.0.2.8:8000/tree", "http://boot.example/tree", "tftp://192.0.2.9"].map(str::to_owned);
    let known = Known::local(&config, &urls, &Manner::default());
    let wanted = [(&Way::Given, "http://192.0.2.7"), (&Way::Dhcp, "http://192.0.2.8:8000/tree")];
    assert_eq!(bases(&known.places), wanted);
    let refused: Vec<_> = known.refused.iter().map(|remark| (remark.kind, remark.text.as_str())).collect();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|(kind, _)| *kind == "off-link"));
    assert!(
        refused[0].1.contains("'http://mirror.example' has a host name")
            && refused[0].1.starts_with("not asked (given): ")
    );
    assert!(refused[1].1.contains("boot.example") && refused[1].1.starts_with("not asked (from the DHCP server): "));
    assert!(refused[2].1.contains("tftp://192.0.2.9"), "{refused:?}");
}

#[test]
fn internet_asks_what_was_given_and_not_what_a_dhcp_server_says() {
    let config = config("phase.origin=http://mirror.example phase.origin=http://192.0.2.7");
    let known = Known::internet(&config, &Manner::default());
    assert_eq!(bases(&known.places), [(&Way::Given, "http://mirror.example"), (&Way::Given, "http://192.0.2.7")]);
    assert_eq!(known.refused, []);
}

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap()
}

fn status(base: &str, code: u16) -> (String, FetchError) {
    (base.to_owned(), FetchError::Status { url: base.to_owned(), code, wanted: 200 })
}

/// A list of the DHT whose place answered 500 before an origin that was given answered 404, and a neighbour.
fn found() -> Found {
    let (given, listed, near) = (origin("http://a"), origin("http://b"), origin("http://192.0.2.9"));
    let mut found = Found {
        places: vec![(Way::Given, given), (Way::Dht { sequence: 7 }, listed), (Way::Dhcp, near)],
        remarks: vec![Remark { kind: "timeout", text: "the DHT was late".to_owned() }],
        ..Found::default()
    };
    found.gathered.failures = vec![status("http://b", 500), status("http://a", 404)];
    found
}

#[test]
fn reasons_stand_in_the_order_of_the_places_and_not_of_the_answers() {
    let refused = [Remark { kind: "off-link", text: "not asked: c".to_owned() }];
    let reasons = reasons(&refused, &found());
    let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert_eq!(
        reasons.iter().map(|reason| reason.kind).collect::<Vec<_>>(),
        ["off-link", "status", "status", "timeout"]
    );
    assert!(texts[1].contains("404") && texts[2].contains("500"), "{texts:?}");
    assert!(texts[1].ends_with("200") && texts[2].ends_with("(from the DHT, list 7)"), "{texts:?}");
}

#[test]
fn who_has_a_release_is_asked_for_it_first_and_who_is_off_the_link_for_nothing() {
    let mut found = found();
    let address = "192.0.2.9".parse().unwrap();
    let off = FetchError::OffLink { url: "http://192.0.2.9".to_owned(), address };
    found.gathered.failures.push(("http://192.0.2.9".to_owned(), off));
    let envelope = Candidate { source: "http://b".to_owned(), envelope: Vec::new(), proof: None };
    found.gathered.candidates.push(envelope);
    let connection = network::Connection {
        interface: "eth0".to_owned(),
        address: "192.0.2.5/24".to_owned(),
        router: None,
        dns: Vec::new(),
        lease_seconds: None,
        boot_urls: Vec::new(),
    };
    let places = places(found, connection);
    let names: Vec<_> = places.sources.sources().iter().map(|source| source.name().to_owned()).collect();
    assert_eq!(names, ["http://b", "http://a"]);
    assert_eq!(places.described("http://b"), "http://b (from the DHT, list 7)");
    assert_eq!(places.described("http://a"), "http://a");
}
