//! The machine made quiet before another kernel takes it over: a network card that goes on writing received frames into
//! memory would write into the next kernel's.
//!
//! Links go down, then the driver of every network device lets go of it: not every driver has a shutdown hook that kexec
//! would call. (On PCI the kernel itself forbids every device to reach memory when it jumps, `pci_device_shutdown` of
//! `drivers/pci/pci-driver.c` in Linux; a driver that let go has also told its card to stop.) A driver that does not let go is
//! not waited for beyond a deadline: the jump would wait for it without one.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::console::Console;
use crate::kexec::KexecError;

/// How long a driver may take to let go of its device; cards with firmware of their own take seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stands while devices may be without their drivers, for the worker after this one.
const BEGUN: &str = "run/phase/quiet";

/// The devices that were taken from their drivers.
#[derive(Debug)]
#[must_use = "if the jump fails, the devices have to be given back"]
pub struct Quiet {
    released: Vec<Device>,
    begun: PathBuf,
}

#[derive(Debug)]
struct Device {
    /// Name on its bus, such as `virtio0` or `0000:00:02.0`.
    name: String,
    /// The driver's directory in sysfs.
    driver: PathBuf,
}

/// Links down, drivers off. A device that its driver keeps is said and left: the jump is still better than no boot. If a driver
/// does not answer, there is no jump, and the devices before it are given back: another way goes on under this kernel.
pub fn network(root: &Path, console: &Console) -> Result<Quiet, KexecError> {
    crate::network::down(console);
    release(root, PATIENCE, console)
}

fn release(root: &Path, patience: Duration, console: &Console) -> Result<Quiet, KexecError> {
    let begun = root.join(BEGUN);
    // Best effort: it only serves an attempt that comes after an accident.
    _ = begun.parent().map(std::fs::create_dir_all).and_then(|_| std::fs::write(&begun, "").ok());
    let mut released = Vec::new();
    for device in devices(&root.join("sys/class/net")) {
        let answer = match device.let_go(patience) {
            Ok(answer) => answer,
            Err(stuck) => {
                // `begun` stays: that driver may let go later.
                rebind(&released, console);
                return Err(stuck);
            }
        };
        match answer {
            Ok(()) => released.push(device),
            Err(error) => console.warn(format_args!(
                "{} stays with its driver ({}): {error}; it may disturb the next kernel",
                device.name,
                device.driver.display()
            )),
        }
    }
    Ok(Quiet { released, begun })
}

impl Device {
    /// Takes the device from its driver; says the kernel's answer, if it comes in time.
    fn let_go(&self, patience: Duration) -> Result<std::io::Result<()>, KexecError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let (unbind, name) = (self.driver.join("unbind"), self.name.clone());
        let work = move || _ = answer.send(std::fs::write(unbind, name));
        if let Err(error) = std::thread::Builder::new().name("unbind".into()).spawn(work) {
            return Ok(Err(error));
        }
        let stuck = |_| KexecError::Stuck { device: self.name.clone(), patience };
        answered.recv_timeout(patience).map_err(stuck)
    }
}

impl Quiet {
    /// How many devices were taken from their drivers.
    pub fn released(&self) -> usize {
        self.released.len()
    }

    /// Gives the devices back, so that another attempt has a network.
    pub fn undo(self, console: &Console) {
        rebind(&self.released, console);
        _ = std::fs::remove_file(self.begun);
    }
}

fn rebind(released: &[Device], console: &Console) {
    for device in released {
        if let Err(error) = std::fs::write(device.driver.join("bind"), &device.name) {
            console.warn(format_args!("{} got no driver back: {error}", device.name));
        }
    }
}

/// Does what [`Quiet::undo`] would have done for a worker that was ended in the middle of the load (the kernel does this
/// when memory runs out): every device without a driver is offered to the drivers.
pub fn give_back(root: &Path) {
    if std::fs::remove_file(root.join(BEGUN)).is_err() {
        return;
    }
    let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    for bus in entries(root.join("sys/bus")) {
        for device in entries(bus.path().join("devices")) {
            if !device.path().join("driver").exists() {
                // Most answer that there is no driver for them.
                _ = std::fs::write(bus.path().join("drivers_probe"), device.file_name().as_encoded_bytes());
            }
        }
    }
}

