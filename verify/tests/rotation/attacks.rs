//! After each of the rotations, every attack on the next one. Each is refused by kind and message, leaves in force what was,
//! and does not keep the real rotation from being followed.

use verify::dsse::{self, Envelope};
use verify::{LIMITS, Trust, rotation};

use super::owner::{STOLEN, first, id, manifest, next, role, rotation, rotations, signed};

/// The keys of a trust file: those of its root role, and how many of them sign.
struct Roots {
    keys: &'static [u8],
    threshold: usize,
}

impl Roots {
    fn of(trust: &Trust) -> Self {
        let keys: &[u8] = if trust.epoch < 4 { &[1, 2, 3] } else { &[4, 5, 6, 7] };
        let threshold = trust.roles.root.threshold();
        assert_eq!(trust.roles.root, role(threshold, keys), "the table is out of date");
        Self { keys, threshold }
    }

    /// As many as are needed.
    fn enough(&self) -> &'static [u8] {
        &self.keys[..self.threshold]
    }

    fn too_few(&self) -> &'static [u8] {
        &self.keys[..self.threshold - 1]
    }
}

/// What an attacker offers, and how it is refused.
struct Attack {
    name: &'static str,
    envelope: Vec<u8>,
    kind: &'static str,
    message: String,
}

fn attack(name: &'static str, envelope: Vec<u8>, kind: &'static str, message: impl Into<String>) -> Attack {
    Attack { name, envelope, kind, message: message.into() }
}

/// The keys of the attacker.
const THEIRS: [u8; 3] = [21, 22, 23];

fn all(trust: &Trust) -> Vec<Attack> {
    let mut attacks = by_too_few(trust);
    attacks.extend(by_the_wrong_keys(trust));
    attacks.extend(with_wrong_fields(trust));
    attacks.extend(with_wrong_bytes(trust));
    attacks.extend(old_ones(trust));
    attacks
}

/// A rotation to the attacker's own keys, which is what all of this is for.
fn taken_over(trust: &Trust) -> Trust {
    next(trust, |next| {
        next.roles.root = role(1, &THEIRS);
        next.roles.release = role(1, &THEIRS);
    })
}

fn in_force_says(trust: &Trust, problem: &str) -> String {
    format!("not enough root keys of the trust file in force (epoch {}) have signed: {problem}", trust.epoch)
}

fn itself_says(trust: &Trust, problem: &str) -> String {
    format!("not enough root keys of the new trust file itself (epoch {}) have signed: {problem}", trust.epoch + 1)
}

fn by_too_few(trust: &Trust) -> Vec<Attack> {
    let roots = Roots::of(trust);
    let (few, wanted) = (roots.too_few(), roots.threshold);
    let fewer = format!("signed by {} trusted keys, wanted {wanted}", few.len());

    let mut twice = Envelope::parse(&rotation(&taken_over(trust), few)).unwrap();
    while twice.signatures.len() <= wanted {
        twice.signatures.push(twice.signatures[0].clone());
    }
    let mut forged = Envelope::parse(&rotation(&taken_over(trust), roots.enough())).unwrap();
    forged.signatures[0].sig = [0; 64];
    let misses = format!(
        "the signature of key {} does not match the signed bytes: {} good signatures, wanted {wanted}",
        id(roots.keys[0]),
        wanted - 1
    );
    let bytes = |envelope: &Envelope| envelope.to_json().unwrap().into_bytes();
    // The new file wants more of its keys than have signed it, though enough for the old one did.
    let more = next(trust, |next| next.roles.root = role(wanted + 1, &[roots.keys, &[8]].concat()));
    let still_few = format!("signed by {wanted} trusted keys, wanted {}", wanted + 1);
    vec![
        attack(
            "root keys below the threshold",
            rotation(&taken_over(trust), few),
            "threshold",
            in_force_says(trust, &fewer),
        ),
        attack(
            "the attacker's new root keys make up the number",
            rotation(&taken_over(trust), &[few, &THEIRS].concat()),
            "threshold",
            in_force_says(trust, &fewer),
        ),
        attack("one root key signs twice", bytes(&twice), "threshold", in_force_says(trust, &fewer)),
        attack("one signature is made up", bytes(&forged), "signature", in_force_says(trust, &misses)),
        attack(
            "enough for the old threshold only",
            rotation(&more, roots.enough()),
            "threshold",
            itself_says(trust, &still_few),
        ),
    ]
}

