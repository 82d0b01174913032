//! What this machine says on its links: that a published tree is here, or that it shares what it has so far.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};

use super::{MdnsError, SERVICE};

/// How long all goodbyes together may take. Whoever misses them forgets us by the records' own time.
const GOODBYE: Duration = Duration::from_secs(2);

/// One service of this machine (docs/formats.md, "Service"): a channel and an architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'a> {
    /// What people see, in at most 63 bytes; one name, one offer.
    pub name: &'a str,
    /// The first label of the host's name: letters, digits and `-`, in at most 63 bytes.
    pub host: &'a str,
    /// Where it listens. With an unspecified address all addresses of the machine are told, the loopback's excepted.
    pub listen: SocketAddr,
    /// The channel.
    pub channel: &'a str,
    /// The architecture.
    pub arch: &'a str,
    /// The version, for people.
    pub version: u64,
    /// Whether only that is here of a release which has arrived so far (docs/formats.md, "Sharing").
    pub shares: bool,
}

/// What this machine says on every link, until [`Advertisement::end`].
pub struct Advertisement {
    daemon: ServiceDaemon,
    names: BTreeSet<String>,
}

impl std::fmt::Debug for Advertisement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Advertisement").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Advertisement {
    /// Gets ready to say something.
    ///
    /// # Errors
    /// No socket or no thread for it.
    pub fn begin() -> Result<Self, MdnsError> {
        let daemon = ServiceDaemon::new()?;
        daemon.set_ip_check_interval(1)?;
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        Ok(Self { daemon, names: BTreeSet::new() })
    }

    /// Says it, on interfaces and addresses that come up later too. An offer of a name that was said before takes the place
    /// of the one before it.
    ///
    /// # Errors
    /// The offer's names are no names, or the thread has ended.
    pub fn say(&mut self, offer: &Offer<'_>) -> Result<(), MdnsError> {
        let service = service(offer)?;
        let name = service.get_fullname().to_owned();
        self.daemon.register(service)?;
        self.names.insert(name);
        Ok(())
    }

    /// Tells everybody that it is over, in bounded time.
    pub fn end(self) {
        let deadline = Instant::now() + GOODBYE;
        let left = || deadline.saturating_duration_since(Instant::now());
        // Who does not answer has ended already, and nothing is said in its name any more.
        let ended: Vec<_> = self.names.iter().filter_map(|name| self.daemon.unregister(name).ok()).collect();
        for done in ended {
            let _ = done.recv_timeout(left());
        }
        if let Ok(done) = self.daemon.shutdown() {
            let _ = done.recv_timeout(left());
        }
    }
}

fn service(offer: &Offer<'_>) -> Result<ServiceInfo, mdns_sd::Error> {
    let version = offer.version.to_string();
    let share = offer.shares.then_some(("share", "1"));
    let txt = [("ch", offer.channel), ("arch", offer.arch), ("v", &version), ("path", "")];
    let txt: Vec<(&str, &str)> = txt.into_iter().chain(share).collect();
    let one: Vec<IpAddr> = Some(offer.listen.ip()).filter(|address| !address.is_unspecified()).into_iter().collect();
    let host = format!("{}.local.", offer.host);
    let service = ServiceInfo::new(SERVICE, offer.name, &host, &one[..], offer.listen.port(), &txt[..])?;
    if !one.is_empty() {
        return Ok(service);
    }
    let mut service = service.enable_addr_auto();
    if offer.listen.is_ipv4() {
        service.set_interfaces(vec![IfKind::IPv4]);
    }
    Ok(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(listen: &str, shares: bool) -> ServiceInfo {
        let listen = listen.parse().unwrap();
        let (name, host, channel, arch) = ("mirror demo", "mirror", "demo", "x86_64");
        service(&Offer { name, host, listen, channel, arch, version: 7, shares }).unwrap()
    }

    #[test]
    fn an_offer_has_the_keys_of_the_format_and_no_others() {
        let keys = |service: &ServiceInfo| {
            let mut keys: Vec<String> =
                service.get_properties().iter().map(|key| format!("{}={}", key.key(), key.val_str())).collect();
            keys.sort();
            keys.join(" ")
        };
        let whole = offer("192.0.2.7:8000", false);
        assert_eq!(keys(&whole), "arch=x86_64 ch=demo path= v=7");
        assert_eq!(
            (whole.get_fullname(), whole.get_hostname()),
            ("mirror demo._phase-boot._tcp.local.", "mirror.local.")
        );
        assert_eq!(whole.get_port(), 8000);
        assert_eq!(keys(&offer("192.0.2.7:8000", true)), "arch=x86_64 ch=demo path= share=1 v=7");
    }

    #[test]
    fn only_an_unspecified_address_stands_for_all() {
        let one = offer("192.0.2.7:8000", false);
        assert!(!one.is_addr_auto());
        assert_eq!(one.get_addresses().iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.7"]);
        assert!(offer("0.0.0.0:8000", false).is_addr_auto() && offer("[::]:8000", false).is_addr_auto());
    }
}
