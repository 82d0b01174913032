use rustix::io::Errno;
use verify::Timestamp;

use super::*;
use crate::release;

/// The one of docs/formats.md, "Test vectors".
const TRUST: &str = r#"{"schema":"phase.trust/1","channel":"demo","epoch":1,"built":"2026-11-20T12:00:00Z","minimum_version":0,"roles":{"root":{"threshold":1,"keys":[{"public":"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c","name":"TEST 2"}]},"release":{"threshold":1,"keys":[{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a","name":"TEST 1"}]}},"policy":{"expiry":"refuse","rescue_prompt":false,"state":"warn"}}"#;

fn unreadable(name: &str) -> StoreError {
    StoreError::File { what: "read", name: name.to_owned(), device: "/dev/sda2".into(), errno: Errno::INVAL }
}

fn remembered() -> State {
    State { channel: "demo".parse().unwrap(), epoch: 1, version: 7, issued: "2026-11-20T12:00:00Z".parse().unwrap() }
}

/// The crates know nothing of each other: what one sends is what the other looks at.
#[test]
fn what_is_gathered_is_what_is_looked_at() {
    let (asked, looked_at) = (discover::Limits::default(), verify::LIMITS);
    assert_eq!(asked.envelope_bytes, looked_at.envelope_bytes as u64);
    assert_eq!(asked.proof_bytes, looked_at.proof_bytes as u64);
    assert_eq!(asked.rotations, looked_at.rotations);
    // As many of each way (`discover::search::Way`), of which there are at most three in a mode: Local has those that
    // were given, of DHCP, and on the link.
    assert_eq!(3 * asked.origins * asked.rotations, looked_at.rotation_candidates);
    assert!(asked.rotation_bytes >= looked_at.envelope_bytes);
}

#[test]
fn what_time_it_is_is_known_before_anybody_is_asked() {
    let trust = Trust::parse(TRUST.as_bytes()).unwrap();
    let now = |state, clock: &str| {
        let followed = rotation::follow(trust.clone(), []);
        let clock = clock.parse::<verify::Timestamp>().unwrap().unix();
        let now = Memory { store: None, state, broken: None, followed, first: Sha256Digest::of(TRUST.as_bytes()) }
            .now(Some(clock));
        (now.time.to_string(), now.trusted)
    };
    let later = State { issued: "2027-06-01T00:00:00Z".parse().unwrap(), ..remembered() };
    let (built, issued) = ("2026-11-20T12:00:00Z".to_owned(), "2027-06-01T00:00:00Z".to_owned());
    let (early, winter) = ("1970-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(now(Ok(None), early), (built.clone(), false));
    assert_eq!(now(Ok(None), winter), (winter.to_owned(), true));
    assert_eq!(now(Ok(Some(later.clone())), winter), (issued, false), "what was acknowledged has passed");
    assert_eq!(now(Err(unreadable("state.json")), winter), (winter.to_owned(), true));
    let other = State { channel: "other".parse().unwrap(), ..later };
    assert_eq!(now(Ok(Some(other)), early), (built, false));
}

#[test]
fn floors_hold_when_a_kept_trust_file_cannot_be_read() {
    let trust = Trust::parse(TRUST.as_bytes()).unwrap();
    let (floors, remarks) = weigh(Ok(Some(remembered())), Some(unreadable("trust/2.dsse.json")), &trust).unwrap();
    assert_eq!(floors.version, 7);
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert!(remarks[0].contains("trust/2.dsse.json") && remarks[0].contains("later one than epoch 1"), "{remarks:?}");
}

#[test]
fn both_errors_are_said_and_either_is_enough_to_refuse() {
    let trust = Trust::parse(TRUST.as_bytes()).unwrap();
    let both = |trust| weigh(Err(unreadable("state.json")), Some(unreadable("trust/2.dsse.json")), trust);
    let (floors, remarks) = both(&trust).unwrap();
    assert_eq!(floors, Floors::default());
    assert!(remarks[0].contains("state.json") && remarks[1].contains("trust/2.dsse.json"), "{remarks:?}");

    let strict = TRUST.replace(r#""state":"warn""#, r#""state":"refuse""#);
    let strict = Trust::parse(strict.as_bytes()).unwrap();
    assert!(both(&strict).unwrap_err().to_string().contains("state.json"));
    let broken = weigh(Ok(Some(remembered())), Some(unreadable("trust/2.dsse.json")), &strict).unwrap_err();
    assert!(broken.to_string().contains("trust/2.dsse.json"), "{broken}");
    assert_eq!(weigh(Ok(Some(remembered())), None, &strict).unwrap().0.version, 7);
}

#[test]
fn only_what_the_machine_would_boot_is_a_release_in_hand() {
    let trust = Trust::parse(release::trust().to_string().as_bytes()).unwrap();
    let now = Now { time: Timestamp::from_unix(release::NOW), trusted: true };
    let accepts = |version: u64, key: u8, floor: u64| {
        let mut manifest = release::manifest();
        manifest["version"] = version.into();
        manifest["arch"] = Arch::COMPILED.as_str().into();
        let envelope = release::envelope(release::MANIFEST_TYPE, manifest.to_string().as_bytes(), &[key]);
        let candidate = discover::Candidate { source: "somebody".into(), envelope, proof: None };
        let gathered = Gathered { candidates: vec![candidate], ..Gathered::default() };
        let state = Ok(Some(State { version: floor, ..remembered() }));
        let followed = rotation::follow(trust.clone(), []);
        Memory { store: None, state, broken: None, followed, first: Sha256Digest::of(TRUST.as_bytes()) }
            .accepts(&gathered, now)
    };
    assert!(accepts(7, 1, 7));
    assert!(!accepts(7, 5, 7), "a stranger signed it");
    assert!(!accepts(7, 1, 8), "it is older than what was acknowledged");
    let followed = rotation::follow(trust, []);
    let first = Sha256Digest::of(TRUST.as_bytes());
    let nothing = Memory { store: None, state: Ok(None), broken: None, followed, first };
    assert!(!nothing.accepts(&Gathered::default(), now));
}
