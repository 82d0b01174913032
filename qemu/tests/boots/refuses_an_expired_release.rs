//! A release that is out of date is refused, whatever the machine's clock makes of it.

use crate::support::{Boot, Lab, Release, Serve, Tree};

fn long_ago() -> Tree {
    Release { issued: Some("2024-01-01T00:00:00Z"), ..Release::default() }.publish()
}

#[test]
fn and_says_when_it_expired() {
    let server = Serve::tree(long_ago());
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("verify", "expired", &["2024-12-31T00:00:00Z"]);
    boot.powers_off();
}

#[test]
fn on_a_machine_whose_clock_says_1970() {
    is_refused_at("1970-01-01T00:00:00");
}

#[test]
fn on_a_machine_whose_clock_says_2099() {
    is_refused_at("2099-01-01T00:00:00");
}

#[track_caller]
fn is_refused_at(clock: &str) {
    let server = Serve::tree(long_ago());
    let mut boot = Boot::start(&Lab::ready().machine().clock(clock).append(&server.origin()));
    let words = ["the machine's clock is not believed", "2024-12-31T00:00:00Z"];
    boot.is_refused("verify", "expired", &words);
    boot.powers_off();
}
