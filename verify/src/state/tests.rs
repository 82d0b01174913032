use super::*;
use crate::clock::Now;
use crate::testing::{replaced, trust};

const STATE: &str = r#"{"schema":"phase.state/1","channel":"demo","epoch":1,"version":7,"issued":"2026-11-20T12:00:00Z"}
"#;

fn state() -> State {
    State::parse(STATE.as_bytes()).unwrap()
}

fn at(epoch: u64, version: u64, issued: &str) -> State {
    State { epoch, version, issued: issued.parse().unwrap(), ..state() }
}

/// What follows where the policy is to warn: the floors, and what is said if there are none.
fn warned(state: State, trust: &Trust) -> Result<Floors, String> {
    let Decision { floors, remark } = decide::<StateError>(Ok(Some(state)), trust).unwrap();
    remark.map_or(Ok(floors), |remark| {
        assert_eq!(floors, Floors::default());
        Err(remark.to_string())
    })
}

/// The error where the policy is to refuse.
fn refused(state: State, trust: &Trust) -> String {
    let mut trust = trust.clone();
    trust.policy.state = Reaction::Refuse;
    decide::<StateError>(Ok(Some(state)), &trust).unwrap_err().to_string()
}

#[test]
fn the_documented_state_is_read_and_written_byte_for_byte() {
    assert_eq!(state().to_json().unwrap(), STATE);
    let spaced = STATE.replace(':', ": ").replace(',', ", ").replace(": 00", ":00").replace("12: ", "12:");
    assert_eq!(State::parse(spaced.as_bytes()), Ok(state()));
}

