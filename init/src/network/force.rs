//! Puts an address into force: MTU, address, routes and name servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use discover::dhcp::Lease;

use super::kernel::{Ipv6, Kernel};
use super::link::Link;
use super::plan::Fixed;
use super::{Connection, resolver};
use crate::console::Console;

/// A lease shorter than this may end before the boot does, in seconds.
const SHORT: u32 = 600;

/// What it takes.
pub(super) struct Force<'a> {
    pub(super) root: &'a Path,
    /// [`super::Settings::on_link`]
    pub(super) on_link: bool,
    pub(super) console: &'a Console,
    pub(super) kernel: &'a mut Kernel,
}

impl Force<'_> {
    /// The lease of a DHCP server.
    pub(super) fn lease(mut self, link: &Link, lease: &Lease) -> io::Result<Connection> {
        if let Some(mtu) = link.smaller_mtu(lease.mtu) {
            // Without it things are slow or stall; that is still better than no network.
            if let Err(error) = self.kernel.set_mtu(link.index, mtu) {
                self.console.warn(format_args!("{}: MTU {mtu} is refused: {error}", link.name));
            }
        }
        self.kernel.add_address(link.index, lease.address.into(), lease.prefix)?;
        let named: Vec<IpAddr> = lease.dns.iter().copied().map(IpAddr::V4).collect();
        let (router, dns) = self.beyond(link, lease.routers.first().copied().map(IpAddr::V4), named);
        self.default_route(link, router, Ipv4Addr::UNSPECIFIED.into())?;
        for route in lease.routes.iter().filter(|route| !self.on_link || route.router.is_none()) {
            // What is wanted is most often behind the default router: go on without this one.
            let outcome =
                self.kernel.set_route(link.index, route.network.into(), route.prefix, route.router.map(IpAddr::V4));
            if let Err(error) = outcome {
                self.console.warn(format_args!("{}: route to {}/{}: {error}", link.name, route.network, route.prefix));
            }
        }
        self.resolver(link, &dns, lease.domain.as_deref().filter(|_| !self.on_link));
        self.console.info(format_args!(
            "{}: DHCP server {} gives the address for {} s",
            link.name, lease.server, lease.seconds
        ));
        if lease.seconds < SHORT {
            self.console
                .warn(format_args!("{}: the lease ends after {} s and is not renewed", link.name, lease.seconds));
        }
        for refused in lease.boot.refused.iter().filter(|_| self.on_link) {
            self.console.warn(format_args!("{}: DHCP server {}: {refused}", link.name, lease.server));
        }
        let address = format!("{}/{}", lease.address, lease.prefix);
        let boot_urls = lease.boot.urls.clone();
        let lease_seconds = Some(lease.seconds);
        Ok(Connection { interface: link.name.clone(), address, router, dns, lease_seconds, boot_urls })
    }

    /// The address of `ip=`.
    pub(super) fn fixed(mut self, link: &Link, fixed: &Fixed) -> io::Result<Connection> {
        self.kernel.add_address(link.index, fixed.address, fixed.prefix)?;
        let everywhere: IpAddr = match fixed.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let (router, dns) = self.beyond(link, fixed.router, fixed.dns.clone());
        self.default_route(link, router, everywhere)?;
        self.resolver(link, &dns, None);
        let address = format!("{}/{}", fixed.address, fixed.prefix);
        Ok(connection(link, address, router, dns))
    }

    /// An IPv6 address that the kernel has made, or that a `DHCPv6` server gave. Routes are of routers' advertisements, and are set.
    pub(super) fn ipv6(self, link: &Link, ipv6: &Ipv6, dns: Vec<IpAddr>) -> io::Result<Connection> {
        let Ipv6 { address, prefix, seconds, .. } = ipv6;
        if let Some(seconds) = seconds {
            self.kernel.add_address(link.index, (*address).into(), *prefix)?;
            self.console.info(format_args!("{}: a DHCPv6 server gives the address for {seconds} s", link.name));
        }
        let router = self.kernel.ipv6_router(link.index).unwrap_or_default().map(IpAddr::V6);
        let (router, dns) = self.beyond(link, router, dns);
        self.resolver(link, &dns, None);
        Ok(Connection { lease_seconds: *seconds, ..connection(link, format!("{address}/{prefix}"), router, dns) })
    }

    /// What of a network leads beyond the link, as far as it counts.
    fn beyond(&self, link: &Link, router: Option<IpAddr>, dns: Vec<IpAddr>) -> (Option<IpAddr>, Vec<IpAddr>) {
        if !self.on_link {
            return (router, dns);
        }
        if router.is_some() || !dns.is_empty() {
            let unused = "routers and name servers of this network are not used, local mode stays on the link";
            self.console.info(format_args!("{}: {unused}", link.name));
        }
        (None, Vec::new())
    }

    fn default_route(&mut self, link: &Link, router: Option<IpAddr>, everywhere: IpAddr) -> io::Result<()> {
        match router {
            Some(router) => self.kernel.set_route(link.index, everywhere, 0, Some(router)),
            None => Ok(()),
        }
    }

    /// Without the file names cannot be looked up; origins given by address still work.
    fn resolver(&self, link: &Link, dns: &[IpAddr], domain: Option<&str>) {
        if let Err(error) = resolver::write(self.root, &link.name, dns, domain) {
            self.console.warn(format_args!("/etc/resolv.conf cannot be written: {error}"));
        }
    }
}

/// A connection without a lease.
fn connection(link: &Link, address: String, router: Option<IpAddr>, dns: Vec<IpAddr>) -> Connection {
    Connection { interface: link.name.clone(), address, router, dns, lease_seconds: None, boot_urls: Vec::new() }
}
