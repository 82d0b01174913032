//! Proofs that anybody may serve, and policies that a trust file may hold: a proof is accepted only if it shows what the
//! log and its witnesses signed, and no policy makes the check endless. The input is a proof, or a policy and a proof with
//! a line of `---` between them.

#![no_main]

#[path = "../../verify/tests/support/log.rs"]
mod log;
#[path = "../../verify/tests/support/release.rs"]
mod release;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use log::Log;
use verify::{ProofRefusal, Transparency};

const PAYLOAD: &[u8] = b"payload";

struct Known {
    rules: Transparency,
    proof: String,
}

/// A log with two leaves, of which the second is the payload's, and the quorum of two of three witnesses.
static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let mut log = Log::new(50, 3);
    log.submit(&release::key(5), b"other");
    let index = log.submit(&release::key(5), PAYLOAD);
    let rules = transparency(&log.policy(2)).expect("a policy");
    let proof = log.proof(index, 3);
    // Otherwise this target would test nothing.
    assert_eq!(rules.check(PAYLOAD, Some(proof.as_bytes())), Ok(()));
    Known { rules, proof }
});

fn transparency(policy: &str) -> Result<Transparency, verify::ValueError> {
    Transparency::new(policy, &[*release::key(5).verifying_key().as_bytes()])
}

/// What nobody can say otherwise than the log did: its id, the leaf, the tree's size, its root and the log's signature.
fn said<'t>(proof: &'t str, field: &str) -> Option<&'t str> {
    proof.lines().find_map(|line| line.strip_prefix(field))
}

fn printable(refusal: &ProofRefusal) {
    assert!(!refusal.to_string().contains(char::is_control), "{refusal:?}");
}

fuzz_target!(|text: &str| {
    let Known { rules, proof } = &*KNOWN;
    if let Some((policy, proof)) = text.split_once("\n---\n") {
        match transparency(policy) {
            Ok(rules) => drop(rules.check(PAYLOAD, Some(proof.as_bytes())).inspect_err(printable)),
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
        }
        return;
    }
    match rules.check(PAYLOAD, Some(text.as_bytes())) {
        Ok(()) => {
            for field in ["log=", "leaf=", "size=", "root_hash=", "signature=", "leaf_index="] {
                // Digits of either case, and a sign before a number, are read alike.
                let seen = said(text, field).map(|value| value.trim_start_matches(['+', '0']).to_ascii_lowercase());
                let known = said(proof, field).map(|value| value.trim_start_matches('0').to_owned());
                assert_eq!(seen, known, "{field} was accepted");
            }
        }
        Err(refusal) => printable(&refusal),
    }
});
