//! The answers of a TPM: any bytes give what they hold or a refusal that can be said, and nothing that is not in them.

#![no_main]

use init::store::tpm::codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    match codec::data(answer) {
        Ok(data) => {
            assert!(answer.windows(data.len().max(1)).any(|window| window == data) || data.is_empty());
            assert_eq!(codec::done(answer), Ok(()));
        }
        Err(refused) => assert!(!refused.to_string().contains(char::is_control), "{refused:?}"),
    }
    if codec::public(answer).is_ok() {
        assert_eq!(codec::done(answer), Ok(()));
        assert!(answer.len() >= 10 + 2 + 14, "shorter than any public area");
    }
});
