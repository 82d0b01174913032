//! Asks `verify` and the reference the same questions, and panics where they disagree.

use verify::{Arch, Floors, Manifest, Now, Rules, State, Timestamp, Trust, verified};

use super::{Question, Verdict};

/// About a trust file. Returns whether it is one.
pub(crate) fn on_trust(bytes: &[u8]) -> bool {
    let seen = Trust::parse(bytes);
    match super::trust(bytes) {
        Verdict::NotKnown => {}
        Verdict::No => assert!(seen.is_err(), "verify takes what the reference refuses: {seen:?}"),
        Verdict::Yes(wanted) => {
            let seen = seen.as_ref().unwrap_or_else(|error| panic!("the reference takes it, verify says: {error}"));
            let pair = |trust: &super::Trust| (trust.channel.clone(), trust.epoch, trust.built, trust.floor_epoch);
            let ours = (seen.channel.to_string(), seen.epoch, seen.built.unix(), seen.floor_epoch);
            assert_eq!(ours, pair(&wanted));
        }
    }
    seen.is_ok()
}

/// About a state. Returns whether it is one.
pub(crate) fn on_state(bytes: &[u8]) -> bool {
    let seen = State::parse(bytes).map(|s| (s.channel.to_string(), s.epoch, s.version, s.issued.unix()));
    assert_eq!(seen.clone().ok(), super::state(bytes), "{seen:?}");
    seen.is_ok()
}

/// About a manifest that nobody signed. Returns whether it is one.
pub(crate) fn on_manifest(bytes: &[u8]) -> bool {
    let seen = Manifest::parse(bytes);
    assert_eq!(seen.is_ok(), super::manifest(bytes).is_some(), "{seen:?}");
    seen.is_ok()
}

/// What is asked about a release.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// Seconds since 1970.
    pub(crate) now: u64,
    pub(crate) now_is_believed: bool,
    pub(crate) floor_version: u64,
    pub(crate) floor_epoch: u64,
}

/// About a release under a trust file, on a PC. Returns whether it is accepted.
pub(crate) fn on_release(envelope: &[u8], trust: &[u8], circumstances: Circumstances) -> bool {
    let (Ok(ours), Verdict::Yes(theirs)) = (Trust::parse(trust), super::trust(trust)) else { return false };
    let Circumstances { now, now_is_believed, floor_version, floor_epoch } = circumstances;
    let rules = Rules {
        trust: &ours,
        arch: Arch::X86_64,
        now: Now { time: Timestamp::from_unix(now), trusted: now_is_believed },
        floors: Floors { version: floor_version, epoch: floor_epoch, issued: None },
    };
    let question = Question { trust: &theirs, arch: "x86_64", now, now_is_believed, floor_version, floor_epoch };
    let seen = verified::manifest(&envelope.to_vec().into(), &rules).map(|release| super::Release {
        version: release.version,
        manifest_sha256: release.digest().to_string(),
        signers: release.key_ids().iter().map(ToString::to_string).collect(),
    });
    assert_eq!(seen.as_ref().ok(), super::release(envelope, &question).as_ref(), "{seen:?}");
    seen.is_ok()
}