/// The devices behind the network interfaces, each once; interfaces without a device (lo, bridges) have none. On PCI a virtual
/// function has a higher number than the card that it belongs to, and goes first.
fn devices(class: &Path) -> Vec<Device> {
    let mut found: Vec<Device> = Vec::new();
    for interface in std::fs::read_dir(class).into_iter().flatten().flatten() {
        let device = interface.path().join("device");
        let (Ok(path), Ok(driver)) = (device.canonicalize(), device.join("driver").canonicalize()) else { continue };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !found.iter().any(|device| device.name == name && device.driver == driver) {
            found.push(Device { name: name.to_owned(), driver });
        }
    }
    found.sort_by(|a, b| b.name.cmp(&a.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_device_without_a_driver_is_given_back() {
        let root = tempfile::tempdir().unwrap();
        let bus = root.path().join("sys/bus/pci");
        for directory in ["devices/0000:00:01.0/driver", "devices/0000:00:02.0"] {
            std::fs::create_dir_all(bus.join(directory)).unwrap();
        }
        give_back(root.path());
        assert!(!bus.join("drivers_probe").exists(), "nothing was taken");
        std::fs::create_dir_all(root.path().join("run/phase")).unwrap();
        std::fs::write(root.path().join(BEGUN), "").unwrap();
        give_back(root.path());
        assert!(!root.path().join(BEGUN).exists());
        assert_eq!(std::fs::read_to_string(bus.join("drivers_probe")).unwrap(), "0000:00:02.0");
    }

    #[test]
    fn a_driver_that_does_not_answer_is_given_up_and_named() {
        let root = tempfile::tempdir().unwrap();
        // Opening it to write waits for somebody who reads, who never comes.
        let (fifo, mode) = (root.path().join("unbind"), rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let device = Device { name: "0000:00:02.0".into(), driver: root.path().to_owned() };
        let error = device.let_go(Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("the driver of 0000:00:02.0 does not let go"), "{error}");
    }

    #[test]
    fn what_was_taken_before_a_driver_did_not_answer_is_given_back() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (interface, device, driver) in [("eth0", "0000:00:02.0", "stuck"), ("eth1", "0000:00:03.0", "good")] {
            std::fs::create_dir_all(path("sys/class/net").join(interface)).unwrap();
            std::fs::create_dir_all(path("devices").join(device)).unwrap();
            std::fs::create_dir_all(path(driver)).unwrap();
            symlink(path(driver), path("devices").join(device).join("driver")).unwrap();
            symlink(path("devices").join(device), path("sys/class/net").join(interface).join("device")).unwrap();
        }
        let (fifo, mode) = (path("stuck/unbind"), rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let console = Console::attach(Path::new("/nowhere"), "", crate::console::Verbosity::Quiet);
        let error = release(root.path(), Duration::from_millis(200), &console).unwrap_err();
        assert!(matches!(&error, KexecError::Stuck { device, .. } if device == "0000:00:02.0"), "{error}");
        assert_eq!(std::fs::read_to_string(path("good/unbind")).unwrap(), "0000:00:03.0");
        assert_eq!(std::fs::read_to_string(path("good/bind")).unwrap(), "0000:00:03.0");
        assert!(path(BEGUN).exists(), "the next attempt offers the other one to its driver");
    }

    #[test]
    fn a_device_is_taken_from_its_driver_or_the_kernels_answer_is_said() {
        let root = tempfile::tempdir().unwrap();
        let device = Device { name: "virtio0".into(), driver: root.path().to_owned() };
        device.let_go(PATIENCE).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("unbind")).unwrap(), "virtio0");
        let gone = Device { driver: root.path().join("gone"), ..device };
        assert_eq!(gone.let_go(PATIENCE).unwrap().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn virtual_functions_go_before_their_card() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (interface, device) in [("eth0", "0000:01:00.0"), ("eth1", "0000:01:10.0")] {
            std::fs::create_dir_all(path("class").join(interface)).unwrap();
            std::fs::create_dir_all(path("devices").join(device)).unwrap();
            std::fs::create_dir_all(path("drivers/igb")).unwrap();
            symlink(path("drivers/igb"), path("devices").join(device).join("driver")).unwrap();
            symlink(path("devices").join(device), path("class").join(interface).join("device")).unwrap();
        }
        let names: Vec<_> = devices(&path("class")).into_iter().map(|device| device.name).collect();
        assert_eq!(names, ["0000:01:10.0", "0000:01:00.0"]);
    }

    #[test]
    fn a_card_with_two_ports_is_let_go_once_and_the_loopback_never() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for directory in ["class/eth0", "class/eth1", "class/lo", "devices/0000:00:02.0", "drivers/e1000"] {
            std::fs::create_dir_all(path(directory)).unwrap();
        }
        symlink(path("drivers/e1000"), path("devices/0000:00:02.0/driver")).unwrap();
        for port in ["eth0", "eth1"] {
            symlink(path("devices/0000:00:02.0"), path("class").join(port).join("device")).unwrap();
        }
        let found = devices(&path("class"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "0000:00:02.0");
        assert!(found[0].driver.ends_with("drivers/e1000"));
    }
}
