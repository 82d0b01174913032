//! Trust files that anybody may serve: nothing is followed but the two that the root key signed, whatever stands between
//! them, and in whatever order. The input is envelopes, one a line.

#![no_main]

#[path = "../../verify/tests/support/release.rs"]
mod release;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use verify::{LIMITS, Trust, rotation};

const TRUST_TYPE: &str = "application/vnd.phase.boot.trust.v1+json";

/// The trust file of this epoch: key 9 is the root key of all, key `epoch` the release key.
fn trust_of(epoch: u8) -> Value {
    let mut trust = release::trust();
    trust["epoch"] = epoch.into();
    trust["roles"]["release"]["keys"][0]["public"] = release::public(epoch).into();
    trust
}

fn parsed(epoch: u8) -> Trust {
    Trust::parse(trust_of(epoch).to_string().as_bytes()).expect("a trust file")
}

/// The first trust file and its two signed successors.
static TRUST: LazyLock<[Trust; 3]> = LazyLock::new(|| {
    let trust = [1, 2, 3].map(parsed);
    let signed = [2, 3].map(|epoch| release::envelope(TRUST_TYPE, trust_of(epoch).to_string().as_bytes(), &[9]));
    // Otherwise this target would test nothing.
    let followed = rotation::follow(trust[0].clone(), signed.map(|envelope| ((), envelope)));
    assert_eq!(*followed.trust(), trust[2], "{:?}", followed.refused());
    trust
});

fuzz_target!(|bytes: &[u8]| {
    let envelopes: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').take(LIMITS.rotation_candidates).collect();
    let follow = |order: &mut dyn Iterator<Item = &&[u8]>| {
        rotation::follow(TRUST[0].clone(), order.enumerate().map(|(source, envelope)| (source, envelope.to_vec())))
    };
    let followed = follow(&mut envelopes.iter());
    assert_eq!(*followed.trust(), TRUST[followed.accepted().len()], "a trust file was followed that nobody signed");
    for (step, (epoch, envelope)) in followed.accepted().iter().enumerate() {
        assert_eq!(*epoch, TRUST[step].epoch + 1);
        assert!(envelopes.contains(&envelope.as_slice()));
    }
    assert!(followed.accepted().len() + followed.refused().len() <= envelopes.len());
    for (_, refusal) in followed.refused() {
        assert!(!refusal.to_string().contains(char::is_control), "{refusal:?}");
    }
    assert_eq!(follow(&mut envelopes.iter().rev()).trust(), followed.trust(), "the order of arrival matters");
});
