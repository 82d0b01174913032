//! The messages: two that we write, three that we read.

use std::net::Ipv4Addr;

use thiserror::Error;

use super::boot::BootFile;
use super::printable;
use options::Options;
pub use routes::Route;

mod options;
mod routes;

/// Bytes before the options: the fixed BOOTP header and the magic cookie.
const FIXED_BYTES: usize = 240;
/// RFC 2131, section 3: the first four bytes of the options field.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// RFC 951: some relays drop anything shorter.
const SHORTEST: usize = 300;
/// What we say that we take (option 57), and the longest that is read: an Ethernet frame's worth.
const LONGEST: u16 = 1500;
/// RFC 2131, section 2: a client that cannot receive unicast yet asks for broadcast replies.
const BROADCAST: u16 = 0x8000;

/// Most routers that are kept.
const ROUTERS: usize = 3;
/// Most name servers that are kept: more than three are of no use to a resolver.
const NAME_SERVERS: usize = 3;

/// Option codes of RFC 2132, 77 of RFC 3004 and 121 of RFC 3442.
mod code {
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTERS: u8 = 3;
    pub(super) const NAME_SERVERS: u8 = 6;
    pub(super) const DOMAIN: u8 = 15;
    pub(super) const MTU: u8 = 26;
    pub(super) const REQUESTED: u8 = 50;
    pub(super) const LEASE_TIME: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const KIND: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const PARAMETERS: u8 = 55;
    pub(super) const MESSAGE: u8 = 56;
    pub(super) const LONGEST: u8 = 57;
    pub(super) const CLIENT: u8 = 61;
    pub(super) const BOOT_SERVER: u8 = 66;
    pub(super) const BOOT_FILE: u8 = 67;
    pub(super) const USER_CLASS: u8 = 77;
    pub(super) const ROUTES: u8 = 121;
    pub(super) const END: u8 = 255;
}

/// Who asks: what makes a reply ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The interface's Ethernet address.
    pub hardware: [u8; 6],
    /// A random number for one run of the client.
    pub transaction: u32,
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DHCPOFFER: you could have this.
    Offer,
    /// DHCPACK: it is yours.
    Ack,
}

/// A server's reply that concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An address, offered or given.
    Lease(Kind, Lease),
    /// DHCPNAK: what we asked for cannot be had.
    Refusal {
        /// The server that says so.
        server: Ipv4Addr,
        /// Its words, printable ASCII, maybe empty.
        reason: String,
    },
}

/// What a server gives, as far as a booting machine can use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Our address: unicast, not loopback, neither first nor last of its network.
    pub address: Ipv4Addr,
    /// Length of the network's prefix, 1 to 32; 32 means that even the router is off-link.
    pub prefix: u8,
    /// The server's identifier (option 54).
    pub server: Ipv4Addr,
    /// Routers to everywhere, best first, at most three.
    pub routers: Vec<Ipv4Addr>,
    /// Routes to other networks, at most 16.
    pub routes: Vec<Route>,
    /// Name servers, best first, at most three.
    pub dns: Vec<Ipv4Addr>,
    /// Seconds that the address is ours; `u32::MAX` is for ever.
    pub seconds: u32,
    /// The network's DNS domain, letters, digits, `-` and `.` only.
    pub domain: Option<String>,
    /// The network's MTU in bytes, at least 576.
    pub mtu: Option<u16>,
    /// Option 67 and the header's boot file. Untrusted: places to look.
    pub boot: BootFile,
}

/// Why a payload is not a reply for us.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Shorter than the fixed header, or longer than an Ethernet frame.
    #[error("a DHCP message of {seen} bytes: wanted {FIXED_BYTES} to {LONGEST}")]
    Length {
        /// Bytes of the payload.
        seen: usize,
    },
    /// Not a reply over Ethernet with DHCP options, or for another client: normal on a shared network.
    #[error("not a DHCP reply for this client: {what}")]
    NotOurs {
        /// What differs, in words.
        what: &'static str,
    },
    /// An option that runs over the end of its field.
    #[error("DHCP option {code} is cut")]
    Cut {
        /// The option's code.
        code: u8,
    },
    /// An option without which the reply is useless is missing, or it has an impossible value.
    #[error("a DHCP reply with an unusable {what}: {seen}")]
    Unusable {
        /// The value, in words.
        what: &'static str,
        /// What stood there.
        seen: String,
    },
}

