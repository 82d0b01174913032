//! What goes right: the chain is followed, from wherever a machine stands and whatever stands in between.

use verify::{Followed, LIMITS, rotation};

use super::owner::{STOLEN, first, next, release, role, rotation, rotations, served_rotations};

/// The chain's end and the epochs of its steps.
fn steps<S>(followed: &Followed<S>) -> (u64, Vec<u64>) {
    (followed.trust().epoch, followed.accepted().iter().map(|(epoch, _)| *epoch).collect())
}

#[test]
fn three_rotations_are_followed_in_whatever_order_they_arrive() {
    let [second, third, fourth] = served_rotations();
    let orders = [
        [&second, &third, &fourth],
        [&second, &fourth, &third],
        [&third, &second, &fourth],
        [&third, &fourth, &second],
        [&fourth, &second, &third],
        [&fourth, &third, &second],
    ];
    for order in orders {
        let followed = rotation::follow(first(), order.into_iter().cloned().enumerate());
        assert_eq!(steps(&followed), (4, vec![2, 3, 4]));
        assert_eq!(*followed.trust(), rotations()[2].0);
        assert_eq!(followed.accepted().iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), served_rotations());
        assert!(followed.refused().is_empty());
    }
}

#[test]
fn a_machine_that_knows_part_of_the_chain_follows_the_rest() {
    let [second, third, fourth] = served_rotations();
    let followed = rotation::follow(first(), [("disk", second)]);
    assert_eq!(steps(&followed), (2, vec![2]));
    let followed = followed.further([("mirror", third)]).further([("mirror", fourth)]);
    assert_eq!(steps(&followed), (4, vec![2, 3, 4]));
    assert!(followed.refused().is_empty());
    // An image of a later epoch starts there.
    assert_eq!(steps(&rotation::follow(rotations()[1].0.clone(), [("mirror", served_rotations()[2].clone())])).0, 4);
}

#[test]
fn the_same_file_from_several_sources_is_no_news() {
    let [second, ..] = served_rotations();
    // One mirror has it with one more signature: the bytes differ, what is signed does not.
    let more = rotation(&rotations()[0].0, &[1, 2, 3]);
    let followed = rotation::follow(first(), [("a", second.clone()), ("b", second.clone()), ("c", more)]);
    assert_eq!((followed.accepted(), followed.refused().len()), (&[(2, second)][..], 0));
}

#[test]
fn junk_between_the_steps_stops_nothing_and_is_named() {
    let [second, third, fourth] = served_rotations();
    let junk = b"<html>404 Not Found</html>".to_vec();
    let found = [
        ("web", junk.clone()),
        ("b", fourth),
        ("a", Vec::new()),
        ("b", second),
        ("key", release(1, &[1])),
        ("b", third),
    ];
    let followed = rotation::follow(first(), found);
    assert_eq!(steps(&followed), (4, vec![2, 3, 4]));
    let refused: Vec<_> = followed.refused().iter().map(|(source, refusal)| (*source, refusal.kind())).collect();
    assert_eq!(refused, [("web", "format"), ("a", "format"), ("key", "payload-type")]);
}

#[test]
fn of_two_files_of_one_epoch_the_first_counts_and_the_other_is_told() {
    let other = next(&first(), |trust| trust.minimum_version = 5);
    let found = [("junk", Vec::new()), ("a", served_rotations()[0].clone()), ("b", rotation(&other, &[1, 3]))];
    let followed = rotation::follow(first(), found);
    assert_eq!(*followed.trust(), rotations()[0].0);
    let twice = followed.refused().iter().find(|(source, _)| *source == "b").map(|(_, refusal)| refusal).unwrap();
    assert_eq!(twice.kind(), "twice");
    let digest = verify::Sha256Digest::of(followed.trust().to_json().unwrap().as_bytes());
    let wanted = format!("it is a second trust file of epoch 2; the one with SHA-256 {digest} was taken");
    assert_eq!(twice.to_string(), wanted);
}

#[test]
fn one_boot_follows_32_steps() {
    let mut trust = first();
    let mut chain = Vec::new();
    for _ in 0..=LIMITS.rotations {
        trust = next(&trust, |_| {});
        chain.push(rotation(&trust, &[1, 2]));
    }
    let followed = rotation::follow(first(), chain.iter().cloned().enumerate());
    assert_eq!(followed.trust().epoch, 33);
    let (source, refusal) = &followed.refused()[0];
    assert_eq!((*source, refusal.kind(), followed.refused().len()), (32, "too-far", 1));
    let wanted = "the trust file was not followed: 32 others were, which is as many as one boot follows";
    assert_eq!(refusal.to_string(), wanted);
    // In several goes it is the same.
    let mut followed = rotation::follow(first(), None);
    for step in chain {
        followed = followed.further([(0, step)]);
    }
    assert_eq!((followed.trust().epoch, followed.refused().len()), (33, 1));
}

#[test]
fn only_so_many_envelopes_are_looked_at() {
    let junk = |count: usize| (0..count).map(|n| n.to_string().into_bytes());
    let follow = |count| rotation::follow(first(), junk(count).chain([served_rotations()[0].clone()]).enumerate());
    assert_eq!(follow(LIMITS.rotation_candidates - 1).trust().epoch, 2);
    let followed = follow(LIMITS.rotation_candidates);
    assert_eq!(followed.trust().epoch, 1);
    let last = followed.refused().iter().find(|(source, _)| *source == 768).map(|(_, refusal)| refusal).unwrap();
    assert_eq!(
        (last.kind(), last.to_string().as_str()),
        ("too-many", "the trust file was not looked at: 768 others came before it")
    );
}

#[test]
fn what_many_sent_is_looked_at_once_and_refused_for_each() {
    let junk = std::iter::repeat_n(b"junk".to_vec(), 2 * LIMITS.rotation_candidates);
    let followed = rotation::follow(first(), junk.chain([served_rotations()[0].clone()]).enumerate());
    assert_eq!(followed.trust().epoch, 2);
    let sources: Vec<_> = followed.refused().iter().map(|(source, refusal)| (*source, refusal.kind())).collect();
    assert_eq!(sources, (0..1536).map(|source| (source, "format")).collect::<Vec<_>>());
}

#[test]
fn every_holder_may_sign_alone_and_later() {
    // A root key that stays, one that comes: the threshold of each file is reached by its own keys.
    let trust = next(&first(), |trust| trust.roles.root = role(2, &[3, 4]));
    let step = |keys: &[u8]| rotation::follow(first(), [((), rotation(&trust, keys))]).trust().epoch;
    assert_eq!([step(&[1, 2]), step(&[3, 4]), step(&[1, 3]), step(&[1, 3, 4]), step(&[1, 2, 3, 4])], [1, 1, 1, 2, 2]);
}

#[test]
fn a_stolen_release_key_signs_until_it_is_removed() {
    let [second, third, _] = rotations();
    let check = |trust: &verify::Trust| {
        let rules = verify::Rules {
            trust,
            arch: verify::Arch::X86_64,
            now: verify::Now::decide(None, trust.built, None),
            floors: verify::Floors::default(),
        };
        verify::verified::manifest(&release(7, &[STOLEN]).into(), &rules).map(|release| release.version)
    };
    assert_eq!((check(&first()), check(&second.0)), (Ok(7), Ok(7)));
    let refusal = check(&third.0).unwrap_err();
    assert_eq!(refusal.kind(), "unknown-key");
    let [stolen, twelve, thirteen] = [STOLEN, 12, 13].map(super::owner::id);
    assert_eq!(refusal.to_string(), format!("signed by key {stolen}, wanted 1 of {twelve}, {thirteen}"));
}
