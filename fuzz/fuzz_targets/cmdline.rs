//! A kernel command line is read within its limits, and what reaches the next kernel is the signed line and nothing that is
//! not on the allow-list.

#![no_main]

use init::network::plan::{Addressing, Ip, MOST_MEMBERS};
use init::parameters::{MOST_ATTEMPTS, MOST_ORIGINS, Parameters};
use init::{cmdline, kexec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let line = String::from_utf8_lossy(bytes);
    let (parameters, ignored) = Parameters::parse(&line);
    assert!(parameters.origins.len() <= MOST_ORIGINS);
    assert!(parameters.attempts.is_none_or(|attempts| (1..=MOST_ATTEMPTS).contains(&attempts)));
    let network = &parameters.network;
    assert!(network.vlan.as_ref().is_none_or(|vlan| (1..=4094).contains(&vlan.id)));
    assert!(network.bond.as_ref().is_none_or(|bond| (2..=MOST_MEMBERS).contains(&bond.members.len())));
    if let Some(Ip { addressing: Addressing::Fixed(fixed), .. }) = &network.ip {
        let most = if fixed.address.is_ipv4() { 32 } else { 128 };
        assert!((1..=most).contains(&fixed.prefix) && fixed.dns.len() <= 2, "{fixed:?}");
        assert!(!fixed.address.is_unspecified() && !fixed.address.is_multicast() && !fixed.address.is_loopback());
    }
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
