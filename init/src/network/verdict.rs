//! How long to wait for a network, and what for: the decision, without the waiting.

use std::time::Duration;

use super::Settings;

/// What is known at one moment. Times are since the search began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Situation {
    /// Now.
    pub(super) now: Duration,
    /// Ethernet interfaces that there are.
    pub(super) interfaces: usize,
    /// Those that have or had a carrier.
    pub(super) running: usize,
    /// Those of the running ones whose DHCP client has not given up.
    pub(super) asking: usize,
    /// Since when there is a global IPv6 address.
    pub(super) ipv6_since: Option<Duration>,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait, at most until then.
    Wait(Duration),
    /// No DHCP lease is to be expected, and IPv6 is there: take it.
    TakeIpv6,
    /// There is no Ethernet interface.
    NoInterface,
    /// No interface has a carrier.
    NoCarrier,
    /// There is a carrier, and no address.
    NoAddress,
}

/// Decides. A lease ends the search before this is asked.
pub(super) fn decide(situation: &Situation, settings: &Settings) -> Verdict {
    let Situation { now, interfaces, running, asking, ipv6_since } = *situation;
    let mut until = settings.deadline;
    if let Some(since) = ipv6_since {
        let grace = since + settings.ipv6_grace;
        if asking == 0 || now >= grace || now >= settings.deadline {
            return Verdict::TakeIpv6;
        }
        until = until.min(grace);
    }
    if interfaces == 0 || running == 0 {
        until = until.min(settings.carrier);
        if now >= until {
            return if interfaces == 0 { Verdict::NoInterface } else { Verdict::NoCarrier };
        }
    } else if asking == 0 || now >= until {
        return Verdict::NoAddress;
    }
    Verdict::Wait(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn decided(now: u64, interfaces: usize, running: usize, asking: usize, ipv6_since: Option<u64>) -> Verdict {
        let settings =
            Settings { deadline: seconds(45), carrier: seconds(20), ipv6_grace: seconds(4), ..Settings::default() };
        let ipv6_since = ipv6_since.map(seconds);
        decide(&Situation { now: seconds(now), interfaces, running, asking, ipv6_since }, &settings)
    }

    #[test]
    fn no_interface_and_no_carrier_end_early() {
        assert_eq!(decided(0, 0, 0, 0, None), Verdict::Wait(seconds(20)));
        assert_eq!(decided(20, 0, 0, 0, None), Verdict::NoInterface);
        assert_eq!(decided(19, 2, 0, 0, None), Verdict::Wait(seconds(20)));
        assert_eq!(decided(20, 2, 0, 0, None), Verdict::NoCarrier);
    }

    #[test]
    fn one_running_interface_is_enough_to_wait_for() {
        assert_eq!(decided(21, 2, 1, 1, None), Verdict::Wait(seconds(45)));
        assert_eq!(decided(45, 2, 1, 1, None), Verdict::NoAddress);
    }

    #[test]
    fn when_every_client_gave_up_nothing_is_waited_for() {
        assert_eq!(decided(33, 2, 1, 0, None), Verdict::NoAddress);
        assert_eq!(decided(33, 2, 1, 0, Some(3)), Verdict::TakeIpv6);
    }

    #[test]
    fn dhcp_goes_before_ipv6_for_a_short_while() {
        assert_eq!(decided(3, 1, 1, 1, Some(3)), Verdict::Wait(seconds(7)));
        assert_eq!(decided(7, 1, 1, 1, Some(3)), Verdict::TakeIpv6);
        assert_eq!(decided(45, 1, 1, 1, Some(44)), Verdict::TakeIpv6);
    }
}
