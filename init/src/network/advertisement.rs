//! Name servers that IPv6 routers advertise (RDNSS, RFC 8106), as the kernel passes them on: it keeps addresses and routes
//! of an advertisement itself and sends the rest to whoever listens (`RTM_NEWNDUSEROPT`, linux/rtnetlink.h).

use std::net::Ipv6Addr;

/// Message type `RTM_NEWNDUSEROPT`.
const NEW_USER_OPTION: u16 = 68;
/// Bytes of `struct nlmsghdr`.
const NETLINK_HEADER: usize = 16;
/// Bytes of `struct nduseroptmsg`.
const USER_OPTION_HEADER: usize = 16;
/// `AF_INET6`.
const INET6: u8 = 10;
/// `ICMPv6` type of a router advertisement.
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Neighbour discovery option: recursive DNS servers.
const RDNSS: u8 = 25;
/// Most servers that one datagram gives.
const MOST: usize = 3;

/// Name servers that a datagram of the kernel names for the interface with this index; empty if it is about other things.
pub(super) fn name_servers(datagram: &[u8], interface: u32) -> Vec<Ipv6Addr> {
    let mut servers = Vec::new();
    let mut rest = datagram;
    while rest.len() >= NETLINK_HEADER {
        let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let kind = u16::from_ne_bytes([rest[4], rest[5]]);
        if length < NETLINK_HEADER || length > rest.len() {
            break;
        }
        let body = &rest[NETLINK_HEADER..length];
        if kind == NEW_USER_OPTION && body.len() >= USER_OPTION_HEADER {
            let about = i32::from_ne_bytes([body[4], body[5], body[6], body[7]]);
            let options = usize::from(u16::from_ne_bytes([body[2], body[3]]));
            let end = body.len().min(USER_OPTION_HEADER + options);
            if body[0] == INET6 && body[8] == ROUTER_ADVERTISEMENT && about.cast_unsigned() == interface {
                servers.extend(option_servers(&body[USER_OPTION_HEADER..end]));
            }
        }
        // Messages start at multiples of four bytes.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    servers.truncate(MOST);
    servers
}

/// RFC 8106, section 5.1: type, length in units of 8 bytes, two reserved bytes, lifetime in seconds, addresses.
fn option_servers(options: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    let length = options.get(1).map_or(0, |&units| usize::from(units) * 8);
    let lifetime = options.get(4..8).unwrap_or_default();
    let valid = options.first() == Some(&RDNSS) && lifetime.iter().any(|&byte| byte != 0);
    let addresses = options.get(8..length).filter(|_| valid).unwrap_or_default();
    let usable = |address: &Ipv6Addr| !address.is_multicast() && !address.is_unspecified() && !address.is_loopback();
    addresses.as_chunks::<16>().0.iter().map(|&octets| Ipv6Addr::from(octets)).filter(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(interface: i32, option: &[u8]) -> Vec<u8> {
        let length = u32::try_from(NETLINK_HEADER + USER_OPTION_HEADER + option.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&NEW_USER_OPTION.to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(&[INET6, 0]);
        bytes.extend_from_slice(&u16::try_from(option.len()).unwrap().to_ne_bytes());
        bytes.extend_from_slice(&interface.to_ne_bytes());
        bytes.extend_from_slice(&[ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(option);
        bytes
    }

    fn option(lifetime: u8, servers: &[Ipv6Addr]) -> Vec<u8> {
        let mut bytes = vec![RDNSS, u8::try_from(1 + 2 * servers.len()).unwrap(), 0, 0, 0, 0, 0, lifetime];
        for server in servers {
            bytes.extend_from_slice(&server.octets());
        }
        bytes
    }

    #[test]
    fn servers_of_our_interface_are_taken() {
        let servers = ["2001:db8::53", "fe80::1"].map(|server| server.parse().unwrap());
        let datagram = [message(3, &option(9, &["2001:db8::99".parse().unwrap()])), message(2, &option(9, &servers))];
        assert_eq!(name_servers(&datagram.concat(), 2), servers);
    }

    #[test]
    fn withdrawn_impossible_and_other_options_are_not() {
        assert_eq!(name_servers(&message(2, &option(0, &["2001:db8::53".parse().unwrap()])), 2), [] as [Ipv6Addr; 0]);
        assert_eq!(name_servers(&message(2, &option(9, &["ff02::1".parse().unwrap()])), 2), [] as [Ipv6Addr; 0]);
        let mut search_list = option(9, &["2001:db8::53".parse().unwrap()]);
        search_list[0] = 31;
        assert_eq!(name_servers(&message(2, &search_list), 2), [] as [Ipv6Addr; 0]);
    }

    #[test]
    fn a_cut_datagram_gives_nothing_or_less() {
        let whole = message(2, &option(9, &["2001:db8::53".parse().unwrap()]));
        for length in 0..whole.len() {
            assert_eq!(name_servers(&whole[..length], 2), [] as [Ipv6Addr; 0], "{length} bytes");
        }
        let mut long = whole.clone();
        long[NETLINK_HEADER + USER_OPTION_HEADER + 1] = 200;
        assert_eq!(name_servers(&long, 2), [] as [Ipv6Addr; 0]);
    }
}
