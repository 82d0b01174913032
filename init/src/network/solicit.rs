//! Asks the routers of a link to say at once what they advertise (router solicitation, RFC 4861, section 4.1).
//!
//! The kernel asks by itself when a link comes up, and then ever more rarely: too rarely for a switch port that opens after
//! 30 s, and not at all for a second attempt to boot, to which the name servers of the first are lost.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};

use rustix::net::sockopt::set_ipv6_multicast_hops;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

/// All routers of the link.
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Type 133, no options; the kernel adds the checksum.
const MESSAGE: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
/// Anything else shows that a router was crossed, and is dropped.
const HOPS: u32 = 255;

/// Asks on the interface with this index.
pub(super) fn routers(interface: u32) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::RAW, flags, Some(ipproto::ICMPV6))?;
    set_ipv6_multicast_hops(&socket, HOPS)?;
    sendto(&socket, &MESSAGE, SendFlags::empty(), &SocketAddrV6::new(ROUTERS, 0, 0, interface))?;
    Ok(())
}
