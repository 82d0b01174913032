//! A memory that cannot be read is said to be so; whether the machine boots without it is its owner's decision.

use crate::support::{Boot, Lab, PhaseData, Release, Serve};

const WHOLE: &[u8] =
    br#"{"schema": "phase.state/1", "channel": "e2e", "epoch": 1, "version": 7, "issued": "2026-11-20T12:00:00Z"}"#;

fn release() -> Serve {
    Serve::tree(Release { handoff: "direct", acknowledges: true, ..Release::default() }.publish())
}

#[track_caller]
fn is_refused(disk: Option<&PhaseData>, error: &str, words: &str) {
    let server = release();
    let mut boot = Boot::start(&Lab::ready().strict_machine(disk).append(&server.origin()));
    boot.is_refused("trust", error, &["state: refuse", words]);
    boot.powers_off();
    assert!(!server.access_log().iter().any(|line| line.contains("/blobs/")), "its blobs were asked for");
}

#[test]
fn garbage_is_refused_if_it_says_refuse() {
    is_refused(Some(&PhaseData::holding(b"\0\xff\x1b[2J{")), "state-damaged", "the state is damaged");
}

#[test]
fn a_megabyte_is_refused_if_it_says_refuse() {
    is_refused(Some(&PhaseData::holding(&vec![b' '; 1 << 20])), "state-damaged", "the state is damaged");
}

#[test]
fn a_disk_that_is_away_is_refused_if_it_says_refuse() {
    is_refused(None, "state-missing", "no disk has a partition with PARTUUID");
}

#[test]
fn a_cut_one_is_warned_about_if_it_says_warn_and_mended_by_the_release() {
    let (server, disk) = (release(), PhaseData::holding(&WHOLE[..60]));
    let mut boot = Boot::start(&Lab::ready().disk_machine(&disk).append(&server.origin()));
    assert_eq!(boot.reaches_the_release("direct")["version"], 1);
    assert!(boot.says("what this machine remembers cannot be used"), "it was not said");
    assert!(boot.says("phase-test: acknowledged release 1 of e2e"), "it was not mended");
}
