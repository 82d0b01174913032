//! The messages: three that we write, two that we read.

use std::net::Ipv6Addr;

use thiserror::Error;

use crate::dhcp::{BootFile, printable};

/// Bytes before the options: the kind and the transaction.
const FIXED_BYTES: usize = 4;
/// Longest message that is read: an Ethernet frame's worth.
const LONGEST: usize = 1500;
/// Longest identifier of a server in bytes (RFC 8415, section 11.1).
const LONGEST_DUID: usize = 130;
/// Most name servers that are kept: more than three are of no use to a resolver.
const NAME_SERVERS: usize = 3;

/// Option codes of RFC 8415, 23 of RFC 3646 and 59 of RFC 5970.
mod code {
    pub(super) const CLIENT: u16 = 1;
    pub(super) const SERVER: u16 = 2;
    pub(super) const ADDRESSES: u16 = 3;
    pub(super) const ADDRESS: u16 = 5;
    pub(super) const REQUESTED: u16 = 6;
    pub(super) const ELAPSED: u16 = 8;
    pub(super) const STATUS: u16 = 13;
    pub(super) const USER_CLASS: u16 = 15;
    pub(super) const NAME_SERVERS: u16 = 23;
    pub(super) const REFRESH: u16 = 32;
    pub(super) const BOOT_FILE: u16 = 59;
    pub(super) const LONGEST_SOLICIT: u16 = 82;
    pub(super) const LONGEST_INFORMATION: u16 = 83;
}

/// Who asks: what makes a reply ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The interface's Ethernet address.
    pub hardware: [u8; 6],
    /// A random number for one exchange; its lower 24 bits count.
    pub transaction: u32,
}

impl Identity {
    /// The client's identifier: of the kind that is made of an Ethernet address alone, since a machine that boots remembers
    /// nothing (RFC 8415, section 11.4).
    fn duid(&self) -> Vec<u8> {
        [&[0, 3, 0, 1], &self.hardware[..]].concat()
    }

    /// The number of our one set of addresses: any, as long as it stays the same.
    fn association(&self) -> [u8; 4] {
        let [.., a, b, c, d] = self.hardware;
        [a, b, c, d]
    }

    fn transaction(&self) -> [u8; 3] {
        let [_, a, b, c] = self.transaction.to_be_bytes();
        [a, b, c]
    }
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ADVERTISE: you could have this.
    Advertise,
    /// REPLY: this is so.
    Reply,
}

/// What a server gives, as far as a booting machine can use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The server's identifier, 1 to 130 bytes.
    pub server: Vec<u8>,
    /// An address, if one was asked for and there is one.
    pub address: Option<Given>,
    /// Name servers, best first, at most three.
    pub dns: Vec<Ipv6Addr>,
    /// Option 59. Untrusted: places to look.
    pub boot: BootFile,
}

/// An address that a server gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Unicast, and more than link-local.
    pub address: Ipv6Addr,
    /// Seconds that it is ours, not zero; `u32::MAX` is for ever.
    pub seconds: u32,
}

/// Why a payload is not a reply for us.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Shorter than the header, or longer than an Ethernet frame.
    #[error("a DHCPv6 message of {seen} bytes: wanted {FIXED_BYTES} to {LONGEST}")]
    Length {
        /// Bytes of the payload.
        seen: usize,
    },
    /// No answer of a server, or for another client.
    #[error("not a DHCPv6 reply for this client: {what}")]
    NotOurs {
        /// What differs, in words.
        what: &'static str,
    },
    /// An option that runs over the end of its field.
    #[error("DHCPv6 option {code} is cut")]
    Cut {
        /// The option's code.
        code: u16,
    },
    /// A server that says no.
    #[error("a DHCPv6 server refused with status {status}: '{words}'")]
    Refused {
        /// RFC 8415, section 21.13.
        status: u16,
        /// Its words, printable ASCII, maybe empty.
        words: String,
    },
}

/// Writes INFORMATION-REQUEST: what do you know about this network? `elapsed` is since we began to ask, in hundredths of a
/// second.
pub fn information(identity: &Identity, elapsed: u16) -> Vec<u8> {
    write(identity, 11, elapsed, None, &[code::REFRESH, code::LONGEST_INFORMATION])
}

/// Writes SOLICIT: who gives me an address?
pub fn solicit(identity: &Identity, elapsed: u16) -> Vec<u8> {
    write(identity, 1, elapsed, Some(&[]), &[code::LONGEST_SOLICIT])
}

/// Writes REQUEST for an advertised address: I take that one.
pub fn request(identity: &Identity, elapsed: u16, advertised: &Answer) -> Vec<u8> {
    let mut address = Vec::new();
    if let Some(given) = &advertised.address {
        let body = [&given.address.octets()[..], &[0; 8]].concat(); // lifetimes: the server's to say
        option(&mut address, code::ADDRESS, &body);
    }
    let mut message = write(identity, 3, elapsed, Some(&address), &[code::LONGEST_SOLICIT]);
    option(&mut message, code::SERVER, &advertised.server);
    message
}

