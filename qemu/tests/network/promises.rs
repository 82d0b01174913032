//! What a mode promises about frames, asked of those that were sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use qemu::lan::{Frame, Ip, MACHINE};

const ARP: u16 = 0x0806;
const ICMPV6: u8 = 58;
const DNS: u16 = 53;
/// Where DHCP servers listen, of IPv4 and of IPv6.
const DHCP: [u16; 2] = [67, 547];
/// What may stand as TTL or hop limit on a packet to one host of the link: it is dropped by the first router, or neighbour
/// discovery (RFC 4861) and multicast DNS (RFC 6762) want it so that no router can have sent it.
const LINK_HOPS: [u8; 2] = [1, 255];

/// The packets that somebody on the link sent through the router.
pub(crate) fn from_the_link(frames: &[Frame]) -> Vec<&Ip> {
    let packets = frames.iter().filter_map(|frame| frame.ip.as_ref());
    packets.filter(|ip| on_link(ip.from) && !is_link_local(ip.from)).collect()
}

/// What the machine sent that local mode promises not to send, and why it should not have; the frames are all of its cable.
pub(crate) fn off_the_link(frames: &[Frame], router: [u8; 6]) -> Vec<String> {
    let sent = frames.iter().filter(|frame| frame.from == MACHINE);
    sent.filter_map(|frame| Some(format!("{}: {frame:?}", objection(frame, router)?))).collect()
}

/// How many frames the machine sent.
pub(crate) fn sent(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.from == MACHINE).count()
}

fn objection(frame: &Frame, router: [u8; 6]) -> Option<&'static str> {
    let Some(ip) = &frame.ip else { return (frame.ether_type != ARP).then_some("neither ARP nor IP") };
    let port = ip.ports.map(|(_, to)| to);
    if port == Some(DNS) {
        return Some("a name server is asked");
    }
    let dhcp = ip.protocol == 17 && port.is_some_and(|port| DHCP.contains(&port));
    if frame.to == router && !dhcp && ip.protocol != ICMPV6 {
        return Some("the router is to carry it");
    }
    if !on_link(ip.to) {
        return Some("it is for somebody off the link");
    }
    let to_one = !ip.to.is_multicast() && ip.to != IpAddr::from(Ipv4Addr::BROADCAST);
    // The kernel's last word on a connection whose socket is gone has the kernel's own hop limit; it goes to the neighbour's
    // Ethernet address, which is no router's, and carries nothing.
    (to_one && !dhcp && !ip.bare && !LINK_HOPS.contains(&ip.hops)).then_some("a router would carry it on")
}

/// The addresses that the network gave to its link, and those that never leave any link.
fn on_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets()[..3] == [10, 77, 0]
                || v4 == Ipv4Addr::BROADCAST
                || v4.octets()[..3] == [224, 0, 0]
                || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            let link_multicast = v6.is_multicast() && v6.segments()[0] & 0x000f <= 2;
            v6.segments()[..4] == [0xfd77, 0, 0, 0]
                || is_link_local(address)
                || link_multicast
                || v6 == Ipv6Addr::UNSPECIFIED
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}
