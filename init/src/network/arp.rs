//! Asks whether another machine has an address that we were given (ARP probe, RFC 5227, section 2.1.1), before we use it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with};

use crate::sys::packet::arp_broadcast;

/// Bytes of an ARP packet for IPv4 over Ethernet (RFC 826).
const BYTES: usize = 28;
/// The first bytes of every one: Ethernet, IPv4, the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Packets that are looked at in one go.
const MOST: usize = 64;

/// A question that was asked once, and the ear for its answers.
#[derive(Debug)]
pub(super) struct Probe {
    socket: OwnedFd,
    hardware: [u8; 6],
    address: Ipv4Addr,
}

impl Probe {
    /// Asks everybody on the interface with this index and Ethernet address who has `address`.
    pub(super) fn send(interface: u32, hardware: [u8; 6], address: Ipv4Addr) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None)?;
        let everybody = arp_broadcast(interface);
        bind(&socket, &everybody)?;
        sendto(&socket, &question(hardware, address), SendFlags::empty(), &everybody)?;
        Ok(Self { socket, hardware, address })
    }

    /// Whether an answer of another machine has come.
    pub(super) fn is_answered(&self) -> bool {
        let mut packet = [0; BYTES];
        (0..MOST)
            .map_while(|_| {
                recv(&self.socket, &mut packet[..], RecvFlags::empty()).ok().map(|(read, _)| packet[..read].to_vec())
            })
            .any(|packet| contradicts(&packet, self.hardware, self.address))
    }
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A request from nobody (0.0.0.0), so that nobody's table changes.
fn question(hardware: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    [&ETHERNET_IPV4[..], &[0, 1], &hardware, &[0; 4], &[0; 6], &address.octets()].concat()
}

/// Whether a packet shows that another machine has the address, or is about to take it as we are.
fn contradicts(packet: &[u8], hardware: [u8; 6], address: Ipv4Addr) -> bool {
    if packet.len() < BYTES || packet[..6] != ETHERNET_IPV4 || packet[8..14] == hardware {
        return false;
    }
    let (sender, target) = (&packet[14..18], &packet[24..28]);
    let probes = packet[6..8] == [0, 1] && sender == [0; 4] && target == address.octets();
    sender == address.octets() || probes
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

    /// An answer of a machine that has an address.
    fn answer(hardware: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
        [&ETHERNET_IPV4[..], &[0, 2], &hardware, &address.octets(), &OURS, &[0; 4]].concat()
    }

    #[test]
    fn a_question_has_the_form_of_the_rfc() {
        let packet = question(OURS, ADDRESS);
        assert_eq!(packet.len(), BYTES);
        assert_eq!(packet[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!((&packet[8..14], &packet[14..18], &packet[24..28]), (&OURS[..], &[0; 4][..], &[10, 0, 2, 15][..]));
    }

    #[test]
    fn another_machine_with_the_address_contradicts() {
        assert!(contradicts(&answer(THEIRS, ADDRESS), OURS, ADDRESS));
        assert!(contradicts(&question(THEIRS, ADDRESS), OURS, ADDRESS), "it asks for the same");
        // An Ethernet frame has padding.
        assert!(contradicts(&[answer(THEIRS, ADDRESS), vec![0; 18]].concat(), OURS, ADDRESS));
    }

    #[test]
    fn ourselves_others_and_rubbish_do_not() {
        assert!(!contradicts(&answer(OURS, ADDRESS), OURS, ADDRESS));
        assert!(!contradicts(&answer(THEIRS, Ipv4Addr::new(10, 0, 2, 16)), OURS, ADDRESS));
        assert!(!contradicts(&question(THEIRS, Ipv4Addr::new(10, 0, 2, 16)), OURS, ADDRESS));
        let whole = answer(THEIRS, ADDRESS);
        for length in 0..BYTES {
            assert!(!contradicts(&whole[..length], OURS, ADDRESS), "{length} bytes");
        }
        let mut other = whole;
        other[0] = 9;
        assert!(!contradicts(&other, OURS, ADDRESS));
    }
}
