//! A local network on one machine: a switch, a router with the world behind it, neighbours, and faulty cables.
//!
//! ```text
//!   machine ──port0── switch ──── router 10.77.0.1, fd77::1 ──── world 203.0.113.10
//!   (QEMU)   faults     └──────── neighbour 10.77.0.2, fd77::2
//!                       └──────── second neighbour 10.77.0.3, fd77::3
//! ```
//!
//! Everything is made of network namespaces inside namespaces of the program's own ([`isolated`]): it needs no root, no two
//! networks meet, however many there are, and the kernel removes all of it when the program ends, also after a panic or
//! a `kill -9`. No packet reaches the host's own interfaces, since no cable leads there.

mod cable;
pub mod capture;
mod faults;
mod host;
mod servers;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Machine, Network, program};

use cable::Cable;
pub use capture::{Capture, Frame, Ip};
pub use faults::Faults;
pub use host::Host;
pub use servers::{Avahi, Dhcp};

/// Where the router answers on the link, and what it gives away by DHCP.
pub const ROUTER: &str = "10.77.0.1";
/// The neighbour's addresses on the link.
pub const NEIGHBOUR: &str = "10.77.0.2";
/// The same in IPv6.
pub const NEIGHBOUR_6: &str = "fd77::2";
/// The second neighbour's address on the link.
pub const SECOND: &str = "10.77.0.3";
/// Where the addresses are that the router gives away.
pub const LEASES: &str = "10.77.0.128/26";
/// What stands behind the router.
pub const WORLD: &str = "203.0.113.10";
/// The Ethernet address that QEMU gives the first card.
pub const MACHINE: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Set in a program that [`isolated`] started.
const ISOLATED: &str = "PHASE_LAN_ISOLATED";

/// `program`, to be started as the first process of user, network, mount and process namespaces of its own, where it has
/// all rights over them and none outside. They end when it ends, and it ends when the caller does.
pub fn isolated(program: &Path) -> Result<Command, Error> {
    let mut command = Command::new(program::find("setpriv", "util-linux")?);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program::find("unshare", "util-linux")?);
    command.args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg("--").arg(program).env(ISOLATED, "1");
    Ok(command)
}

/// The network.
#[derive(Debug)]
pub struct Lan {
    /// Between the link and the world: `lan` and `wan` are its interfaces. It forwards; it gives no addresses by itself.
    pub router: Host,
    /// A host on the link.
    pub neighbour: Host,
    /// Another one.
    pub second: Host,
    /// A host behind the router: not on the link.
    pub world: Host,
    cables: Vec<Cable>,
}

impl Lan {
    /// Makes the network, in namespaces that nobody else uses.
    pub fn new() -> Result<Self, Error> {
        alone()?;
        fs::File::options().read(true).write(true).open("/dev/net/tun").map_err(|source| Error::Unreadable {
            what: "card (the kernel's module tun, package kmod: modprobe tun)",
            path: "/dev/net/tun".into(),
            source,
        })?;
        host::ip("link set lo up")?;
        // The switch itself has no address and says nothing.
        host::ip("link add switch type bridge forward_delay 0 mcast_snooping 0")?;
        fs::write("/proc/sys/net/ipv6/conf/switch/disable_ipv6", "1").map_err(Error::Start)?;
        host::ip("link set switch up")?;
        let [router, neighbour, second, world] = ["router", "neighbour", "second", "world"].map(Host::new);
        let lan = Self { router: router?, neighbour: neighbour?, second: second?, world: world?, cables: Vec::new() };
        Self::plug_in(&lan.router, &[&format!("{ROUTER}/24"), "fd77::1/64"])?;
        Self::plug_in(&lan.neighbour, &[&format!("{NEIGHBOUR}/24"), &format!("{NEIGHBOUR_6}/64")])?;
        Self::plug_in(&lan.second, &[&format!("{SECOND}/24"), "fd77::3/64"])?;
        lan.route()?;
        Ok(lan)
    }

