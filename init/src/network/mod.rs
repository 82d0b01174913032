//! The network: every Ethernet interface at once, and the first one with a usable lease wins.
//!
//! [`up`] always ends within [`Settings::deadline`]. A machine without a network is not an error but an answer
//! ([`Network::Down`]), with the reason in words. Interfaces may appear and get their carrier at any time until then.
//! DHCPv4 goes first; IPv6 is what the kernel makes of router advertisements, taken when DHCP has nothing.
//! Nothing that a network says here is trusted: it only shows a way to places where bytes may be found.

mod advertisement;
mod attempt;
mod kernel;
mod link;
mod packet;
mod resolver;
mod search;
mod verdict;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::console::Console;
use kernel::Kernel;
use search::Search;

/// How long to look for a network, and where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Directory that holds `etc/resolv.conf` and `proc/sys`; normally `/`.
    pub root: PathBuf,
    /// Longest time for everything. DHCP gives up by itself after about 32 s.
    pub deadline: Duration,
    /// Longest time until some interface has a carrier: slow drivers and switch ports take 10 s and more.
    pub carrier: Duration,
    /// How long DHCP may still win after IPv6 is ready.
    pub ipv6_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            deadline: Duration::from_secs(45),
            carrier: Duration::from_secs(20),
            ipv6_grace: Duration::from_secs(4),
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
}

/// Why there is no network.
#[derive(Debug, Error)]
pub enum DownReason {
    /// The kernel has no networking, or refuses to speak of it.
    #[error("the kernel does not answer over netlink; it needs CONFIG_NET, CONFIG_INET and CONFIG_PACKET")]
    Kernel(#[source] io::Error),
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
            Self::NoInterface { .. } => "no-interface",
            Self::NoCarrier { .. } => "no-carrier",
            Self::NoAddress { .. } => "no-address",
        }
    }
}

/// Switches all Ethernet interfaces on and waits until one is connected or none can be expected to be.
pub fn up(settings: &Settings, console: &Console) -> Network {
    match Search::new(settings, console).and_then(Search::run) {
        Ok(network) => network,
        Err(error) => Network::Down(DownReason::Kernel(error)),
    }
}

/// Switches all interfaces off, so that no network card writes into memory that will soon be another kernel's. What
/// cannot be switched off is said and left.
pub fn down(console: &Console) {
    let mut kernel = Kernel::new();
    let links = match kernel.links() {
        Ok(links) => links,
        Err(error) => return console.warn(format_args!("the network interfaces stay on: {error}")),
    };
    for link in links.iter().filter(|link| link.is_up() && !link.is_loopback()) {
        if let Err(error) = kernel.switch(link.index, false) {
            console.warn(format_args!("{} stays on: {error}", link.name));
        }
    }
}
