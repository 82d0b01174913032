//! What each peer had: nobody gets more than a few times the release.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Given, LIMITS};

/// Bytes that went to each address.
#[derive(Debug, Default)]
pub(super) struct Peers {
    sent: HashMap<IpAddr, u64>,
}

impl Peers {
    /// Whether this peer may have more, while `size` bytes are shared in all. A peer too many may have nothing.
    pub(super) fn may_have_more(&mut self, peer: IpAddr, size: u64) -> bool {
        let most = size.saturating_mul(LIMITS.copies).saturating_add(LIMITS.allowance_bytes);
        if self.sent.len() >= LIMITS.peers && !self.sent.contains_key(&peer) {
            return false;
        }
        *self.sent.entry(peer).or_default() < most
    }

    /// Notes what was sent.
    pub(super) fn sent(&mut self, peer: IpAddr, bytes: u64) {
        let sent = self.sent.entry(peer).or_default();
        *sent = sent.saturating_add(bytes);
    }

    /// What went out in all.
    pub(super) fn total(&self) -> Given {
        let served = self.sent.values().filter(|bytes| **bytes > 0);
        Given { peers: served.clone().count(), bytes: served.sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> IpAddr {
        IpAddr::from([10, 0, u8::try_from(number / 256).unwrap(), u8::try_from(number % 256).unwrap()])
    }

    #[test]
    fn nobody_has_more_than_a_few_times_the_release() {
        let mut peers = Peers::default();
        let most = 1000 * LIMITS.copies + LIMITS.allowance_bytes;
        assert!(peers.may_have_more(peer(1), 1000));
        peers.sent(peer(1), most - 1);
        assert!(peers.may_have_more(peer(1), 1000));
        peers.sent(peer(1), 1);
        assert!(!peers.may_have_more(peer(1), 1000) && peers.may_have_more(peer(2), 1000));
        assert_eq!(peers.total(), Given { peers: 1, bytes: most });
    }

    #[test]
    fn a_flood_of_addresses_ends_and_costs_those_nothing_who_were_there_before() {
        let mut peers = Peers::default();
        let served = (0..1000).filter(|number| peers.may_have_more(peer(*number), 1)).count();
        assert_eq!(served, LIMITS.peers);
        assert!(peers.may_have_more(peer(0), 1));
    }
}
