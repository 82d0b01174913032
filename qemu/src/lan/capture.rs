//! What was sent: frames of a host's cable, or of a file that [`Machine::capture`](crate::Machine::capture) made, and what
//! stands in their headers.

use std::{
    fs,
    io::{self, Read},
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use etherparse::{LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use socket2::{Domain, Protocol, Socket, Type};

use super::Host;
use crate::Error;

/// Every protocol: `ETH_P_ALL` of `linux/if_ether.h`, as the kernel wants it.
const EVERYTHING: i32 = 0x0003_u16.to_be() as i32;
/// How long a capture that is ended looks for frames that are still to be read.
const PAUSE: Duration = Duration::from_millis(100);
/// The header of a capture file of version 2.4, in the byte order of a little machine (`pcap-savefile(5)`).
const MAGIC: [u8; 4] = 0xa1b2_c3d4_u32.to_le_bytes();

/// The headers of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The Ethernet address that it is from.
    pub from: [u8; 6],
    /// The Ethernet address that it is for.
    pub to: [u8; 6],
    /// Of ARP, the first two bytes after that: its type.
    pub ether_type: u16,
    /// Of IPv4 or IPv6.
    pub ip: Option<Ip>,
}

/// The headers of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// Who sent it.
    pub from: IpAddr,
    /// Whom it is for.
    pub to: IpAddr,
    /// TTL or hop limit.
    pub hops: u8,
    /// The protocol of the payload: 1 ICMP, 2 IGMP, 6 TCP, 17 UDP, 58 that of IPv6.
    pub protocol: u8,
    /// Ports of UDP or TCP: from, to.
    pub ports: Option<(u16, u16)>,
    /// Of TCP: nothing but an acknowledgement or the end of a connection; it neither opens one nor carries a byte.
    pub bare: bool,
}

impl Frame {
    /// Reads the headers of `frame`; `None` if it has none of Ethernet. What is no IP packet, or a damaged one, has no `ip`.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (from, to) = (frame.get(6..12)?.try_into().ok()?, frame.get(..6)?.try_into().ok()?);
        let ether_type = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
        let packet = SlicedPacket::from_ethernet(frame)
            .ok()
            .filter(|packet| matches!(packet.link, Some(LinkSlice::Ethernet2(_))));
        Some(Self { from, to, ether_type, ip: packet.as_ref().and_then(Ip::of) })
    }
}

impl Ip {
    fn of(packet: &SlicedPacket<'_>) -> Option<Self> {
        let ports = match &packet.transport {
            Some(TransportSlice::Udp(udp)) => Some((udp.source_port(), udp.destination_port())),
            Some(TransportSlice::Tcp(tcp)) => Some((tcp.source_port(), tcp.destination_port())),
            _ => None,
        };
        let bare = match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => !tcp.syn() && tcp.payload().is_empty(),
            _ => false,
        };
        let (from, to, hops, protocol) = match packet.net.as_ref()? {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                (header.source_addr().into(), header.destination_addr().into(), header.ttl(), ip.payload().ip_number)
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    header.hop_limit(),
                    ip.payload().ip_number,
                )
            }
            NetSlice::Arp(_) => return None,
        };
        Some(Self { from, to, hops, protocol: protocol.0, ports, bare })
    }
}

/// The frames of a capture file.
pub fn read(file: &Path) -> Result<Vec<Frame>, Error> {
    let unreadable = |source| Error::Unreadable { what: "capture", path: file.to_owned(), source };
    let bytes = fs::read(file).map_err(unreadable)?;
    frames(&bytes).map(|frames| frames.into_iter().filter_map(Frame::parse).collect()).ok_or_else(|| {
        unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is no capture, or one that ends within a frame"))
    })
}

/// The bytes of every frame of a capture file.
fn frames(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (header, mut rest) = bytes.split_at_checked(24)?;
    header.starts_with(&MAGIC).then_some(())?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (header, behind) = rest.split_at_checked(16)?;
        let length = u32::from_le_bytes(header[8..12].try_into().ok()?);
        let (frame, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
        frames.push(frame);
        rest = behind;
    }
    Some(frames)
}

