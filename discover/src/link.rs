//! Connections that stay on the link: what local mode promises of every packet.
//!
//! An address counts as on the link if the kernel's own routes reach it without a router. That is asked before a connection
//! is made, so that the refusal says so; and the connection itself is made so that the kernel would not send a packet to a
//! router (`SO_DONTROUTE`, which IPv4 alone obeys), nor any router pass it on (a hop limit of 1).

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// An address that no route reaches but through a router, or that no route reaches.
#[derive(Debug)]
pub(crate) struct OffLink(pub(crate) IpAddr);

impl fmt::Display for OffLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not on this link", self.0)
    }
}

impl std::error::Error for OffLink {}

/// Whether `address` is reached without a router from the system below `root`.
pub fn is_on_link(root: &Path, address: &SocketAddr) -> bool {
    // A table that is not there (a kernel without IPv6) reaches nothing.
    let table = |name: &str| fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    match address.ip().to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || direct_v4(&table("route"), address),
        // The zone says behind which interface; there is no router within the link-local prefix.
        IpAddr::V6(address) if address.is_unicast_link_local() => true,
        IpAddr::V6(address) => address.is_loopback() || direct_v6(&table("ipv6_route"), address),
    }
}

/// `RTF_UP` and `RTF_GATEWAY` (linux/route.h), the same in both tables.
const UP: u32 = 1;
const GATEWAY: u32 = 2;
/// `RTF_REJECT`: an unreachable or blackhole route.
const REJECT: u32 = 0x200;

/// Whether the most specific route of `/proc/net/route` for `address` has no gateway.
///
/// Columns (`net/ipv4/fib_trie.c`): interface, destination, gateway, flags, …, mask (the eighth). Addresses are the 32 bits as
/// the machine keeps them, in hex.
fn direct_v4(table: &str, address: Ipv4Addr) -> bool {
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let bits = |column: usize| u32::from_str_radix(columns.get(column)?, 16).ok();
        let [destination, mask] = [bits(1)?, bits(7)?].map(|raw| u32::from_be_bytes(raw.to_ne_bytes()));
        let (flags, metric) = (bits(3)?, columns.get(6)?.parse::<u32>().ok()?);
        (u32::from(address) & mask == destination).then_some((mask.count_ones(), metric, flags))
    });
    best_is_direct(routes)
}

/// Whether the most specific route of `/proc/net/ipv6_route` for `address` has no gateway.
///
/// Columns (`net/ipv6/route.c`), all in hex: destination, its prefix, source, its prefix, next hop, metric, uses, uses, flags,
/// interface.
fn direct_v6(table: &str, address: Ipv6Addr) -> bool {
    let routes = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let destination = u128::from_str_radix(columns.first()?, 16).ok()?;
        let number = |column: usize| u32::from_str_radix(columns.get(column)?, 16).ok();
        let (prefix, metric, flags) = (number(1)?, number(5)?, number(8)?);
        let mask = u128::MAX.checked_shl(128u32.checked_sub(prefix)?).unwrap_or(0);
        (u128::from(address) & mask == destination).then_some((prefix, metric, flags))
    });
    best_is_direct(routes)
}

/// Of (prefix, metric, flags): the longest prefix counts, then the lowest metric.
fn best_is_direct(routes: impl Iterator<Item = (u32, u32, u32)>) -> bool {
    let best = routes
        .filter(|(_, _, flags)| flags & UP != 0)
        .max_by_key(|&(prefix, metric, _)| (prefix, std::cmp::Reverse(metric)));
    best.is_some_and(|(_, _, flags)| flags & (GATEWAY | REJECT) == 0)
}

/// A socket that can be connected to an address of the link, and to none behind a router; and that address.
pub(crate) fn socket(address: &SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    // An address of IPv4 that is written as one of IPv6 goes the way of IPv4, and so do its options.
    let address = match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => *address,
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    stay(&socket, address.is_ipv6())?;
    Ok((socket, address))
}

/// Listens on a free port of every address of the machine. Connections inherit what keeps them on the link, so that a peer
/// behind a router is not even told that somebody listens.
///
/// # Errors
/// The kernel's, if it gives out no port.
pub fn listen() -> io::Result<TcpListener> {
    let listen = |all: IpAddr| {
        let address = SocketAddr::from((all, 0));
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        stay(&socket, false)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
            stay(&socket, true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    // A kernel without IPv6 has IPv4.
    listen(Ipv6Addr::UNSPECIFIED.into()).or_else(|_: io::Error| listen(Ipv4Addr::UNSPECIFIED.into()))
}

/// Makes the kernel send this socket's packets over links only, of one of the two protocols.
fn stay(socket: &Socket, ipv6: bool) -> io::Result<()> {
    setsockopt(socket, sockopt::DontRoute, &true)?;
    if ipv6 { socket.set_unicast_hops_v6(1) } else { socket.set_ttl_v4(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As /proc/net/route of a machine with 10.0.2.15/24 on eth0, a static route to 10.9/16 through 10.0.2.9, an unreachable
    /// 10.0.2.128/25 and a default route; little-endian.
    const IPV4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t0000090A\t0902000A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
*\t8002000A\t00000000\t0201\t0\t0\t0\t80FFFFFF\t0\t0\t0
";

    /// `fd00:77::/64` on link twice (a worse one through a router), `fd00:99::/64` through a router, a default route.
    const IPV6: &str = "\
fd000077000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd000077000000000000000000000000 40 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
fd000099000000000000000000000000 40 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_most_specific_route_decides_for_ipv4() {
        let direct = |address: &str| direct_v4(IPV4, address.parse().unwrap());
        assert!(direct("10.0.2.2") && direct("10.0.2.99"));
        assert!(!direct("10.0.2.200"), "an unreachable route reaches nobody");
        assert!(!direct("10.9.0.1") && !direct("8.8.8.8"));
        assert!(!direct_v4("", "10.0.2.2".parse().unwrap()));
    }

    #[test]
    fn the_most_specific_route_decides_for_ipv6() {
        let direct = |address: &str| direct_v6(IPV6, address.parse().unwrap());
        assert!(direct("fd00:77::2"));
        assert!(!direct("fd00:99::2") && !direct("2001:db8::1"));
        assert!(!direct_v6("what is this\n", "fd00:77::2".parse().unwrap()));
    }

    #[test]
    fn what_was_accepted_stays_on_the_link_too() {
        let listener = listen().unwrap();
        let port = listener.local_addr().unwrap().port();
        for (address, ipv6) in [("127.0.0.1", false), ("::1", true)] {
            let _peer = std::net::TcpStream::connect((address, port)).unwrap();
            let accepted = Socket::from(listener.accept().unwrap().0);
            let hops = if ipv6 { accepted.unicast_hops_v6() } else { accepted.ttl_v4() };
            assert_eq!(hops.unwrap(), 1, "{address}");
            assert!(nix::sys::socket::getsockopt(&accepted, sockopt::DontRoute).unwrap());
        }
    }

    #[test]
    fn an_address_of_ipv4_in_ipv6_is_one_of_ipv4() {
        let root = tempfile::tempdir().unwrap();
        let on_link = |address: &str| is_on_link(root.path(), &address.parse().unwrap());
        assert!(on_link("127.0.0.1:80") && on_link("[::ffff:127.0.0.1]:80") && on_link("[::1]:80"));
        assert!(on_link("[fe80::1%3]:80"));
        assert!(!on_link("10.0.2.2:80") && !on_link("[fd00::1]:80"), "reached without a table");
    }
}
