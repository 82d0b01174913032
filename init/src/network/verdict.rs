//! How long to wait for a network, and what for: the decision, without the waiting.

use std::time::Duration;

use super::Settings;

/// What is known at one moment. Times are since the search began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Situation {
    /// Now.
    pub(super) now: Duration,
    /// Interfaces on which an address may be asked for.
    pub(super) interfaces: usize,
    /// Those that have or had a carrier.
    pub(super) running: usize,
    /// Those of the running ones whose DHCP client has not given up.
    pub(super) asking: usize,
    /// From when on a global IPv6 address is to be taken, if there is one.
    pub(super) ipv6_from: Option<Duration>,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait, at most until then.
    Wait(Duration),
    /// No DHCP lease is to be expected, and IPv6 is there: take it.
    TakeIpv6,
    /// There is no interface to ask on.
    NoInterface,
    /// No interface has a carrier.
    NoCarrier,
    /// There is a carrier, and no address.
    NoAddress,
}

/// Decides. A lease ends the search before this is asked.
pub(super) fn decide(situation: &Situation, settings: &Settings) -> Verdict {
    let Situation { now, interfaces, running, asking, ipv6_from } = *situation;
    let mut until = settings.deadline;
    if let Some(from) = ipv6_from {
        if asking == 0 || now >= from.min(settings.deadline) {
            return Verdict::TakeIpv6;
        }
        until = until.min(from);
    }
    if asking == 0 {
        // A port without a carrier may be about to get one; when all have one, nothing more is to come.
        until = until.min(if interfaces == 0 { settings.interface } else { settings.carrier });
        if now < until && (interfaces == 0 || running < interfaces) {
            return Verdict::Wait(until);
        }
    } else if now < until {
        return Verdict::Wait(until);
    }
    match (interfaces, running) {
        (0, _) => Verdict::NoInterface,
        (_, 0) => Verdict::NoCarrier,
        _ => Verdict::NoAddress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn decided(now: u64, interfaces: usize, running: usize, asking: usize, ipv6_from: Option<u64>) -> Verdict {
        let settings =
            Settings { deadline: seconds(90), interface: seconds(20), carrier: seconds(45), ..Settings::default() };
        let ipv6_from = ipv6_from.map(seconds);
        decide(&Situation { now: seconds(now), interfaces, running, asking, ipv6_from }, &settings)
    }

    #[test]
    fn an_interface_and_a_carrier_are_waited_for() {
        assert_eq!(decided(0, 0, 0, 0, None), Verdict::Wait(seconds(20)));
        assert_eq!(decided(20, 0, 0, 0, None), Verdict::NoInterface);
        assert_eq!(decided(44, 2, 0, 0, None), Verdict::Wait(seconds(45)));
        assert_eq!(decided(45, 2, 0, 0, None), Verdict::NoCarrier);
    }

    #[test]
    fn a_client_that_asks_is_waited_for() {
        assert_eq!(decided(46, 2, 1, 1, None), Verdict::Wait(seconds(90)));
        assert_eq!(decided(90, 2, 1, 1, None), Verdict::NoAddress);
    }

    #[test]
    fn when_every_client_gave_up_only_a_port_without_a_carrier_is_waited_for() {
        assert_eq!(decided(33, 1, 1, 0, None), Verdict::NoAddress);
        assert_eq!(decided(33, 2, 1, 0, None), Verdict::Wait(seconds(45)));
        assert_eq!(decided(45, 2, 1, 0, None), Verdict::NoAddress);
        assert_eq!(decided(33, 2, 1, 0, Some(40)), Verdict::TakeIpv6);
    }

    #[test]
    fn dhcp_goes_before_ipv6_for_a_short_while() {
        assert_eq!(decided(2, 1, 1, 1, Some(3)), Verdict::Wait(seconds(3)));
        assert_eq!(decided(3, 1, 1, 1, Some(3)), Verdict::TakeIpv6);
        assert_eq!(decided(90, 1, 1, 1, Some(95)), Verdict::TakeIpv6);
    }
}
