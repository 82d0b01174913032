//! The event log of a measured boot: any bytes give a log that is written as the same bytes, or a refusal that can be said; a
//! replay of it ends, and whole words stay whole.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::LIMITS;
use verify::measured::Log;

fuzz_target!(|bytes: &[u8]| {
    match Log::parse(bytes) {
        Ok(mut log) => {
            assert!(bytes.len() <= LIMITS.measured_log_bytes);
            assert_eq!(log.encode(), bytes);
            let (before, changed, events) = (log.registers(), log.changed().count(), log.events().len());
            assert!(
                before
                    .iter()
                    .zip(log.start())
                    .all(|((bank, value), (first, _))| bank == first && value.len() == bank.size())
            );
            for event in log.events() {
                assert!(!event.words().contains(char::is_control) && log.has(event.words()));
            }
            if log.push("more").is_ok() {
                assert_ne!(log.registers(), before, "an event leaves no trace");
                assert_eq!((log.changed().count(), log.events().len()), (changed, events + 1));
                assert_eq!(Log::parse(&log.encode()), Ok(log));
            }
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
});
