//! What is asked of the kernel over rtnetlink(7): links, addresses, routes, and word when they change.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_bindings::rt_addr::{self, Ifaddrmsg};
use netlink_bindings::rt_link::{self, Ifinfomsg};
use netlink_bindings::rt_route::{self, Rtmsg};
use netlink_socket2::NetlinkSocket;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::layout::{BOND, vlan_name};
use super::link::{Link, UP};
use super::plan::{Bond, Vlan};

/// Address families, as one byte in rtnetlink's headers.
const INET: u8 = 2;
const INET6: u8 = 10;
/// linux/rtnetlink.h: the main table; a route of the administrator; a route to everywhere and one on the link; unicast.
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;
/// `RTNH_F_ONLINK`: the router is on the link, whatever the address says.
const ON_LINK: u32 = 4;
/// `linux/if_addr.h`: an address that is used without asking first whether another machine has it.
const NO_DUPLICATE_DETECTION: u8 = 0x02;
/// How often a bond looks at the carriers of its members, in milliseconds, as everybody sets it.
const BOND_LOOKS_MS: u32 = 100;
/// `linux/if_addr.h`: addresses that cannot be used (duplicate, deprecated), and those that are not yet proved to be ours, which
/// can be used only if they are taken to be in the meantime (RFC 4429).
const UNUSABLE: u32 = 0x08 | 0x20;
const TENTATIVE: u32 = 0x40;
const OPTIMISTIC: u32 = 0x04;

/// Multicast groups of [`Notices`]: links (1), IPv6 addresses (9), what routers say of an interface (12), neighbour discovery
/// options (20), one bit each.
const GROUPS: u32 = 1 | 1 << 8 | 1 << 11 | 1 << 19;

/// Requests to the kernel. Each is answered at once, so that none needs a deadline.
pub(super) struct Kernel(NetlinkSocket);

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernel")
    }
}

impl Kernel {
    pub(super) fn new() -> Self {
        Self(NetlinkSocket::new())
    }

