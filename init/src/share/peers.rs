//! What each peer had: nobody gets more than a few times the release.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
        self.of(peer).is_some_and(|sent| *sent < most)
    }

    /// Notes what was sent. Of a peer too many nothing is noted: it gets nothing but small answers, and each address costs
    /// memory.
    pub(super) fn sent(&mut self, peer: IpAddr, bytes: u64) {
        if let Some(sent) = self.of(peer) {
            *sent = sent.saturating_add(bytes);
        }
    }

    /// What went to this peer, unless it is one too many.
    fn of(&mut self, peer: IpAddr) -> Option<&mut u64> {
        let room = self.sent.len() < LIMITS.peers;
        match self.sent.entry(peer) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) => room.then(|| new.insert(0)),
        }
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
        // Small answers are for everybody, and cost no memory.
        (1000..2000).for_each(|number| peers.sent(peer(number), 10));
        assert_eq!((peers.sent.len(), peers.total()), (LIMITS.peers, Given::default()));
    }
}
