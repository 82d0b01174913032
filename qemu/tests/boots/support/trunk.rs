//! A switch whose ports to a machine carry one VLAN only, and whose other side is QEMU's user network.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use qemu::{Machine, Network};

/// Bytes of two Ethernet addresses, behind which the tag stands (IEEE 802.1Q).
const ADDRESSES: usize = 12;
/// What a tag begins with.
const TAG: [u8; 2] = [0x81, 0x00];

/// A running switch. It ends with the test program.
pub(crate) struct Trunk {
    untagged: Arc<AtomicUsize>,
    tagged: Arc<AtomicUsize>,
    backends: Vec<String>,
    cards: Vec<String>,
}

impl Trunk {
    /// A switch with `ports` ports, on which only frames of `vlan` pass.
    pub(crate) fn new(ports: usize, vlan: u16) -> Self {
        let (lan, lan_backend) = wire("outer");
        let lines: Vec<(Wire, String)> = (0..ports).map(|_| wire("")).collect();
        let (untagged, tagged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (to_machine, cards): (Vec<Wire>, Vec<String>) = lines.into_iter().unzip();
        for port in &to_machine {
            let (port, lan) = (port.clone(), lan.clone());
            let (untagged, tagged) = (Arc::clone(&untagged), Arc::clone(&tagged));
            thread::spawn(move || {
                while let Some(frame) = port.receive() {
                    if let Some(inside) = without_tag(&frame, vlan) {
                        tagged.fetch_add(1, Ordering::Relaxed);
                        lan.send(&inside);
                    } else {
                        untagged.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        thread::spawn(move || {
            while let Some(frame) = lan.receive() {
                let frame = with_tag(&frame, vlan);
                for port in &to_machine {
                    port.send(&frame);
                }
            }
        });
        let backends = [
            "user,id=lan".to_owned(),
            "hubport,id=inner,hubid=0,netdev=lan".to_owned(),
            lan_backend,
            "hubport,id=edge,hubid=0,netdev=outer".to_owned(),
        ];
        Self { untagged, tagged, backends: backends.to_vec(), cards }
    }

    /// The machine with a card on each port, and no other.
    pub(crate) fn plug(&self, machine: Machine) -> Machine {
        let machine =
            self.backends.iter().fold(machine.network(Network::None), |machine, backend| machine.backend(backend));
        self.cards.iter().fold(machine, |machine, card| machine.netdev(card, "virtio-net-pci"))
    }

    /// Frames of the VLAN that came from the machine, and all others.
    pub(crate) fn frames(&self) -> (usize, usize) {
        (self.tagged.load(Ordering::Relaxed), self.untagged.load(Ordering::Relaxed))
    }
}

/// Our end of a cable to QEMU: one datagram is one frame.
#[derive(Clone)]
struct Wire {
    socket: Arc<UdpSocket>,
    other_end: SocketAddr,
}

/// A cable, and QEMU's end of it as a backend.
fn wire(id: &str) -> (Wire, String) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // QEMU binds its end a moment later; until then nobody takes the port in practice.
    let other_end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (ours, theirs) = (socket.local_addr().unwrap().port(), other_end.port());
    let id = if id.is_empty() { String::new() } else { format!("id={id},") };
    let local = format!("local.type=inet,local.host=127.0.0.1,local.port={theirs}");
    let remote = format!("remote.type=inet,remote.host=127.0.0.1,remote.port={ours}");
    (Wire { socket: Arc::new(socket), other_end }, format!("dgram,{id}{local},{remote}"))
}

impl Wire {
    fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 65536];
        loop {
            match self.socket.recv(&mut frame) {
                Ok(length) => return Some(frame[..length].to_vec()),
                // QEMU was not there when something was sent, or is no more.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        }
    }

    /// A frame that does not arrive is lost, as on any cable.
    fn send(&self, frame: &[u8]) {
        _ = self.socket.send_to(frame, self.other_end);
    }
}

fn with_tag(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(frame.len().min(ADDRESSES));
    [addresses, &TAG, &vlan.to_be_bytes(), rest].concat()
}

fn without_tag(frame: &[u8], vlan: u16) -> Option<Vec<u8>> {
    let rest = frame.get(ADDRESSES..)?.strip_prefix(&TAG)?;
    let (number, rest) = rest.split_first_chunk::<2>()?;
    (u16::from_be_bytes(*number) & 0x0fff == vlan).then(|| [&frame[..ADDRESSES], rest].concat())
}