fn by_the_wrong_keys(trust: &Trust) -> Vec<Attack> {
    let roots = Roots::of(trust);
    let ids = |keys: &[u8]| keys.iter().map(|&n| id(n).to_string()).collect::<Vec<_>>().join(", ");
    let unknown = |seen: &[u8]| {
        let problem = format!("signed by key {}, wanted {} of {}", ids(seen), roots.threshold, ids(roots.keys));
        in_force_says(trust, &problem)
    };
    let own = format!("signed by key {}, wanted 1 of {}", ids(roots.enough()), ids(&THEIRS));
    let lets_itself_in = next(trust, |next| next.roles.release = role(1, &[STOLEN, 12]));
    let releases = if trust.epoch == 1 { &[STOLEN][..] } else { &[STOLEN, 12, 13] };
    let mut attacks = vec![
        attack("only the new root keys sign", rotation(&taken_over(trust), &THEIRS), "unknown-key", unknown(&THEIRS)),
        attack(
            "only the old root keys sign",
            rotation(&taken_over(trust), roots.enough()),
            "unknown-key",
            itself_says(trust, &own),
        ),
        attack(
            "the stolen release key signs a rotation",
            rotation(&taken_over(trust), &[STOLEN]),
            "unknown-key",
            unknown(&[STOLEN]),
        ),
        attack(
            "the stolen release key lets itself in",
            rotation(&lets_itself_in, &[STOLEN]),
            "unknown-key",
            unknown(&[STOLEN]),
        ),
        attack(
            "all release keys sign a rotation",
            rotation(&taken_over(trust), releases),
            "unknown-key",
            unknown(releases),
        ),
    ];
    if trust.epoch == 4 {
        let former = rotation(&taken_over(trust), &[1, 2, 3]);
        attacks.push(attack("the root keys that were replaced sign", former, "unknown-key", unknown(&[1, 2, 3])));
    }
    attacks
}

fn with_wrong_fields(trust: &Trust) -> Vec<Attack> {
    let keys = Roots::of(trust).enough();
    let with = |change: &dyn Fn(&mut Trust)| rotation(&next(trust, |next| change(next)), keys);
    let epoch = trust.epoch;
    let skips = format!("the trust file has epoch {}, wanted {}: those in between are missing", epoch + 3, epoch + 1);
    let same = format!("the trust file has epoch {epoch}, but {epoch} is in force already");
    let older = format!(
        "the trust file was made at 2026-11-20T11:59:59Z, wanted {} or later, when the one in force was made",
        trust.built
    );
    let floor = format!("trust.floor_epoch is {}, wanted an integer from 0 to {}", epoch + 2, epoch + 1);
    vec![
        attack("epochs are skipped", with(&|next| next.epoch += 2), "gap", skips),
        attack(
            "the epoch is the largest there is",
            with(&|next| next.epoch = LIMITS.integer),
            "gap",
            "9007199254740991, wanted",
        ),
        attack("the same epoch once more", with(&|next| next.epoch -= 1), "old", same),
        attack(
            "another channel",
            with(&|next| next.channel = "other".parse().unwrap()),
            "channel",
            "the trust file is of channel other, wanted demo",
        ),
        attack(
            "made before the one in force",
            with(&|next| next.built = "2026-11-20T11:59:59Z".parse().unwrap()),
            "built",
            older,
        ),
        attack(
            "floors of an epoch to come are taken back",
            with(&|next| next.floor_epoch = next.epoch + 1),
            "format",
            floor,
        ),
    ]
}

