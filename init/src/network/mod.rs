//! The network (docs/network.md): every Ethernet interface at once, and the first one with a usable address wins.
//!
//! [`up`] always ends within [`Settings::deadline`]. A machine without a network is not an error but an answer
//! ([`Network::Down`]), with the reason in words. Interfaces may appear and get their carrier at any time until then.
//! DHCPv4 goes first; IPv6 is what the kernel makes of router advertisements, taken when DHCP has nothing. What the command
//! line asks for ([`Plan`]) is followed to the letter: another interface, VLAN or address is not tried instead.
//! Nothing that a network says here is trusted: it only shows a way to places where bytes may be found.

mod advertisement;
mod arp;
mod attempt;
mod force;
mod kernel;
mod layers;
mod layout;
mod link;
mod packet;
pub mod plan;
mod resolver;
mod search;
mod servers6;
mod solicit;
mod verdict;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use kernel::Kernel;
use plan::{Addressing, Plan};
use search::Search;

use crate::console::Console;
use crate::modules;

/// How long to look for a network, and where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Directory that holds `etc/resolv.conf` and `proc/sys`; normally `/`.
    pub root: PathBuf,
    /// The kernel command line, for the parameters of modules.
    pub command_line: String,
    /// What it asks of the network.
    pub plan: Plan,
    /// Longest time for everything.
    pub deadline: Duration,
    /// Longest time until there is an interface to ask on: drivers are loaded by then, and USB cards are found in seconds.
    pub interface: Duration,
    /// Longest time until some interface has a carrier: slow switch ports take 30 s and more.
    pub carrier: Duration,
    /// Longest time for an address, from an interface's carrier on: a switch port may let nothing through for 30 s
    /// (spanning tree), and a server may start after us.
    pub lease: Duration,
    /// How long DHCP is asked, from an interface's carrier on, before IPv6 is taken instead.
    pub ipv6_grace: Duration,
    /// How long `DHCPv6` servers are asked what they know, from the moment on at which they can be.
    pub dhcp6: Duration,
    /// Whether nothing is to leave the link (local mode): routes of the link alone are set, name servers are not used, and a
    /// link-local address is enough.
    pub on_link: bool,
    /// How long DHCP and routers are asked, from an interface's carrier on, before a link-local address is enough.
    pub link_local_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            command_line: String::new(),
            plan: Plan::default(),
            deadline: Duration::from_secs(90),
            interface: Duration::from_secs(20),
            carrier: Duration::from_secs(45),
            lease: Duration::from_secs(45),
            ipv6_grace: Duration::from_secs(3),
            dhcp6: Duration::from_secs(3),
            on_link: false,
            link_local_grace: Duration::from_secs(8),
        }
    }
}

/// What there is.
#[derive(Debug)]
pub enum Network {
    /// An interface has an address, and `/etc/resolv.conf` is written.
    Up(Connection),
    /// There is none.
    Down(DownReason),
}

/// The connection of this machine: `network` of the hand-off (docs/formats.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The kernel's name of the interface.
    pub interface: String,
    /// Address and prefix, such as `10.0.2.15/24`.
    pub address: String,
    /// The way to everywhere else; a network may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<IpAddr>,
    /// Name servers, at most three.
    pub dns: Vec<IpAddr>,
    /// How long a DHCP server gave the address for; it is not renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u32>,
    /// http and https URLs that the network names as places of releases, at most four. Untrusted; not part of the hand-off.
    #[serde(skip)]
    pub boot_urls: Vec<String>,
}

/// Why there is no network.
#[derive(Debug, Error)]
pub enum DownReason {
    /// The kernel has no networking, or refuses to speak of it.
    #[error("the kernel does not answer over netlink; it needs CONFIG_NET, CONFIG_INET and CONFIG_PACKET")]
    Kernel(#[from] io::Error),
    /// The command line wants none.
    #[error("ip=off on the kernel command line: no interface is to have an address")]
    Off,
    /// A VLAN or a bond that the kernel does not make.
    #[error(
        "{what} cannot be made: {source}; is the kernel module {module} in this initramfs (`phase image initramfs --modules net,{module}`)?"
    )]
    Layer {
        /// What was to be made.
        what: String,
        /// What it needs.
        module: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An interface that the command line names did not appear.
    #[error("no interface {named}, which the kernel command line names, after {} s; there are: {seen}", .waited.as_secs())]
    NotThere {
        /// What the command line names.
        named: String,
        /// The interfaces that there are.
        seen: String,
        /// How long was waited.
        waited: Duration,
    },
    /// No Ethernet interface appeared.
    #[error("no Ethernet interface after {} s: is the driver of the network card in this initramfs?", .waited.as_secs())]
    NoInterface {
        /// How long was waited.
        waited: Duration,
    },
    /// No cable, or a switch port that stays off.
    #[error("no carrier on {interfaces} after {} s: is the cable plugged in?", .waited.as_secs())]
    NoCarrier {
        /// Names of the interfaces.
        interfaces: String,
        /// How long was waited.
        waited: Duration,
    },
    /// There is a carrier, but no address, neither by DHCP nor by router advertisement.
    #[error("no address: {reasons}")]
    NoAddress {
        /// What came of each interface.
        reasons: String,
    },
}

impl DownReason {
    /// The reason in one short stable word, for markers and scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Off => "off",
            Self::Layer { .. } => "layer",
            Self::NotThere { .. } | Self::NoInterface { .. } => "no-interface",
            Self::NoCarrier { .. } => "no-carrier",
            Self::NoAddress { .. } => "no-address",
        }
    }
}

/// Switches the interfaces on that the plan wants and waits until one is connected or none can be expected to be.
pub fn up(settings: &Settings, console: &Console) -> Network {
    if settings.plan.ip.as_ref().is_some_and(|ip| ip.addressing == Addressing::Off) {
        return Network::Down(DownReason::Off);
    }
    for module in settings.plan.modules() {
        // A kernel may have it built in; what it lacks shows when it is used.
        if let Err(error) = modules::load(&settings.root, &settings.command_line, &[module]) {
            console.warn(format_args!("{error}"));
        }
    }
    Search::new(settings, console).and_then(Search::run).unwrap_or_else(Network::Down)
}

/// Switches all interfaces off, so that no network card writes into memory that will soon be another kernel's. What
/// cannot be switched off is said and left.
pub fn down(console: &Console) {
    let mut kernel = Kernel::new();
    let links = match kernel.links() {
        Ok(links) => links,
        Err(error) => return console.warn(format_args!("the network interfaces stay on: {error}")),
    };
    // What came later may stand on what came before: a VLAN on a bond, a bond on its cards.
    for link in links.iter().rev().filter(|link| link.is_up() && !link.is_loopback()) {
        if let Err(error) = kernel.switch(link.index, false) {
            console.warn(format_args!("{} stays on: {error}", link.name));
        }
    }
}
