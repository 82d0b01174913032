//! What a disk or a TPM may hold: a state is read and written alike, fits its index, and an acknowledgement only ever
//! raises it. The input is a state, or two behind each other with a zero byte between them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::{LIMITS, State};

fn read(bytes: &[u8]) -> Option<State> {
    match State::parse(bytes) {
        Ok(state) => Some(state),
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
            None
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let (first, second) = (parts.next().and_then(read), parts.next().and_then(read));
    for state in first.iter().chain(&second) {
        let written = state.to_json().expect("a state can be written");
        assert!(written.len() <= LIMITS.state_bytes / 2, "{written}");
        assert_eq!(State::parse(written.as_bytes()).as_ref(), Ok(state));
        let index = state.to_nv().expect("a state can be written");
        assert_eq!(State::from_nv(&index).expect("what is written is a state").as_ref(), Some(state));
    }
    if let (Some(before), Some(release)) = (&first, &second) {
        for floor_epoch in [0, before.epoch, before.epoch + 1] {
            let after = State::acknowledge(Some(before), release, floor_epoch);
            assert_eq!(after.channel, release.channel);
            let ahead = before.epoch.saturating_sub(release.epoch);
            let distant = before.issued.unix() > release.issued.unix().saturating_add(LIMITS.clock_seconds);
            let damaged = ahead > LIMITS.epochs_ahead || (ahead == 0 && distant);
            let counts = before.channel == release.channel && before.epoch >= floor_epoch && !damaged;
            for lower in [Some(release), counts.then_some(before)].into_iter().flatten() {
                assert!(after.version >= lower.version && after.epoch >= lower.epoch && after.issued >= lower.issued);
            }
            assert!(counts || after == *release, "what was taken back is kept");
            assert_eq!(
                State::acknowledge(Some(&after), release, floor_epoch),
                after,
                "a second time changes something"
            );
        }
    }

    // An index has its size, whoever filled it.
    let mut index = bytes.to_vec();
    index.resize(LIMITS.state_bytes, 0);
    if let Ok(Some(state)) = State::from_nv(&index) {
        assert_eq!(State::parse(state.to_json().expect("a state can be written").as_bytes()), Ok(state));
    }
});