/// `addresses`: the options of the set of addresses that is asked for; without them none is.
fn write(identity: &Identity, kind: u8, elapsed: u16, addresses: Option<&[u8]>, wanted: &[u16]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&identity.transaction());
    option(&mut message, code::CLIENT, &identity.duid());
    option(&mut message, code::ELAPSED, &elapsed.to_be_bytes());
    if let Some(options) = addresses {
        // Two times that are the server's to say.
        let body = [&identity.association()[..], &[0; 8], options].concat();
        option(&mut message, code::ADDRESSES, &body);
    }
    // Section 21.15: each class has its own length.
    option(&mut message, code::USER_CLASS, b"\x00\x09PhaseBoot");
    let wanted: Vec<u8> =
        [&[code::NAME_SERVERS, code::BOOT_FILE], wanted].concat().iter().flat_map(|code| code.to_be_bytes()).collect();
    option(&mut message, code::REQUESTED, &wanted);
    message
}

fn option(message: &mut Vec<u8>, code: u16, value: &[u8]) {
    // All of ours are far below 64 KiB.
    let length = u16::try_from(value.len()).unwrap_or(0);
    message.extend_from_slice(&code.to_be_bytes());
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(value);
}

/// Reads a UDP payload that came to the client's port.
pub fn parse(payload: &[u8], identity: &Identity) -> Result<(Kind, Answer), MessageError> {
    if payload.len() < FIXED_BYTES || payload.len() > LONGEST {
        return Err(MessageError::Length { seen: payload.len() });
    }
    let not_ours = |what| Err(MessageError::NotOurs { what });
    let kind = match payload[0] {
        2 => Kind::Advertise,
        7 => Kind::Reply,
        _ => return not_ours("no advertisement or reply"),
    };
    if payload[1..FIXED_BYTES] != identity.transaction() {
        return not_ours("another transaction");
    }
    let options = options(&payload[FIXED_BYTES..])?;
    let find = |code| options.iter().find(|(known, _)| *known == code).map(|(_, value)| *value);
    // Sections 16.3 and 16.10: both have to be there.
    if find(code::CLIENT) != Some(&identity.duid()) {
        return not_ours("another client");
    }
    let server = match find(code::SERVER) {
        Some(server) if (1..=LONGEST_DUID).contains(&server.len()) => server.to_vec(),
        _ => return not_ours("no identifier of a server"),
    };
    check_status(find(code::STATUS))?;
    let mut boot = BootFile::default();
    for (_, name) in options.iter().filter(|(code, _)| *code == code::BOOT_FILE) {
        boot.take(name, None);
    }
    let address = find(code::ADDRESSES).and_then(|body| given(body, identity));
    Ok((kind, Answer { server, address, dns: name_servers(find(code::NAME_SERVERS).unwrap_or_default()), boot }))
}

/// Takes a field of options apart.
fn options(mut field: &[u8]) -> Result<Vec<(u16, &[u8])>, MessageError> {
    let mut options = Vec::new();
    while let Some((&[a, b, c, d], rest)) = field.split_first_chunk::<4>() {
        let code = u16::from_be_bytes([a, b]);
        let length = usize::from(u16::from_be_bytes([c, d]));
        let (value, rest) = rest.split_at_checked(length).ok_or(MessageError::Cut { code })?;
        options.push((code, value));
        field = rest;
    }
    if field.is_empty() { Ok(options) } else { Err(MessageError::Cut { code: 0 }) }
}

/// Section 21.13: no status, and a status of zero, are success.
fn check_status(status: Option<&[u8]>) -> Result<(), MessageError> {
    match status {
        Some([a, b, words @ ..]) if (*a, *b) != (0, 0) => {
            Err(MessageError::Refused { status: u16::from_be_bytes([*a, *b]), words: printable(words) })
        }
        _ => Ok(()),
    }
}

/// The first usable address of our set (section 21.4). That there is none is the server's way to say that it has none.
fn given(body: &[u8], identity: &Identity) -> Option<Given> {
    let (association, rest) = body.split_first_chunk::<4>()?;
    let (_times, inner) = rest.split_first_chunk::<8>()?;
    let inner = options(inner).ok().filter(|_| *association == identity.association())?;
    let mut addresses = inner.iter().filter(|(code, _)| *code == code::ADDRESS).map(|(_, value)| *value);
    addresses.find_map(|value| {
        let (&octets, rest) = value.split_first_chunk::<16>()?;
        let (&[_, _, _, _, a, b, c, d], rest) = rest.split_first_chunk::<8>()?;
        let of_address = options(rest).ok()?;
        check_status(of_address.iter().find(|(code, _)| *code == code::STATUS).map(|(_, value)| *value)).ok()?;
        let given = Given { address: Ipv6Addr::from(octets), seconds: u32::from_be_bytes([a, b, c, d]) };
        (given.seconds > 0 && is_host(given.address) && !given.address.is_unicast_link_local()).then_some(given)
    })
}

fn name_servers(value: &[u8]) -> Vec<Ipv6Addr> {
    let mut servers: Vec<Ipv6Addr> = Vec::new();
    for &octets in value.as_chunks::<16>().0 {
        let server = Ipv6Addr::from(octets);
        if servers.len() < NAME_SERVERS && is_host(server) && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// Whether an address can be that of one other machine. One of IPv4 in IPv6's form is none on a wire.
fn is_host(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && address.to_ipv4_mapped().is_none()
}

#[cfg(test)]
pub(in crate::dhcp6) mod tests;