    /// A cable from the switch to `host`.
    fn plug_in(host: &Host, addresses: &[&str]) -> Result<(), Error> {
        let port = format!("to-{}", host.name());
        host::ip(&format!("link add {port} type veth peer name lan netns {}", host.pid()))?;
        fs::write(format!("/proc/sys/net/ipv6/conf/{port}/disable_ipv6"), "1").map_err(Error::Start)?;
        host::ip(&format!("link set {port} master switch up"))?;
        host.address("lan", addresses)
    }

    /// The cable between the router and the world, and the router's forwarding.
    fn route(&self) -> Result<(), Error> {
        self.router.ip(&format!("link add wan type veth peer name wan netns {}", self.world.pid()))?;
        self.router.address("wan", &["203.0.113.1/24"])?;
        self.world.address("wan", &[&format!("{WORLD}/24")])?;
        self.world.ip("route add default via 203.0.113.1")?;
        let forward =
            ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"];
        self.router.run(&forward).map(drop)
    }

    /// Plugs the machine's only card into the switch, with these faults on the way, in both directions.
    pub fn plug(&mut self, machine: Machine, faults: &Faults) -> Result<Machine, Error> {
        let port = format!("port{}", self.cables.len());
        host::ip(&format!("tuntap add {port} mode tap"))?;
        fs::write(format!("/proc/sys/net/ipv6/conf/{port}/disable_ipv6"), "1").map_err(Error::Start)?;
        host::ip(&format!("link set {port} up"))?;
        join(&port, faults.late)?;
        let tap = format!("tap,ifname={port},script=no,downscript=no,vnet_hdr=off");
        let machine = machine.network(Network::None);
        if !faults.on_the_way() {
            return Ok(machine.netdev(&tap, "virtio-net-pci"));
        }
        let (cable, backends, card) = Cable::new(faults, &tap).map_err(Error::Start)?;
        self.cables.push(cable);
        let machine = backends.iter().fold(machine, |machine, backend| machine.backend(backend));
        Ok(machine.netdev(&card, "virtio-net-pci"))
    }

    /// Looks at all that the router sends to the world, and gets from there, from now on.
    pub fn watch_the_world(&self) -> Result<Capture, Error> {
        // The other end of the router's cable: what leaves there arrives here.
        Capture::of(&self.world)
    }
}

/// Joins the port with the switch, now or after a while: a port that is not joined yet has a carrier and carries nothing, as one
/// of a switch with spanning tree.
fn join(port: &str, late: Option<Duration>) -> Result<(), Error> {
    let joined = format!("link set {port} master switch");
    let Some(late) = late else { return host::ip(&joined) };
    thread::spawn(move || {
        thread::sleep(late);
        // The machine may be gone by then, and the port with it.
        let _ = host::ip(&joined);
    });
    Ok(())
}

/// The network is made here only where nothing can be spoiled.
fn alone() -> Result<(), Error> {
    let interfaces = fs::read_to_string("/proc/self/net/dev").map_err(Error::Start)?;
    let names: Vec<&str> =
        interfaces.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    if std::env::var_os(ISOLATED).is_none() || names != ["lo"] {
        return Err(Error::NotAlone { interfaces: names.join(", ") });
    }
    Ok(())
}

/// Waits until `holds`, for at most a minute.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        if Instant::now() > deadline {
            return Err(Error::Failed {
                command: what.to_owned(),
                said: "it does not come within a minute".to_owned(),
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_network_is_made_among_interfaces_that_are_somebody_elses() {
        let error = Lan::new().unwrap_err().to_string();
        assert!(error.contains("this one has the interfaces ") && error.contains("lo"), "{error}");
    }

    #[test]
    fn a_host_ends_with_the_program_even_if_that_is_killed() {
        // Nobody else sleeps for as many seconds.
        let seconds = format!("{}", 1_000_000_000_u64 + u64::from(std::process::id()));
        let sleeps = || {
            let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
            processes
                .filter_map(|file| fs::read(file).ok())
                .any(|words| words == format!("sleep\0{seconds}\0").as_bytes())
        };
        let script = format!("unshare --net sleep {seconds}; true");
        let mut program = isolated(Path::new("/bin/sh")).unwrap().args(["-c", &script]).spawn().unwrap();
        wait_until("a host of the network", sleeps).unwrap();
        program.kill().unwrap();
        program.wait().unwrap();
        wait_until("the host's end", || !sleeps()).unwrap();
    }
}