fn with_wrong_bytes(trust: &Trust) -> Vec<Attack> {
    let keys = Roots::of(trust).enough();
    let good = next(trust, |_| {});
    let text = good.to_json().unwrap();
    let release = manifest(9, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z", 1);
    let wanted = format!("wanted {:?}", dsse::TRUST_TYPE).replace('"', "");
    let mut changed = Envelope::parse(&rotation(&good, keys)).unwrap();
    changed.payload[20] ^= 1;
    let mut large = rotation(&good, keys);
    large.resize(LIMITS.envelope_bytes + 1, b' ');
    vec![
        attack(
            "a trust file under the type of a manifest",
            signed(dsse::MANIFEST_TYPE, &text, keys),
            "payload-type",
            wanted.clone(),
        ),
        attack(
            "a trust file under a type of nobody",
            signed("application/json\u{1b}", &text, keys),
            "payload-type",
            wanted,
        ),
        attack(
            "a manifest under the type of a trust file",
            signed(dsse::TRUST_TYPE, &release, keys),
            "format",
            r#"trust.schema is "phase.boot/1", wanted "phase.trust/1""#,
        ),
        attack(
            "a bit is flipped",
            changed.to_json().unwrap().into_bytes(),
            "signature",
            "does not match the signed bytes: 0 good signatures",
        ),
        attack("no envelope", text.into_bytes(), "format", "envelope.payloadType is missing"),
        attack(
            "a field twice",
            signed(dsse::TRUST_TYPE, r#"{"epoch": 2, "epoch": 3}"#, keys),
            "format",
            "duplicate field \"epoch\"",
        ),
        attack("too large", large, "too-large", "envelope has 131073 bytes, wanted at most 131072"),
    ]
}

/// Every rotation that led here, once more: each is old to its own successors, and to a root that was replaced it is a
/// stranger's.
fn old_ones(trust: &Trust) -> Vec<Attack> {
    let led_here = rotations().into_iter().filter(|(old, _)| old.epoch <= trust.epoch);
    let replayed = led_here.map(|(old, keys)| {
        let known = keys.iter().filter(|key| Roots::of(trust).keys.contains(key)).count();
        let (kind, message) = if known == 0 {
            ("unknown-key", in_force_says(trust, "signed by key"))
        } else {
            ("old", format!("the trust file has epoch {}, but {} is in force already", old.epoch, trust.epoch))
        };
        attack("an earlier rotation is replayed", rotation(&old, keys), kind, message)
    });
    replayed.collect()
}

/// Each attack alone, then all of them around the real rotation.
fn withstood_by(trust: &Trust) {
    let attacks = all(trust);
    for Attack { name, envelope, kind, message } in &attacks {
        let followed = rotation::follow(trust.clone(), [(*name, envelope.clone())]);
        assert_eq!(followed.trust(), trust, "{name} changed what is in force at epoch {}", trust.epoch);
        assert!(followed.accepted().is_empty(), "{name}");
        let [(_, refusal)] = followed.refused() else { panic!("{name}: {:?}", followed.refused()) };
        assert!(
            refusal.kind() == *kind && refusal.to_string().contains(message),
            "{name}: {}: {refusal}",
            refusal.kind()
        );
        assert!(!refusal.to_string().contains(char::is_control) && !refusal.advice().is_empty(), "{name}");
    }
    let real = next(trust, |next| next.minimum_version = 3);
    let mut offered: Vec<_> = attacks.into_iter().map(|attack| (attack.name, attack.envelope)).collect();
    offered.insert(offered.len() / 2, ("the real one", rotation(&real, Roots::of(trust).enough())));
    let count = offered.len();
    let followed = rotation::follow(trust.clone(), offered);
    assert_eq!(*followed.trust(), real);
    assert_eq!((followed.accepted().len(), followed.refused().len()), (1, count - 1));
}

#[test]
fn before_any_rotation() {
    withstood_by(&first());
}

#[test]
fn after_a_release_key_came() {
    withstood_by(&rotations()[0].0);
}

#[test]
fn after_the_stolen_key_went() {
    withstood_by(&rotations()[1].0);
}

#[test]
fn after_the_root_keys_were_replaced() {
    withstood_by(&rotations()[2].0);
}