/// All that comes and goes on a host's cables, while this is kept.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    ended: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    /// Begins to look at all interfaces of `host`.
    pub fn of(host: &Host) -> Result<Self, Error> {
        let open = || Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERYTHING)));
        let mut socket = host.within(open)?.map_err(Error::Start)?;
        socket.set_recv_buffer_size(4 << 20).map_err(Error::Start)?;
        socket.set_read_timeout(Some(PAUSE)).map_err(Error::Start)?;
        let (frames, ended) = (Arc::<Mutex<Vec<Frame>>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, end) = (Arc::clone(&frames), Arc::clone(&ended));
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            loop {
                // Asked before the socket: what was sent before the end is seen.
                let last = end.load(Ordering::Acquire);
                match socket.read(&mut buffer) {
                    Ok(length) => {
                        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(Frame::parse(&buffer[..length]));
                    }
                    Err(_) if last => return,
                    Err(_) => {}
                }
            }
        });
        Ok(Self { frames, ended, reader: Some(reader) })
    }

    /// Ends it, and returns every frame.
    pub fn end(mut self) -> Vec<Frame> {
        self.stop();
        std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(reader) = self.reader.take() {
            // A panic of the reader was printed by it.
            let _ = reader.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

    use super::*;

    fn udp() -> Vec<u8> {
        let mut bytes = Vec::new();
        let packet =
            PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([10, 77, 0, 9], [224, 0, 0, 251], 255).udp(5353, 5354);
        packet.write(&mut bytes, b"question").unwrap();
        bytes
    }

    fn file(frames: &[&[u8]]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.resize(24, 0);
        for frame in frames {
            let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
            file.extend([[0; 4], [0; 4], length, length].concat());
            file.extend(*frame);
        }
        file
    }

    #[test]
    fn headers_are_read() {
        let frame = Frame::parse(&udp()).unwrap();
        assert_eq!((frame.from, frame.to, frame.ether_type), ([2; 6], [3; 6], 0x0800));
        let ip = frame.ip.unwrap();
        assert_eq!((ip.from, ip.to), ("10.77.0.9".parse().unwrap(), "224.0.0.251".parse().unwrap()));
        assert_eq!((ip.hops, ip.protocol, ip.ports), (255, 17, Some((5353, 5354))));
    }

    #[test]
    fn what_opens_a_connection_or_carries_a_byte_is_not_bare() {
        let tcp =
            || PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([10, 77, 0, 9], [10, 77, 0, 2], 64).tcp(1, 80, 7, 100);
        let bare = |packet: PacketBuilderStep<TcpHeader>, payload: &[u8]| {
            let mut bytes = Vec::new();
            packet.write(&mut bytes, payload).unwrap();
            Frame::parse(&bytes).unwrap().ip.unwrap().bare
        };
        assert!(bare(tcp().ack(8), b"") && bare(tcp().rst(), b""));
        assert!(!bare(tcp().syn(), b"") && !bare(tcp().ack(8), b"GET"));
    }

    #[test]
    fn a_frame_without_ip_is_a_frame() {
        let arp = [&[0xff; 6][..], &[3; 6], &[0x08, 0x06], &[0; 28]].concat();
        let frame = Frame::parse(&arp).unwrap();
        assert_eq!((frame.to, frame.ether_type, frame.ip), ([0xff; 6], 0x0806, None));
        assert_eq!(Frame::parse(&arp[..13]), None);
    }

    #[test]
    fn a_file_has_the_frames_that_were_put_into_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("capture");
        fs::write(&path, file(&[&udp(), &udp()])).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
        fs::write(&path, file(&[])).unwrap();
        assert_eq!(read(&path).unwrap(), []);
        let whole = file(&[&udp()]);
        for bytes in [&whole[..whole.len() - 1], b"", &[0; 40]] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(read(&path), Err(Error::Unreadable { what: "capture", .. })), "{bytes:?}");
        }
    }
}