/// Writes DHCPDISCOVER: who gives me an address? `seconds` since we began to ask.
pub fn discover(identity: &Identity, seconds: u16) -> Vec<u8> {
    write(identity, seconds, 1, &[], WANTED)
}

/// Writes DHCPREQUEST for an offered lease: I take that one. Sent to everybody, so that other servers hear it too.
pub fn request(identity: &Identity, seconds: u16, offer: &Lease) -> Vec<u8> {
    write(identity, seconds, 3, &[(code::REQUESTED, offer.address), (code::SERVER, offer.server)], WANTED)
}

/// Writes DHCPDECLINE: another machine uses the address that you gave me.
pub fn decline(identity: &Identity, lease: &Lease) -> Vec<u8> {
    // RFC 2131, table 5: nothing is asked for.
    write(identity, 0, 4, &[(code::REQUESTED, lease.address), (code::SERVER, lease.server)], &[])
}

/// The options that we ask for; RFC 3442 has routes stand before routers.
const WANTED: &[u8] = &[
    code::MASK,
    code::ROUTES,
    code::ROUTERS,
    code::NAME_SERVERS,
    code::DOMAIN,
    code::MTU,
    code::LEASE_TIME,
    code::SERVER,
    code::BOOT_SERVER,
    code::BOOT_FILE,
];

fn write(identity: &Identity, seconds: u16, kind: u8, addresses: &[(u8, Ipv4Addr)], wanted: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(SHORTEST);
    message.extend_from_slice(&[1, 1, 6, 0]); // BOOTREQUEST, Ethernet, address length, hops
    message.extend_from_slice(&identity.transaction.to_be_bytes());
    message.extend_from_slice(&seconds.to_be_bytes());
    message.extend_from_slice(&BROADCAST.to_be_bytes());
    message.extend_from_slice(&[0; 16]); // ciaddr, yiaddr, siaddr, giaddr
    message.extend_from_slice(&identity.hardware);
    message.extend_from_slice(&[0; 10 + 64 + 128]); // rest of chaddr, sname, file
    message.extend_from_slice(&COOKIE);

    message.extend_from_slice(&[code::KIND, 1, kind]);
    message.extend_from_slice(&[code::CLIENT, 7, 1]); // the type of what follows: Ethernet
    message.extend_from_slice(&identity.hardware);
    for (code, address) in addresses {
        message.extend_from_slice(&[*code, 4]);
        message.extend_from_slice(&address.octets());
    }
    if !wanted.is_empty() {
        message.extend_from_slice(&[code::LONGEST, 2]);
        message.extend_from_slice(&LONGEST.to_be_bytes());
        // RFC 3004: each class has its own length.
        message.extend_from_slice(&[code::USER_CLASS, 10, 9]);
        message.extend_from_slice(b"PhaseBoot");
        // A handful: it always fits in the one byte of a length.
        message.extend_from_slice(&[code::PARAMETERS, u8::try_from(wanted.len()).unwrap_or(0)]);
        message.extend_from_slice(wanted);
    }
    message.push(code::END);
    message.resize(message.len().max(SHORTEST), 0);
    message
}

/// Reads a UDP payload from port 67.
pub fn parse(payload: &[u8], identity: &Identity) -> Result<Reply, MessageError> {
    if payload.len() < FIXED_BYTES || payload.len() > usize::from(LONGEST) {
        return Err(MessageError::Length { seen: payload.len() });
    }
    let not_ours = |what| Err(MessageError::NotOurs { what });
    if payload[0..3] != [2, 1, 6] {
        return not_ours("no reply over Ethernet");
    }
    if payload[4..8] != identity.transaction.to_be_bytes() {
        return not_ours("another transaction");
    }
    if payload[28..34] != identity.hardware {
        return not_ours("another hardware address");
    }
    if payload[236..240] != COOKIE {
        return not_ours("no DHCP options");
    }
    let options = Options::read(payload)?;
    let server = options.address(code::SERVER)?.ok_or_else(|| missing("server identifier"))?;
    let kind = match options.find(code::KIND) {
        Some([2]) => Kind::Offer,
        Some([5]) => Kind::Ack,
        Some([6]) => {
            return Ok(Reply::Refusal { server, reason: printable(options.find(code::MESSAGE).unwrap_or_default()) });
        }
        _ => return not_ours("no offer, acknowledgement or refusal"),
    };
    let address = |at: usize| Ipv4Addr::new(payload[at], payload[at + 1], payload[at + 2], payload[at + 3]);
    let mut lease = lease(address(16), server, &options)?;
    lease.boot = boot(payload, address(20), &options);
    Ok(Reply::Lease(kind, lease))
}

