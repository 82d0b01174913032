//! Links: what the kernel says about an interface, and which of them are worth asking.

use discover::dhcp6::Question;

use super::plan::Nic;

/// The kernel's number for Ethernet (`ARPHRD_ETHER`, `linux/if_arp.h`); wireless and virtual cards have it too.
const ETHERNET: u16 = 1;
/// Interface flags of linux/if.h.
pub(super) const UP: u32 = 1;
const LOOPBACK: u32 = 1 << 3;
const NO_ARP: u32 = 1 << 7;
const LOWER_UP: u32 = 1 << 16;
/// What routers said, of `net/if_inet6.h`: addresses, and other things, are to be had by `DHCPv6` (RFC 4861, section 4.2).
const MANAGED: u32 = 0x40;
const OTHER: u32 = 0x80;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The kernel's number for it, from 1.
    pub(super) index: u32,
    /// The kernel's name for it, such as `eth0`.
    pub(super) name: String,
    /// What kind it is (`ARPHRD_…`).
    pub(super) kind: u16,
    /// Its flags (`IFF_…`).
    pub(super) flags: u32,
    /// Its address, 6 bytes on Ethernet.
    pub(super) hardware: Vec<u8>,
    /// Longest packet in bytes.
    pub(super) mtu: u32,
    /// The number of the bond or bridge that it belongs to, or 0.
    pub(super) master: u32,
    /// What IPv6 knows of it (`IF_…` of `net/if_inet6.h`); nothing if IPv6 is not spoken on it.
    pub(super) ipv6: Option<u32>,
}

impl Link {
    /// The address, if this is an interface on which a DHCP server may be: Ethernet, no loopback, no dummy.
    pub(super) fn ethernet(&self) -> Option<[u8; 6]> {
        let plain = self.kind == ETHERNET && self.flags & (LOOPBACK | NO_ARP) == 0;
        <[u8; 6]>::try_from(self.hardware.as_slice()).ok().filter(|_| plain)
    }

    /// Whether it was switched on.
    pub(super) fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    /// Whether it is switched on and has a carrier.
    ///
    /// `IFF_RUNNING` is not asked for: the kernel updates it at most once a second (`net/core/link_watch.c`), and it also
    /// stands while the kernel does not know yet.
    pub(super) fn has_carrier(&self) -> bool {
        self.is_up() && self.flags & LOWER_UP != 0
    }

    /// Whether `down` has to do with it.
    pub(super) fn is_loopback(&self) -> bool {
        self.flags & LOOPBACK != 0
    }

    /// Whether it is the one that a person means.
    pub(super) fn answers_to(&self, nic: &Nic) -> bool {
        nic.is(&self.name, &self.hardware)
    }

    /// Whether IPv6 is or will be spoken on it. That it is ready (`IF_READY`) is not asked for: the kernel says so up to a second
    /// after the carrier is there (`net/core/link_watch.c`), when a lease of IPv4 may have come already.
    pub(super) fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    /// What routers say is to be asked for by `DHCPv6`, if anything.
    pub(super) fn to_ask(&self) -> Option<Question> {
        match self.ipv6.unwrap_or_default() & (MANAGED | OTHER) {
            0 => None,
            OTHER => Some(Question::Information),
            _ => Some(Question::Address),
        }
    }

    /// The MTU to set where a network asks for one: only a smaller one, since a larger one that the path does not carry
    /// loses packets without a word.
    pub(super) fn smaller_mtu(&self, asked: Option<u16>) -> Option<u32> {
        asked.map(u32::from).filter(|&wanted| wanted < self.mtu)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A card, switched off.
    pub(in super::super) fn link() -> Link {
        Link {
            index: 2,
            name: "eth0".to_owned(),
            kind: ETHERNET,
            flags: 0,
            hardware: vec![2, 0, 0, 0, 0, 1],
            mtu: 1500,
            master: 0,
            ipv6: None,
        }
    }

    #[test]
    fn only_ethernet_is_asked() {
        assert_eq!(link().ethernet(), Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(Link { flags: LOOPBACK, ..link() }.ethernet(), None);
        assert_eq!(Link { flags: NO_ARP, ..link() }.ethernet(), None);
        assert_eq!(Link { kind: 772, ..link() }.ethernet(), None);
        assert_eq!(Link { hardware: vec![0; 20], ..link() }.ethernet(), None);
    }

    #[test]
    fn a_carrier_counts_when_the_interface_is_on() {
        for flags in [0, UP, LOWER_UP] {
            assert!(!Link { flags, ..link() }.has_carrier(), "{flags:#x}");
        }
        assert!(Link { flags: UP | LOWER_UP, ..link() }.has_carrier());
    }

    #[test]
    fn routers_say_what_is_to_be_asked_for() {
        let to_ask = |ipv6| Link { ipv6: Some(ipv6), ..link() }.to_ask();
        // IF_READY, and that an advertisement came.
        assert_eq!(to_ask(0x8000_0030), None);
        assert_eq!(to_ask(OTHER | 0x20), Some(Question::Information));
        assert_eq!(to_ask(MANAGED), Some(Question::Address));
        assert_eq!(to_ask(MANAGED | OTHER), Some(Question::Address));
    }

    #[test]
    fn an_mtu_only_shrinks() {
        assert_eq!(link().smaller_mtu(Some(1460)), Some(1460));
        assert_eq!(link().smaller_mtu(Some(1500)), None);
        assert_eq!(link().smaller_mtu(Some(9000)), None);
        assert_eq!(link().smaller_mtu(None), None);
    }
}
