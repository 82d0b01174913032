//! Private mode: a release from a local medium. Not one frame leaves the machine, not one byte of a disk, of the TPM or of the
//! firmware's variables changes, and no register is extended; the same machine in internet mode sends, remembers and measures, and
//! a guest on it that writes a variable is seen to.

use std::{cell::RefCell, fs};

use qemu::{Event, Machine};

use crate::support::{
    Boot, Lab, Measured, Medium, PhaseData, Release, Serve, Tpm, Tree, Uefi, frames, registers, untouched,
    variable_writer,
};

/// A release that says that it is healthy, if it is given a way to.
fn release(version: u64) -> Tree {
    Release { version, acknowledges: true, handoff: "direct", ..Release::default() }.publish()
}

/// Where a person sits.
#[derive(Clone, Copy)]
enum Seat {
    SerialLine,
    Screen,
}

impl Seat {
    /// Goes down to what is called private, and takes it. Every console shows what is marked on any.
    fn chooses_private(self, boot: &mut Boot) {
        let (down, enter) = match self {
            Self::SerialLine => ("\x1b[B", "\r"),
            Self::Screen => ("down", "ret"),
        };
        let press = |boot: &Boot, key: &str| match self {
            Self::SerialLine => boot.types(key),
            Self::Screen => boot.presses(&[key]),
        };
        boot.shows("Where may this machine look for a release?");
        boot.shows("Without it: Internet in ");
        for marked in ["Local", "Private"] {
            press(boot, down);
            boot.shows(&format!("Without it: {marked} in "));
        }
        press(boot, enter);
        boot.shows("Chosen: Private.");
    }
}

/// Two more disks, and a second network card.
fn with_devices(machine: Machine, one: &Medium, other: &Medium) -> Machine {
    machine.disk(&one.path()).disk(&other.path()).netdev("user", "virtio-net-pci")
}

/// Boots release 7 from a server, so that it is seen what the machine does when it may; then release 8 from a medium.
/// `remembers` reads the machine's memory. Returns both boots.
#[track_caller]
fn internet_then_private(seat: Seat, machine: impl Fn(&Lab) -> Machine, remembers: impl Fn() -> Vec<u8>) -> [Boot; 2] {
    let lab = Lab::ready();
    let directory = tempfile::tempdir().unwrap();
    let captures = |name: &str| ["first", "second"].map(|card| directory.path().join(format!("{name}-{card}")));
    let seen = |name: &str| captures(name).map(|capture| frames(&capture));
    let (medium, other) = (Medium::ext4("PHASE", Some(&release(8))), Medium::ext4("DATA", None));
    let plugged = |name: &str| {
        let machine = captures(name).iter().fold(machine(lab), |machine, path| machine.capture(path));
        with_devices(machine, &medium, &other).append("console=tty0 console=ttyS0")
    };
    let (server, at_first) = (Serve::tree(release(7)), remembers());
    let mut open = Boot::start(&plugged("internet").append(&format!("phase.mode=internet {}", server.origin())));
    assert_eq!(open.reaches_the_release("direct")["mode"], "internet");
    assert!(open.says("phase-test: acknowledged release 7 of e2e"));
    assert!(!open.says("Where may this machine look"), "somebody is asked though the mode is given");
    let in_the_open = seen("internet");
    assert!(in_the_open.iter().all(|frames| *frames > 3), "a capture sees nothing: {in_the_open:?}");
    let before = remembers();
    assert!(before != at_first, "the machine does not remember what was acknowledged");
    let media = [medium.bytes(), other.bytes()];

    let mut boot = Boot::start(&plugged("private"));
    seat.chooses_private(&mut boot);
    assert_eq!(boot.reaches("mode", Event::End).field("mode"), Some("private"));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!((&receipt["mode"], &receipt["version"]), (&"private".into(), &8.into()));
    assert!(receipt["source"].as_str().unwrap().starts_with("/dev/vd"), "{receipt}");
    assert!(receipt.get("network").is_none() && !boot.began("network"), "{receipt}");
    assert_eq!(receipt["state"]["access"], "read-only");
    assert!(boot.says("phase.mode=private"), "the release's kernel is told the mode");
    assert!(!boot.says("phase-test: acknowledged release 8"), "the release could write");
    assert_eq!(seen("private"), [0, 0], "something was sent or came");
    assert!(remembers() == before, "what the machine remembers was changed");
    assert!([medium.bytes(), other.bytes()] == media, "a disk was written");
    assert!(receipt.get("x-measured").is_none() && !boot.began("measure"), "{receipt}");
    [open, boot]
}

#[test]
fn and_touches_no_disk_and_no_variable_of_the_firmware() {
    let data = PhaseData::ext4();
    let firmware = RefCell::new(Uefi::new());
    // One that was never switched on, for every boot: it writes of itself, each time the same.
    let switched_on = |machine: Machine| {
        firmware.replace(Uefi::new());
        firmware.borrow().plug(machine)
    };
    let machine = |lab: &Lab| switched_on(lab.asking_machine(&data));
    internet_then_private(Seat::Screen, machine, || fs::read(data.path()).unwrap());
    let after = firmware.borrow().variables();

    let directory = tempfile::tempdir().unwrap();
    let initrd = directory.path().join("initrd");
    variable_writer(&initrd);
    let (one, other) = (Medium::ext4("PHASE", None), Medium::ext4("DATA", None));
    let writer = switched_on(Lab::ready().guest_machine(&initrd).disk(&data.path()));
    let mut boot = Boot::start(&with_devices(writer, &one, &other));
    boot.shows("guest login:");
    assert!(firmware.borrow().variables() == after, "a variable was written after the kernel's start");
    boot.types("\r");
    boot.powers_off();
    assert!(firmware.borrow().variables() != after, "a variable that is written is not seen");
}

#[test]
fn and_touches_no_tpm() {
    let tpm = Tpm::new();
    let powered = RefCell::new(None);
    let machine = |lab: &Lab| {
        // The one of the boot before ended with it.
        drop(powered.replace(None));
        let tpm = powered.replace(Some(tpm.powered()));
        assert!(tpm.is_none());
        lab.asking_tpm_machine(powered.borrow().as_ref().unwrap())
    };
    let [open, private] = internet_then_private(Seat::SerialLine, machine, || tpm.memory());
    let (extended, kept) = (registers(&open), registers(&private));
    assert!(!kept.is_empty() && kept.iter().all(|register| untouched(register)), "{kept:?}");
    assert!(!extended.is_empty() && !extended.iter().any(|register| untouched(register)), "{extended:?}");
    let measured = Measured::by(&open);
    let (good, replayed) = measured.replay(&measured.log());
    assert!(good && replayed["agrees"] == true, "{replayed}");
}
