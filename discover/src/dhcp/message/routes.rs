//! Classless static routes (option 121, RFC 3442).

use std::net::Ipv4Addr;

use super::is_host;

/// Most routes that are kept.
const MOST: usize = 16;

/// A route that a server gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The first address of the network that it leads to.
    pub network: Ipv4Addr,
    /// Length of the network's prefix, 0 to 32.
    pub prefix: u8,
    /// The router on the way; without one the network is on the link itself.
    pub router: Option<Ipv4Addr>,
}

/// Reads the option's value: of each route the prefix's length, as many bytes of the network as that needs, and the router.
/// `None` if any of it is no route: half a routing table is worse than the plain routers of option 3.
pub(super) fn parse(mut value: &[u8]) -> Option<Vec<Route>> {
    let mut table = Vec::new();
    while let Some((&prefix, rest)) = value.split_first() {
        let (network, rest) = rest.split_at_checked(usize::from(prefix.div_ceil(8)))?;
        let (&[a, b, c, d], rest) = rest.split_first_chunk::<4>()?;
        value = rest;
        let mut octets = [0; 4];
        // Four bytes at most, so that from here on the prefix is one.
        octets.get_mut(..network.len())?.copy_from_slice(network);
        let router = Some(Ipv4Addr::new(a, b, c, d)).filter(|router| !router.is_unspecified());
        let network = Ipv4Addr::from(octets).to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        if router.is_some_and(|router| !is_host(router)) {
            return None;
        }
        if table.len() < MOST {
            table.push(Route { network: network.into(), prefix, router });
        }
    }
    (!table.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(network: [u8; 4], prefix: u8, router: [u8; 4]) -> Route {
        let router = Some(Ipv4Addr::from(router)).filter(|router| !router.is_unspecified());
        Route { network: network.into(), prefix, router }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (bytes, network, prefix) in [
            (&[0][..], [0; 4], 0),
            (&[8, 10], [10, 0, 0, 0], 8),
            (&[24, 10, 0, 0], [10, 0, 0, 0], 24),
            (&[16, 10, 17], [10, 17, 0, 0], 16),
            (&[24, 10, 27, 129], [10, 27, 129, 0], 24),
            (&[25, 10, 229, 0, 128], [10, 229, 0, 128], 25),
            (&[32, 10, 198, 122, 47], [10, 198, 122, 47], 32),
        ] {
            let value = [bytes, &[10, 0, 2, 1]].concat();
            assert_eq!(parse(&value), Some(vec![route(network, prefix, [10, 0, 2, 1])]), "{bytes:?}");
        }
    }

    #[test]
    fn several_stand_one_behind_the_other_and_zero_is_the_link() {
        let value = [24, 10, 9, 8, 0, 0, 0, 0, 0, 10, 0, 2, 1];
        assert_eq!(parse(&value), Some(vec![route([10, 9, 8, 0], 24, [0; 4]), route([0; 4], 0, [10, 0, 2, 1])]));
    }

    #[test]
    fn bits_behind_the_prefix_are_none_of_the_network() {
        assert_eq!(parse(&[12, 172, 31, 10, 0, 2, 1]), Some(vec![route([172, 16, 0, 0], 12, [10, 0, 2, 1])]));
    }

    #[test]
    fn rubbish_is_no_table() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[33, 1, 2, 3, 4, 5, 10, 0, 2, 1]), None);
        assert_eq!(parse(&[255; 64]), None);
        assert_eq!(parse(&[0, 224, 0, 0, 1]), None);
        let good = [24, 10, 9, 8, 10, 0, 2, 1, 0, 10, 0, 2, 1];
        for length in (1..good.len()).filter(|length| *length != 8) {
            assert_eq!(parse(&good[..length]), None, "{length} bytes");
        }
        assert_eq!(parse(&[0, 10, 0, 2, 1].repeat(40)).map(|routes| routes.len()), Some(MOST));
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_given_to_a_kernel(value in prop::collection::vec(any::<u8>(), 0..80)) {
            for route in parse(&value).unwrap_or_default() {
                prop_assert!(route.prefix <= 32);
                prop_assert_eq!(u64::from(route.network.to_bits()) & ((1u64 << (32 - route.prefix)) - 1), 0);
            }
        }
    }
}
