//! What a thief can do to a fleet with one release key, and how the root keys undo it.

use verify::dsse::MANIFEST_TYPE;
use verify::{LIMITS, State, Trust};

use super::machine::Machine;
use super::owner::{STOLEN, first, manifest, next, release, role, rotation, rotations, served_rotations, signed};

/// The highest version there can be.
const HIGHEST: u64 = LIMITS.integer;

/// 15 years after the first trust file: the latest `issued` that it accepts.
const LATEST: &str = "2041-11-16T12:00:00Z";

/// The thief's release.
fn evil(version: u64, issued: &str, expires: &str) -> Vec<u8> {
    signed(MANIFEST_TYPE, &manifest(version, issued, expires, 1), &[STOLEN])
}

/// The stolen key goes; `reset` also takes back what was acknowledged before.
fn without_the_stolen_key(reset: bool) -> (Trust, Vec<u8>) {
    let trust = next(&first(), |next| {
        next.roles.release = role(1, &[12]);
        next.floor_epoch = if reset { next.epoch } else { 0 };
    });
    let envelope = rotation(&trust, &[1, 2]);
    (trust, envelope)
}

/// The kinds of all refusals.
fn kinds(refused: Vec<(&'static str, String)>) -> Vec<&'static str> {
    refused.into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn what_was_only_booted_changes_nothing() {
    let mut machine = Machine::new();
    let evil = evil(HIGHEST, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z");
    assert_eq!(machine.boot(&[], &[evil]).unwrap().version, HIGHEST);
    assert_eq!(machine.state, None);
    assert_eq!(machine.boot(&[], &[release(7, &[STOLEN])]).unwrap().version, 7);
}

#[test]
fn the_highest_version_that_was_acknowledged_is_taken_back_by_a_rotation() {
    let mut machine = Machine::new();
    let running = machine.boot(&[], &[evil(HIGHEST, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z")]).unwrap();
    machine.acknowledge(&running);
    let (plain, plain_envelope) = without_the_stolen_key(false);
    let honest = release(7, &[12]);
    // The key goes, the floor stays: nothing that anybody may sign is new enough.
    let mut rotated = machine.clone();
    let refused = rotated.boot(&[plain_envelope], std::slice::from_ref(&honest)).unwrap_err();
    assert_eq!(refused, [("rollback", format!("the release has version 7, wanted at least {HIGHEST}"))]);

    // The floor goes with the key, or with a rotation later.
    let (_, at_once) = without_the_stolen_key(true);
    let later = rotation(&next(&plain, |next| next.floor_epoch = next.epoch), &[1, 2]);
    for (mut machine, rotation, epoch) in [(machine, at_once, 2), (rotated, later, 3)] {
        let running = machine.boot(&[rotation], std::slice::from_ref(&honest)).unwrap();
        machine.acknowledge(&running);
        let remembered = machine.state.clone().unwrap();
        assert_eq!((remembered.version, remembered.epoch), (7, epoch));
        // From then on floors rise as they did before, with the mirror gone and the rotation on the disk.
        assert_eq!(machine.boot(&[], std::slice::from_ref(&honest)).unwrap().version, 7);
        assert_eq!(kinds(machine.boot(&[], &[release(6, &[12])]).unwrap_err()), ["rollback"]);
    }
}

#[test]
fn a_release_of_2099_is_refused_by_every_clock() {
    let of_2099 = evil(8, "2099-01-01T00:00:00Z", "2099-12-31T00:00:00Z");
    let wanted = "the release was issued at 2099-01-01T00:00:00Z, wanted at most 15 years after 2026-11-20T12:00:00Z, \
                  when the trust file was made";
    for rtc in [None, Some(0), Machine::new().rtc, Some(4_070_908_800)] {
        let mut machine = Machine { rtc, ..Machine::new() };
        let refused = machine.boot(&[], std::slice::from_ref(&of_2099)).unwrap_err();
        assert_eq!(refused, [("future", wanted.to_owned())], "{rtc:?}");
        assert_eq!(machine.boot(&[], &[release(7, &[STOLEN])]).unwrap().version, 7, "{rtc:?}");
    }
}

#[test]
fn clocks_of_1970_and_2099_are_not_believed() {
    for rtc in [Some(0), Some(4_070_908_800)] {
        let mut machine = Machine { rtc, ..Machine::new() };
        let running = machine.boot(&[], &[release(7, &[STOLEN])]).unwrap();
        machine.acknowledge(&running);
        assert_eq!(machine.boot(&[], &[release(8, &[STOLEN])]).unwrap().version, 8);
        // What expired before the machine last knew the time is refused without a clock.
        let old = manifest(9, "2026-11-01T00:00:00Z", "2026-11-30T00:00:00Z", 1);
        let refused = machine.boot(&[], &[signed(MANIFEST_TYPE, &old, &[STOLEN])]).unwrap_err();
        let wanted = "the release expired at 2026-11-30T00:00:00Z, and it is at least 2026-12-01T00:00:00Z";
        assert_eq!(refused, [("expired", wanted.to_owned())]);
    }
}

#[test]
fn the_latest_time_that_can_be_acknowledged_is_taken_back_by_a_rotation() {
    let late = evil(8, LATEST, "2041-12-01T00:00:00Z");
    // A machine with a clock is not moved.
    let refused = Machine::new().boot(&[], std::slice::from_ref(&late)).unwrap_err();
    assert_eq!(refused, [("future", format!("the release was issued at {LATEST}, but it is 2027-01-15T00:00:00Z"))]);

    let mut machine = Machine { rtc: None, ..Machine::new() };
    let running = machine.boot(&[], &[late]).unwrap();
    machine.acknowledge(&running);
    // Now it is 2041 there, whatever clock is put in: every honest release is out of date.
    for rtc in [None, Machine::new().rtc] {
        machine.rtc = rtc;
        let refused = machine.boot(&[], &[release(9, &[STOLEN])]).unwrap_err();
        let wanted = format!("the release expired at 2027-12-01T00:00:00Z, and it is at least {LATEST}");
        assert_eq!(refused, [("expired", wanted)]);
    }
    let (_, reset) = without_the_stolen_key(true);
    let running = machine.boot(&[reset], &[release(9, &[12])]).unwrap();
    machine.acknowledge(&running);
    let remembered = machine.state.as_ref().unwrap();
    assert_eq!(remembered.issued.to_string(), "2026-12-01T00:00:00Z");
    assert_eq!(machine.boot(&[], &[release(9, &[12])]).unwrap().version, 9);
}

#[test]
fn a_withheld_rotation_is_noticed_by_min_epoch() {
    let manifest = manifest(9, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z", 3);
    let newer = signed(MANIFEST_TYPE, &manifest, &[STOLEN, 12]);
    let [second, third, _] = served_rotations();
    let mut machine = Machine::new();
    // The mirror has the release, and only a part of the chain.
    for served in [vec![], vec![second.clone()], vec![third.clone()]] {
        let has = 1 + u64::from(served.contains(&second));
        let refused = Machine::new().boot(&served, std::slice::from_ref(&newer)).unwrap_err();
        let wanted = format!("the release wants trust epoch 3 or newer, this machine has {has}");
        assert_eq!(refused, [("epoch", wanted)]);
    }
    assert_eq!(machine.boot(&[third, second], &[newer]).unwrap().version, 9);
}

#[test]
fn a_withheld_rotation_is_noticed_by_the_machine_s_memory() {
    let mut machine = Machine::new();
    let running = machine.boot(&served_rotations()[..2], &[release(7, &[12])]).unwrap();
    machine.acknowledge(&running);
    // The disk with the rotations is lost, the memory (in a TPM, say) is not. The thief serves what epoch 1 would accept.
    machine.kept.clear();
    let wanted = |seen| {
        format!(
            "the trust file in force has epoch {seen}, but this machine acknowledged a release under epoch 3: the trust \
             files after it are withheld"
        )
    };
    let evil = evil(9, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z");
    let refused = machine.boot(&[], std::slice::from_ref(&evil)).unwrap_err();
    assert_eq!(refused, [("withheld", wanted(1))]);
    let refused = machine.boot(&served_rotations()[..1], std::slice::from_ref(&evil)).unwrap_err();
    assert_eq!(refused, [("withheld", wanted(2))]);
    // With the whole chain it is refused for its key, and the honest one boots.
    assert_eq!(kinds(machine.boot(&served_rotations()[..2], &[evil]).unwrap_err()), ["unknown-key"]);
    assert_eq!(machine.boot(&[], &[release(7, &[12])]).unwrap().version, 7);
}

#[test]
fn an_older_image_catches_up_before_it_boots_anything() {
    let mut machine = Machine { image: rotations()[2].0.clone(), ..Machine::new() };
    let running = machine.boot(&[], &[release(7, &[12, 13])]).unwrap();
    machine.acknowledge(&running);
    machine.image = first();
    assert_eq!(kinds(machine.boot(&[], &[release(8, &[STOLEN])]).unwrap_err()), ["withheld"]);
    assert_eq!(machine.boot(&served_rotations(), &[release(8, &[12, 13])]).unwrap().version, 8);
}

/// Who can write the state can lock the machine out, as with any disk, but not beyond what an owner can exceed; and what
/// nobody can have acknowledged is gone with the next acknowledgement.
#[test]
fn a_state_that_an_intruder_wrote_fails_closed_or_counts_for_nothing() {
    let forged = |epoch, issued: &str| {
        Some(State { channel: "demo".parse().unwrap(), epoch, version: 0, issued: issued.parse().unwrap() })
    };
    let honest = [release(7, &[STOLEN])];
    let mut machine = Machine { state: forged(1001, "2026-12-01T00:00:00Z"), ..Machine::new() };
    assert_eq!(kinds(machine.boot(&[], &honest).unwrap_err()), ["withheld"]);
    for state in [forged(HIGHEST, "2026-12-01T00:00:00Z"), forged(1, "9999-12-31T23:59:59Z")] {
        let mut machine = Machine { state, ..Machine::new() };
        let running = machine.boot(&[], &honest).unwrap();
        machine.acknowledge(&running);
        assert_eq!(kinds(machine.boot(&[], &[release(6, &[STOLEN])]).unwrap_err()), ["rollback"]);
        assert_eq!(machine.boot(&[], &honest).unwrap().version, 7);
    }
}
