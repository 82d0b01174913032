//! A trust file is read and written alike, never has a role that nobody or too few need to sign for, and its refusal
//! can be printed on a console.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::Trust;

fuzz_target!(|bytes: &[u8]| {
    let trust = match Trust::parse(bytes) {
        Ok(trust) => trust,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    };
    let written = trust.to_json().expect("a trust file can be written");
    let again = Trust::parse(written.as_bytes()).expect("what is written is a trust file");
    assert_eq!(again, trust);

    for role in [&trust.roles.root, &trust.roles.release] {
        assert!((1..=role.keys().len()).contains(&role.threshold()));
        for (index, key) in role.keys().iter().enumerate() {
            assert!(role.keys()[..index].iter().all(|other| other.id() != key.id()));
        }
    }
});
