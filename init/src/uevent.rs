//! The kernel's announcements of devices (`kobject_uevent`, `lib/kobject_uevent.c` of Linux), over netlink.

use std::os::fd::OwnedFd;

use rustix::io;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};

/// The kernel's own multicast group; udev's is another one.
const KERNEL_GROUP: u32 = 1;
/// `UEVENT_BUFFER_SIZE` of Linux: no announcement is longer.
const LONGEST: usize = 2048 + 512;

/// Open ear for announcements.
#[derive(Debug)]
pub struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Listens from now on. Opened before the devices are looked through, so that none falls in between.
    pub fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self { socket })
    }

    /// Waits for the next device that is added, and says its `modalias`; `None` if the kernel had more to say than the
    /// socket holds, so that some device was not heard of.
    pub fn next_modalias(&self) -> io::Result<Option<String>> {
        let mut buffer = [0; LONGEST];
        loop {
            match recvfrom(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((received, _, sender)) => {
                    // Anybody may send to this socket; only the kernel has port 0.
                    let from_kernel = sender
                        .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                        .is_some_and(|sender| sender.pid() == 0);
                    let message = buffer.get(..received).unwrap_or_default();
                    if let (true, Some(modalias)) = (from_kernel, added_modalias(message)) {
                        return Ok(Some(modalias.to_owned()));
                    }
                }
                Err(io::Errno::INTR) => {}
                Err(io::Errno::NOBUFS) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The `modalias` of a message that says that a device was added; `None` for every other message.
fn added_modalias(message: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(message).ok()?;
    let mut fields = text.split('\0');
    let header = fields.next()?;
    if !header.starts_with("add@") {
        return None;
    }
    fields.find_map(|field| field.strip_prefix("MODALIAS=")).filter(|modalias| !modalias.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_device_says_its_modalias() {
        let message = b"add@/devices/pci0000:00/0000:00:02.0\0ACTION=add\0SUBSYSTEM=pci\0MODALIAS=pci:v00001AF4d00001041\0SEQNUM=9\0";
        assert_eq!(added_modalias(message), Some("pci:v00001AF4d00001041"));
    }

    #[test]
    fn other_messages_say_nothing() {
        for message in [
            &b"remove@/x\0MODALIAS=pci:1\0"[..],
            b"add@/x\0ACTION=add\0",
            b"add@/x\0MODALIAS=\0",
            b"libudev\0\xfe\xed\xca\xfe",
            b"",
        ] {
            assert_eq!(added_modalias(message), None);
        }
    }
}