/// The boot file by option and by header field (RFC 951; RFC 2132, sections 9.4 and 9.5), on the next server of the header or of
/// the option. A server that is named by its name is none: it would have to be looked up elsewhere.
fn boot(payload: &[u8], next_server: Ipv4Addr, options: &Options) -> BootFile {
    let by_option = || std::str::from_utf8(options.find(code::BOOT_SERVER)?).ok()?.trim_end_matches('\0').parse().ok();
    let next_server =
        Some(next_server).filter(|&address| is_host(address)).or_else(by_option).filter(|&at| is_host(at));
    let mut boot = BootFile::default();
    boot.take(options.find(code::BOOT_FILE).unwrap_or_default(), next_server);
    boot.take(options.boot_file(payload), next_server);
    boot
}

fn lease(address: Ipv4Addr, server: Ipv4Addr, options: &Options) -> Result<Lease, MessageError> {
    let prefix = match options.address(code::MASK)? {
        Some(mask) => prefix(mask)?,
        None => return Err(missing("subnet mask")),
    };
    check_host(address, prefix)?;
    let seconds = match options.find(code::LEASE_TIME) {
        Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
        Some(other) => return Err(unusable("lease time", other)),
        // RFC 2131, table 3: a server must say; one that does not is taken to mean an hour, which outlives a boot.
        None => 3600,
    };
    if seconds == 0 {
        return Err(unusable("lease time", &[0]));
    }
    let (default, others) = ways(options);
    Ok(Lease {
        address,
        prefix,
        server,
        routers: default,
        routes: others,
        dns: options.hosts(code::NAME_SERVERS, NAME_SERVERS),
        seconds,
        domain: options.find(code::DOMAIN).and_then(domain),
        mtu: options.find(code::MTU).and_then(mtu),
        boot: BootFile::default(),
    })
}

/// Routers to everywhere, and routes to other networks. RFC 3442: who gives routes means them instead of option 3.
fn ways(options: &Options) -> (Vec<Ipv4Addr>, Vec<Route>) {
    let Some(given) = options.find(code::ROUTES).and_then(routes::parse) else {
        return (options.hosts(code::ROUTERS, ROUTERS), Vec::new());
    };
    let (default, others): (Vec<Route>, Vec<Route>) = given.into_iter().partition(|route| route.prefix == 0);
    (default.into_iter().filter_map(|route| route.router).take(ROUTERS).collect(), others)
}

/// Turns a mask into the length of a prefix, if it is one.
fn prefix(mask: Ipv4Addr) -> Result<u8, MessageError> {
    let (ones, bits) = (mask.to_bits().leading_ones(), mask.to_bits().count_ones());
    match u8::try_from(ones) {
        Ok(prefix) if ones == bits && prefix > 0 => Ok(prefix),
        _ => Err(MessageError::Unusable { what: "subnet mask", seen: mask.to_string() }),
    }
}

/// Refuses an address that no host can have.
fn check_host(address: Ipv4Addr, prefix: u8) -> Result<(), MessageError> {
    // In a network of two or one (RFC 3021) there is no first and last.
    let host_bits = if prefix < 31 { u32::MAX >> prefix } else { 0 };
    let host = address.to_bits() & host_bits;
    if !is_host(address) || (host_bits != 0 && (host == 0 || host == host_bits)) {
        return Err(MessageError::Unusable { what: "address", seen: format!("{address}/{prefix}") });
    }
    Ok(())
}

/// Whether an address can be that of one other machine.
fn is_host(address: Ipv4Addr) -> bool {
    address.octets()[0] != 0 && !address.is_loopback() && !address.is_multicast() && address.octets()[0] < 240
}

/// Keeps a domain only if it can stand in resolv.conf without meaning anything else.
fn domain(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    ((1..=253).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// RFC 791: every host takes 576 bytes; less is an attack or a mistake.
fn mtu(bytes: &[u8]) -> Option<u16> {
    let value = u16::from_be_bytes(bytes.try_into().ok()?);
    (value >= 576).then_some(value)
}

fn missing(what: &'static str) -> MessageError {
    MessageError::Unusable { what, seen: "it is missing".to_owned() }
}

fn unusable(what: &'static str, bytes: &[u8]) -> MessageError {
    MessageError::Unusable { what, seen: format!("{:02x?}", &bytes[..bytes.len().min(8)]) }
}

#[cfg(test)]
pub(in crate::dhcp) mod tests;