    /// All interfaces that there are now.
    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        let request = rt_link::Request::new().op_getlink_dump(&Ifinfomsg::new());
        let mut reply = self.0.request(&request)?;
        let mut links = Vec::new();
        while let Some((header, attributes)) = reply.recv().transpose()? {
            let (Ok(name), Ok(index)) = (attributes.get_ifname(), u32::try_from(header.ifi_index)) else { continue };
            links.push(Link {
                index,
                name: name.to_string_lossy().into_owned(),
                kind: header.ifi_type,
                flags: header.ifi_flags,
                hardware: attributes.get_address().unwrap_or_default().to_vec(),
                mtu: attributes.get_mtu().unwrap_or_default(),
                master: attributes.get_master().unwrap_or_default(),
                ipv6: attributes
                    .get_af_spec()
                    .and_then(|families| families.get_inet6())
                    .and_then(|inet6| inet6.get_flags())
                    .ok(),
            });
        }
        Ok(links)
    }

    /// Switches an interface on or off.
    pub(super) fn switch(&mut self, interface: u32, on: bool) -> io::Result<()> {
        let header = Ifinfomsg {
            ifi_index: interface.cast_signed(),
            ifi_flags: if on { UP } else { 0 },
            ifi_change: UP,
            ..Default::default()
        };
        let request = rt_link::Request::new().op_newlink_do(&header);
        Ok(self.0.request(&request)?.recv_ack()?)
    }

    /// Sets the longest packet of an interface, in bytes.
    pub(super) fn set_mtu(&mut self, interface: u32, mtu: u32) -> io::Result<()> {
        let header = Ifinfomsg { ifi_index: interface.cast_signed(), ..Default::default() };
        let mut request = rt_link::Request::new().op_newlink_do(&header);
        request.encode().push_mtu(mtu);
        Ok(self.0.request(&request)?.recv_ack()?)
    }

    /// Gives an interface an address; that it has it already is no error.
    pub(super) fn add_address(&mut self, interface: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let (family, flags) = if address.is_ipv4() { (INET, 0) } else { (INET6, NO_DUPLICATE_DETECTION) };
        let header = Ifaddrmsg {
            ifa_family: family,
            ifa_prefixlen: prefix,
            ifa_flags: flags,
            ifa_index: interface,
            ..Default::default()
        };
        let mut request = rt_addr::Request::new().set_create().set_replace().op_newaddr_do(&header);
        request.encode().push_local(address).push_address(address);
        Ok(self.0.request(&request)?.recv_ack()?)
    }

    /// Makes a router the way to a network, instead of the one before; without a router it is on the link itself. A prefix
    /// of zero is everywhere.
    pub(super) fn set_route(
        &mut self,
        interface: u32,
        network: IpAddr,
        prefix: u8,
        router: Option<IpAddr>,
    ) -> io::Result<()> {
        let (scope, flags) = if router.is_some() { (SCOPE_UNIVERSE, ON_LINK) } else { (SCOPE_LINK, 0) };
        let header = Rtmsg {
            rtm_family: if network.is_ipv4() { INET } else { INET6 },
            rtm_dst_len: prefix,
            rtm_table: TABLE_MAIN,
            rtm_protocol: PROTOCOL_BOOT,
            rtm_scope: scope,
            rtm_type: UNICAST,
            rtm_flags: flags,
            ..Default::default()
        };
        let mut request = rt_route::Request::new().set_create().set_replace().op_newroute_do(&header);
        // A network of prefix zero is the default, with or without this.
        let attributes = request.encode().push_oif(interface).push_dst(network);
        match router {
            Some(router) => drop(attributes.push_gateway(router)),
            None => drop(attributes),
        }
        Ok(self.0.request(&request)?.recv_ack()?)
    }

    /// Makes the VLAN on an interface; that it is there already is no error.
    pub(super) fn make_vlan(&mut self, base: &Link, vlan: &Vlan) -> io::Result<()> {
        let name = CString::new(vlan_name(base, vlan))?;
        let mut request = rt_link::Request::new().set_create().set_excl().op_newlink_do(&Ifinfomsg::new());
        let attributes = request.encode().push_ifname(&name).push_link(base.index);
        attributes.nested_linkinfo().nested_data_vlan().push_id(vlan.id).end_nested();
        there(self.0.request(&request)?.recv_ack().map_err(io::Error::from))
    }

    /// Makes the bond; that it is there already is no error. Call it once its old one, if any, is removed.
    pub(super) fn make_bond(&mut self, bond: &Bond) -> io::Result<()> {
        let name = CString::new(BOND)?;
        let mut request = rt_link::Request::new().set_create().set_excl().op_newlink_do(&Ifinfomsg::new());
        let info = request.encode().push_ifname(&name).nested_linkinfo();
        info.nested_data_bond().push_mode(bond.mode as u8).push_miimon(BOND_LOOKS_MS).end_nested();
        there(self.0.request(&request)?.recv_ack().map_err(io::Error::from))
    }

    /// Removes a virtual interface; the members of a bond are free again.
    pub(super) fn remove(&mut self, interface: u32) -> io::Result<()> {
        let header = Ifinfomsg { ifi_index: interface.cast_signed(), ..Default::default() };
        Ok(self.0.request(&rt_link::Request::new().op_dellink_do(&header))?.recv_ack()?)
    }

    /// Puts an interface, which has to be switched off, under a bond.
    pub(super) fn join(&mut self, interface: u32, bond: u32) -> io::Result<()> {
        let header = Ifinfomsg { ifi_index: interface.cast_signed(), ..Default::default() };
        let mut request = rt_link::Request::new().op_newlink_do(&header);
        request.encode().push_master(bond);
        Ok(self.0.request(&request)?.recv_ack()?)
    }

    /// The IPv6 addresses of these interfaces that can be used; those that mean something beyond the link first.
    pub(super) fn ipv6(&mut self, interfaces: &[u32]) -> io::Result<Vec<Ipv6>> {
        let header = Ifaddrmsg { ifa_family: INET6, ..Default::default() };
        let request = rt_addr::Request::new().op_getaddr_dump(&header);
        let mut reply = self.0.request(&request)?;
        let mut found = Vec::new();
        while let Some((header, attributes)) = reply.recv().transpose()? {
            let flags = attributes.get_flags().unwrap_or(u32::from(header.ifa_flags));
            let usable = flags & UNUSABLE == 0 && flags & (TENTATIVE | OPTIMISTIC) != TENTATIVE;
            let scope = matches!(header.ifa_scope, SCOPE_UNIVERSE | SCOPE_LINK);
            let (interface, prefix) = (header.ifa_index, header.ifa_prefixlen);
            if let (true, Ok(IpAddr::V6(address))) =
                (usable && scope && interfaces.contains(&interface), attributes.get_address())
            {
                found.push(Ipv6 { interface, address, prefix, seconds: None });
            }
        }
        found.sort_by_key(Ipv6::is_link_local);
        Ok(found)
    }

    /// The router that an interface has learned for IPv6.
    pub(super) fn ipv6_router(&mut self, interface: u32) -> io::Result<Option<Ipv6Addr>> {
        let header = Rtmsg { rtm_family: INET6, ..Default::default() };
        let request = rt_route::Request::new().op_getroute_dump(&header);
        let mut reply = self.0.request(&request)?;
        let mut found = None;
        while let Some((header, attributes)) = reply.recv().transpose()? {
            let default = header.rtm_dst_len == 0 && header.rtm_table == TABLE_MAIN;
            if let (true, Ok(IpAddr::V6(router))) =
                (default && attributes.get_oif() == Ok(interface), attributes.get_gateway())
            {
                found = found.or(Some(router));
            }
        }
        Ok(found)
    }
}

/// An IPv6 address of an interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ipv6 {
    pub(super) interface: u32,
    pub(super) address: Ipv6Addr,
    pub(super) prefix: u8,
    /// How long it is ours, if a `DHCPv6` server gave it; then the kernel does not have it yet.
    pub(super) seconds: Option<u32>,
}

impl Ipv6 {
    pub(super) fn is_link_local(&self) -> bool {
        self.address.is_unicast_link_local()
    }
}

/// What was to be made may be there.
fn there(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Word from the kernel that links, IPv6 addresses or router advertisements came or went. What it says is not trusted to
/// be complete (the kernel drops notices when nobody reads): it is the reason to look again.
#[derive(Debug)]
pub(super) struct Notices(OwnedFd);

impl Notices {
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self(socket))
    }

    /// Takes the next datagram; `None` when there is no more.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        let mut datagram = vec![0; 8192];
        loop {
            match recv(&self.0, datagram.as_mut_slice(), RecvFlags::empty()) {
                Ok((read, _)) => {
                    datagram.truncate(read);
                    return Some(datagram);
                }
                // Some were lost: go on with those that are there.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::NOBUFS) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
