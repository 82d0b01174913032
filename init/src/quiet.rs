//! The machine made quiet before another kernel takes it over: a network card that goes on writing received frames into
//! memory would write into the next kernel's.
//!
//! Links go down, then the driver of every network device lets go of it: not every driver has a shutdown hook that kexec
//! would call.

use std::path::{Path, PathBuf};

use crate::console::Console;

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

/// Links down, drivers off. What cannot be done is said and left: the jump is still better than no boot.
pub fn network(root: &Path, console: &Console) -> Quiet {
    crate::network::down(console);
    let begun = root.join(BEGUN);
    // Best effort: it only serves an attempt that comes after an accident.
    _ = begun.parent().map(std::fs::create_dir_all).and_then(|_| std::fs::write(&begun, "").ok());
    let mut released = Vec::new();
    for device in devices(&root.join("sys/class/net")) {
        match std::fs::write(device.driver.join("unbind"), &device.name) {
            Ok(()) => released.push(device),
            Err(error) => console.warn(format_args!(
                "{} stays with its driver ({}): {error}; it may disturb the next kernel",
                device.name,
                device.driver.display()
            )),
        }
    }
    Quiet { released, begun }
}

impl Quiet {
    /// How many devices were taken from their drivers.
    pub fn released(&self) -> usize {
        self.released.len()
    }

    /// Gives the devices back, so that another attempt has a network.
    pub fn undo(self, console: &Console) {
        for device in self.released {
            if let Err(error) = std::fs::write(device.driver.join("bind"), &device.name) {
                console.warn(format_args!("{} got no driver back: {error}", device.name));
            }
        }
        _ = std::fs::remove_file(self.begun);
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

/// The devices behind the network interfaces, each once; interfaces without a device (lo, bridges) have none.
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
    found.sort_by(|a, b| a.name.cmp(&b.name));
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
