//! A kernel command line is read within its limits, and what reaches the next kernel is the signed line and nothing that is
//! not on the allow-list.

#![no_main]

use init::parameters::{MOST_ATTEMPTS, MOST_ORIGINS, Parameters};
use init::{cmdline, kexec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let line = String::from_utf8_lossy(bytes);
    let (parameters, ignored) = Parameters::parse(&line);
    assert!(parameters.origins.len() <= MOST_ORIGINS);
    assert!(parameters.attempts.is_none_or(|attempts| (1..=MOST_ATTEMPTS).contains(&attempts)));
    assert!(ignored.iter().all(|ignored| ignored.to_string().len() < 600));

    let Ok(next) = kexec::command_line("signed=1 quiet", &line) else { return };
    let next = next.to_str().expect("made of text");
    assert!(next.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{next:?}");
    assert!(next.starts_with("signed=1 quiet"));
    for (key, value) in cmdline::words(next).skip(2) {
        let allowed = matches!(
            (key.as_ref(), value.as_deref()),
            ("console" | "phase.mode", Some(_)) | ("phase.quiet", None) | ("efi", Some("noruntime"))
        );
        assert!(allowed, "{key:?}={value:?} reached the next kernel: {next:?}");
    }
});
