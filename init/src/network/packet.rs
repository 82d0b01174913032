//! DHCP's packets below the kernel's IP: IPv4 and UDP headers (RFC 791, RFC 768) over a packet socket, for an interface
//! that has no address yet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use discover::dhcp::{CLIENT_PORT, SERVER_PORT};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use crate::sys::packet::ipv4_broadcast;

/// Bytes of an IPv4 header without options.
const IP_BYTES: u16 = 20;
/// Bytes of a UDP header.
const UDP_BYTES: u16 = 8;
/// Protocol number of UDP.
const UDP: u8 = 17;
/// Longest packet that is read; a longer one is no DHCP message for us.
const LONGEST: usize = 2048;
/// Packets that are looked at in one go. Everything of IPv4 comes here: whoever floods the link is not to hold up a machine
/// that has a deadline.
const MOST: usize = 256;

/// DHCP's client port on one interface.
#[derive(Debug)]
pub(super) struct Port {
    socket: OwnedFd,
    everybody: SocketAddrAny,
}

impl Port {
    /// Opens the port on the interface with this index; it never blocks.
    pub(super) fn open(interface: u32) -> io::Result<Self> {
        // Protocol 0 until it is bound, so that it hears nothing of other interfaces.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None)?;
        let everybody = ipv4_broadcast(interface);
        bind(&socket, &everybody)?;
        Ok(Self { socket, everybody })
    }

    /// Sends a payload to the servers of the link.
    pub(super) fn send(&self, payload: &[u8]) -> io::Result<()> {
        sendto(&self.socket, &broadcast(payload), SendFlags::empty(), &self.everybody)?;
        Ok(())
    }

    /// Takes the next payload for the client port that has come in; `None` when there is no more, or none among many packets.
    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let mut packet = [0; LONGEST];
        for _ in 0..MOST {
            match recv(&self.socket, &mut packet[..], RecvFlags::TRUNC) {
                // Without the flag a longer packet would look like one of this length.
                Ok((read, whole)) if read == whole => {
                    if let Some(payload) = payload_of(&packet[..read]) {
                        return Some(payload.to_vec());
                    }
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Nothing there, or the link went down; the client's next message will show which.
                Err(_) => return None,
            }
        }
        None
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Wraps a payload: from nobody (0.0.0.0) to everybody (255.255.255.255).
fn broadcast(payload: &[u8]) -> Vec<u8> {
    // A DHCP message of ours has a few hundred bytes.
    let udp_length = u16::try_from(payload.len()).unwrap_or(u16::MAX).saturating_add(UDP_BYTES);
    let ip_length = udp_length.saturating_add(IP_BYTES);
    let mut packet = Vec::with_capacity(usize::from(ip_length));
    packet.extend_from_slice(&[0x45, 0]); // version 4, five words of header; no type of service
    packet.extend_from_slice(&ip_length.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, UDP, 0, 0]); // no fragment, time to live, checksum below
    packet.extend_from_slice(&[0, 0, 0, 0, 255, 255, 255, 255]);
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend_from_slice(&CLIENT_PORT.to_be_bytes());
    packet.extend_from_slice(&SERVER_PORT.to_be_bytes());
    packet.extend_from_slice(&udp_length.to_be_bytes());
    packet.extend_from_slice(&[0, 0]); // no checksum: allowed over IPv4, and the frame has its own
    packet.extend_from_slice(payload);
    packet
}

/// The UDP payload of a whole IPv4 packet from a DHCP server to its client.
///
/// The UDP checksum is not looked at: a server in the same machine leaves it to a network card that is not there, and
/// the message is checked field by field anyway.
fn payload_of(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header < usize::from(IP_BYTES) || packet.len() < header + usize::from(UDP_BYTES) {
        return None;
    }
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let total = usize::from(number(2));
    // Bit 13 says that more fragments follow; below it is the offset of this one.
    let fragment = number(6) & 0x3fff != 0;
    if packet[9] != UDP || fragment || checksum(&packet[..header]) != 0 || total > packet.len() {
        return None;
    }
    if number(header) != SERVER_PORT || number(header + 2) != CLIENT_PORT {
        return None;
    }
    let end = header + usize::from(number(header + 4));
    if end > total {
        return None;
    }
    packet.get(header + usize::from(UDP_BYTES)..end)
}

/// RFC 1071, over a whole number of 16-bit words.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair));
    // The carry comes back in at the other end.
    !words.fold(0u16, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet as a server sends it.
    fn reply(payload: &[u8]) -> Vec<u8> {
        let mut packet = broadcast(payload);
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        packet
    }

    #[test]
    fn a_header_has_the_checksum_of_the_rfc() {
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&broadcast(b"x")[..20]), 0);
    }

    #[test]
    fn a_reply_is_unwrapped_without_its_padding() {
        let mut packet = reply(b"hello");
        assert_eq!(payload_of(&packet), Some(&b"hello"[..]));
        packet.extend_from_slice(&[0; 13]);
        assert_eq!(payload_of(&packet), Some(&b"hello"[..]));
    }

    #[test]
    fn header_options_are_skipped() {
        let mut packet = reply(b"hello");
        packet.splice(20..20, [1, 1, 1, 1]);
        packet[0] = 0x46;
        let total = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[10..12].copy_from_slice(&[0, 0]);
        let sum = checksum(&packet[..24]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(payload_of(&packet), Some(&b"hello"[..]));
    }

    #[test]
    fn anything_else_is_no_reply() {
        assert_eq!(payload_of(&broadcast(b"a request")), None);
        let good = reply(b"hello");
        for length in 0..good.len() {
            assert_eq!(payload_of(&good[..length]), None, "{length} bytes");
        }
        // Any flipped bit of the IP header shows in its checksum; ports and length stand in the UDP header.
        for bit in 0..26 * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(payload_of(&bad), Some(&b"hello"[..]), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = payload_of(&bytes);
        }
    }
}