#[test]
fn what_is_not_documented_is_refused() {
    for (from, to, wanted) in [
        ("state/1", "state/2", r#"state.schema is "phase.state/2", wanted "phase.state/1""#),
        ("demo", "../x", r#"state.channel is "../x", wanted 1 to 32 of"#),
        ("\"epoch\":1", "\"epoch\":0", "state.epoch is 0, wanted an integer from 1 to 9007199254740991"),
        ("\"epoch\":1,", "", "state.epoch is missing"),
        (":7,", ":9007199254740992,", "state is not strict JSON: integer 9007199254740992"),
        (":7,", ":7,\"version\":8,", "state is not strict JSON: duplicate field \"version\""),
        (":7,", ":7,\"verdict\":8,", "state.\"verdict\" is not a field of this version"),
        ("2026", "1969", "state.issued is \"1969-11-20T12:00:00Z\", wanted a time like"),
        ("demo", "de\\u0000mo", "state is not strict JSON: NUL in"),
        ("}\n", "}\0", "state is not strict JSON: trailing characters"),
    ] {
        let message = State::parse(replaced(STATE, from, to).as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with(wanted), "{to:?} gave {message}");
    }
    let long = STATE.to_owned() + &" ".repeat(LIMITS.state_bytes);
    let message = State::parse(long.as_bytes()).unwrap_err().to_string();
    assert_eq!(message, format!("state has {} bytes, wanted at most 512", long.len()));
}

#[test]
fn an_nv_index_holds_a_state_or_nothing_yet() {
    let bytes = state().to_nv().unwrap();
    assert_eq!(bytes.len(), 512);
    assert_eq!(State::from_nv(&bytes), Ok(Some(state())));
    assert_eq!(State::from_nv(&[0; 512]), Ok(None));
    let message = State::from_nv(&bytes[..511]).unwrap_err().to_string();
    assert_eq!(message, "the NV index has 511 bytes, wanted 512");
    // An index that was never written may be all ones; another program's may hold anything.
    assert!(matches!(State::from_nv(&[0xff; 512]), Err(StateError::Format(_))));
    let mut torn = bytes;
    torn[40] = 0;
    assert!(matches!(State::from_nv(&torn), Err(StateError::Format(_))));
}

#[test]
fn the_longest_state_fits() {
    let longest = State {
        channel: "c".repeat(32).parse().unwrap(),
        epoch: LIMITS.integer,
        version: LIMITS.integer,
        issued: Timestamp::MAX,
    };
    let bytes = longest.to_nv().unwrap();
    assert_eq!((bytes.len(), State::from_nv(&bytes)), (512, Ok(Some(longest))));
}

#[test]
fn a_memory_demands_what_was_acknowledged() {
    let floors = Floors { version: 7, epoch: 1, issued: Some("2026-11-20T12:00:00Z".parse().unwrap()) };
    assert_eq!(warned(state(), &trust()), Ok(floors));
}

#[test]
fn a_memory_of_another_channel_demands_nothing() {
    let other = State { channel: "other".parse().unwrap(), ..state() };
    let ignored = warned(other, &trust()).unwrap_err();
    assert_eq!(ignored, "what this machine remembers is not used: it is of channel other, and this is demo");
}

#[test]
fn what_was_taken_back_demands_nothing() {
    let mut trust = trust();
    (trust.epoch, trust.floor_epoch) = (3, 2);
    let poisoned = at(1, LIMITS.integer, "2041-01-01T00:00:00Z");
    let ignored = warned(poisoned, &trust).unwrap_err();
    let wanted = "it is of epoch 1, and the trust file counts only what was acknowledged since epoch 2";
    assert_eq!(ignored, format!("what this machine remembers is not used: {wanted}"));
    // What was acknowledged since then counts.
    assert_eq!(warned(at(2, 8, "2026-11-20T12:00:00Z"), &trust).unwrap().version, 8);
}

/// The trust file's time and so many seconds more.
fn after_built(seconds: u64) -> Timestamp {
    Timestamp::from_unix(trust().built.unix() + seconds)
}

#[test]
fn a_time_that_no_accepted_release_has_is_damage() {
    let latest = after_built(2 * LIMITS.clock_seconds);
    assert_eq!(warned(State { issued: latest, ..state() }, &trust()).unwrap().issued, Some(latest));
    let distant = at(1, 7, "9999-12-31T23:59:59Z");
    let wanted = "it says that a release was issued at 9999-12-31T23:59:59Z, wanted 2056-11-12T12:00:00Z or earlier";
    assert_eq!(refused(distant.clone(), &trust()), wanted);
    let remark = "what this machine remembers cannot be used, so any release that is not expired is new enough";
    assert_eq!(warned(distant.clone(), &trust()), Err(format!("{remark}: {wanted}")));
    // But a state that knows of a newer trust file stays a floor for the epoch, whatever its time is.
    assert_eq!(warned(State { epoch: 2, ..distant.clone() }, &trust()).unwrap().epoch, 2);
    // The owner's way back does not depend on the policy.
    let mut trust = trust();
    (trust.epoch, trust.floor_epoch, trust.policy.state) = (2, 2, Reaction::Refuse);
    assert!(warned(distant, &trust).unwrap_err().contains("is not used: it is of epoch 1"));
}

#[test]
fn an_epoch_that_no_trust_file_has_is_damage() {
    let ahead = |epochs| State { epoch: 1 + epochs, ..state() };
    assert_eq!(warned(ahead(LIMITS.epochs_ahead), &trust()).unwrap().epoch, 1001);
    for epochs in [LIMITS.epochs_ahead + 1, LIMITS.integer - 1] {
        let wanted = format!("it is of epoch {}, wanted at most 1000 more than 1, which is in force", epochs + 1);
        assert_eq!(refused(ahead(epochs), &trust()), wanted);
        assert!(warned(ahead(epochs), &trust()).unwrap_err().ends_with(&wanted));
    }
}

/// Kept, it would be damaged at every boot, and the machine without a floor for good.
#[test]
fn an_acknowledgement_keeps_nothing_of_what_a_boot_calls_damaged() {
    // The latest release that is accepted under the trust file: nothing damaged may pass beside it.
    let release = State { version: 9, issued: after_built(LIMITS.clock_seconds), ..state() };
    for damaged in [
        State { issued: after_built(2 * LIMITS.clock_seconds + 1), ..state() },
        State { issued: Timestamp::MAX, version: LIMITS.integer, ..state() },
        State { epoch: release.epoch + LIMITS.epochs_ahead + 1, ..state() },
        State { epoch: LIMITS.integer, version: LIMITS.integer, issued: Timestamp::MAX, ..state() },
    ] {
        assert!(warned(damaged.clone(), &trust()).is_err(), "{damaged:?}");
        assert_eq!(State::acknowledge(Some(&damaged), &release, 0), release, "{damaged:?}");
    }
}

/// A store that was away when the machine booted is there when the release, an old one, acknowledges itself.
#[test]
fn an_acknowledgement_keeps_whatever_a_machine_can_have_acknowledged() {
    let release = state();
    let latest = State { version: 9, issued: after_built(LIMITS.clock_seconds), ..state() };
    assert_eq!(State::acknowledge(Some(&latest), &release, 0), latest);
    let rotated = State { epoch: 1 + LIMITS.epochs_ahead, version: 9, ..state() };
    assert_eq!(State::acknowledge(Some(&rotated), &release, 0), rotated);
}

#[test]
fn an_acknowledgement_keeps_the_highest_of_each() {
    let before = at(2, 7, "2027-01-01T00:00:00Z");
    let release = at(1, 9, "2026-12-01T00:00:00Z");
    assert_eq!(State::acknowledge(None, &release, 0), release);
    assert_eq!(State::acknowledge(Some(&before), &release, 0), at(2, 9, "2027-01-01T00:00:00Z"));
    assert_eq!(State::acknowledge(Some(&release), &before, 0), at(2, 9, "2027-01-01T00:00:00Z"));
    let other = State { channel: "other".parse().unwrap(), ..before };
    assert_eq!(State::acknowledge(Some(&other), &release, 0), release);
}

/// Without this, the first acknowledgement after the recovery would lock the machine out again.
#[test]
fn an_acknowledgement_does_not_carry_over_what_was_taken_back() {
    let poisoned = at(1, LIMITS.integer, "2041-01-01T00:00:00Z");
    let release = at(2, 9, "2026-12-01T00:00:00Z");
    assert_eq!(State::acknowledge(Some(&poisoned), &release, 2), release);
    assert_eq!(State::acknowledge(Some(&poisoned), &release, 1).version, LIMITS.integer);
}

#[test]
fn without_its_memory_a_machine_does_what_the_policy_says() {
    let mut trust = trust();
    let none = Floors::default();
    let torn = || StateError::NvSize { seen: 511, wanted: 512 };
    trust.policy.state = Reaction::Refuse;
    assert_eq!(decide(Err(torn()), &trust), Err(torn()));
    // A machine that never acknowledged anything has to boot once.
    assert_eq!(decide::<StateError>(Ok(None), &trust), Ok(Decision { floors: none, remark: None }));
    assert_eq!(decide::<StateError>(Ok(Some(state())), &trust).unwrap().floors.version, 7);

    trust.policy.state = Reaction::Warn;
    let Decision { floors, remark } = decide(Err(torn()), &trust).unwrap();
    assert_eq!(floors, none);
    let wanted = "what this machine remembers cannot be used, so any release that is not expired is new enough: the NV \
                  index has 511 bytes, wanted 512";
    assert_eq!(remark.unwrap().to_string(), wanted);
}

#[test]
fn what_is_not_used_is_said() {
    let other = State { channel: "other".parse().unwrap(), ..state() };
    let Decision { floors, remark } = decide::<StateError>(Ok(Some(other)), &trust()).unwrap();
    assert_eq!(floors, Floors::default());
    assert_eq!(
        remark.unwrap().to_string(),
        "what this machine remembers is not used: it is of channel other, and this is demo"
    );
}

/// What remains: one release that the keys in force signed can move a machine without a clock up to 15 years ahead, if it
/// is acknowledged. Then `floor_epoch` brings it back.
#[test]
fn the_machine_s_time_ends_15_years_after_its_trust_file() {
    let mut trust = trust();
    let latest = trust.built.unix() + LIMITS.clock_seconds;
    let state = State { issued: Timestamp::from_unix(latest), ..state() };
    let floors = decide::<StateError>(Ok(Some(state.clone())), &trust).unwrap().floors;
    assert_eq!(Now::decide(None, trust.built, floors.issued).time.unix(), latest);
    (trust.epoch, trust.floor_epoch) = (2, 2);
    let floors = decide::<StateError>(Ok(Some(state)), &trust).unwrap().floors;
    assert_eq!(Now::decide(None, trust.built, floors.issued).time, trust.built);
}
