//! Addresses of packet sockets (packet(7)), which rustix has no type for.

use std::mem::size_of;

use rustix::net::addr::SocketAddrLen;
use rustix::net::{AddressFamily, SocketAddrAny};

/// IPv4 in an Ethernet frame (`ETH_P_IP`).
const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP in an Ethernet frame (`ETH_P_ARP`).
const ETHERTYPE_ARP: u16 = 0x0806;
/// Bytes of an address.
#[expect(clippy::cast_possible_truncation, reason = "it is 20")]
const LENGTH: SocketAddrLen = size_of::<libc::sockaddr_ll>() as SocketAddrLen;

/// Everybody on one interface, as far as they speak IPv4: the address to bind to and to send to.
pub fn ipv4_broadcast(interface: u32) -> SocketAddrAny {
    broadcast(interface, ETHERTYPE_IPV4)
}

/// The same for ARP.
pub fn arp_broadcast(interface: u32) -> SocketAddrAny {
    broadcast(interface, ETHERTYPE_ARP)
}

fn broadcast(interface: u32, ethertype: u16) -> SocketAddrAny {
    let address = libc::sockaddr_ll {
        sll_family: AddressFamily::PACKET.as_raw(),
        sll_protocol: ethertype.to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    };
    // SAFETY: `read` copies `LENGTH` bytes from a live `sockaddr_ll`, whose every byte is initialised
    // (it has no padding) and which is not longer than a `sockaddr_storage`.
    unsafe { SocketAddrAny::read((&raw const address).cast(), LENGTH) }
}
