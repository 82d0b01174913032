//! Network cards write into memory by themselves. They are told to stop before another kernel takes the memory over, while frames
//! go on arriving.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use qemu::{Event, Machine};

use crate::support::{Boot, KERNEL_PARAMETERS, Lab, Release, Serve, root_with};

/// Models of QEMU's that common drivers serve; each has another one.
const MODELS: [&str; 7] = ["virtio-net-pci", "e1000", "e1000e", "rtl8139", "vmxnet3", "pcnet", "i82559c"];

/// Says of each network card what the PCI command register (PCI Local Bus, 6.2.2) allows it: bit 2 is to write into memory.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
echo "phase-test: release pid $$ reached"
for device in /sys/bus/pci/devices/*; do
    case $($b cat $device/class) in
    0x02*) echo "phase-test: card $($b dd if=$device/config bs=1 skip=4 count=1 2>/dev/null | $b hexdump -e '1/1 "%02x"')" ;;
    esac
done
echo "phase-test: receipt $($b cat /run/phase/receipt.json)"
$b poweroff -f
"#;

/// Sends frames of full length to everybody, about 2000 a second, until it is dropped.
struct Flood(Arc<AtomicBool>);

impl Flood {
    /// From `sender` to the port of 127.0.0.1 that QEMU listens on.
    fn new(sender: UdpSocket, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut frame = vec![0xa5; 1514];
        frame[..14].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x99\x88\xb5");
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    // Refused as long as QEMU does not listen.
                    let _ = sender.send_to(&frame, ("127.0.0.1", port));
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self(stop)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Boots a machine with all cards on, each of which gets frames all the time; says for each whether it may write into memory
/// once the release runs.
#[track_caller]
fn masters(handoff: &'static str) -> Vec<bool> {
    let (lab, folder) = (Lab::ready(), tempfile::tempdir().unwrap());
    let rootfs = Some(root_with(INIT, folder.path()));
    let server = Serve::tree(Release { handoff, rootfs, ..Release::default() }.publish());
    let (kernel, initramfs) = lab.general_kernel_and_initramfs_with("net,root", folder.path());
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [ours, theirs] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
    let [sender, listener] = sockets;
    drop(listener);
    let machine = Machine::new(&kernel, &initramfs).memory_mib(512).append(KERNEL_PARAMETERS);
    let machine = machine.append("phase.mode=internet phase.on_failure=poweroff").append(&server.origin());
    let machine = machine.backend(&format!("socket,udp=127.0.0.1:{ours},localaddr=127.0.0.1:{theirs},id=flood"));
    let machine = machine.backend("hubport,hubid=0,netdev=flood,id=source");
    let machine = MODELS.iter().fold(machine, |machine, model| machine.netdev("hubport,hubid=0", model));
    let _flood = Flood::new(sender, theirs);
    let mut boot = Boot::start(&machine);
    if handoff == "kexec" {
        let released = boot.reaches("quiet", Event::End);
        assert_eq!(released.field("released"), Some((MODELS.len() + 1).to_string().as_str()), "{released:?}");
    }
    boot.reaches_the_release(handoff);
    let commands = boot.lines_after("phase-test: card ");
    commands.iter().map(|command| u8::from_str_radix(command, 16).unwrap() & 4 != 0).collect()
}

#[test]
fn are_silent_when_the_next_kernel_begins_though_frames_arrive() {
    assert_eq!(masters("kexec"), [false; MODELS.len() + 1]);
}

#[test]
#[ignore = "one row of `make test-media`"]
fn go_on_where_the_first_kernel_does() {
    assert_eq!(masters("direct"), [true; MODELS.len() + 1]);
}
