//! `phase serve --advertise`: says on the link that the tree is here (docs/formats.md, "Service"), and says goodbye.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use tokio::time;
use verify::{Arch, Channel};

use crate::{cli::UsageError, tree};

/// How often the tree is looked at for a new release.
const AGAIN: Duration = Duration::from_secs(2);

/// How long the goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is said on the link: one service for each architecture of the channel that the tree has.
pub(super) struct Advertisement {
    daemon: ServiceDaemon,
    tree: PathBuf,
    channel: Channel,
    listen: SocketAddr,
    /// The versions that are told, and under which full name.
    told: BTreeMap<&'static str, (u64, String)>,
}

impl Advertisement {
    /// Begins to say it.
    ///
    /// # Errors
    /// A [`UsageError`] if nobody on the link could connect, else what failed.
    pub(super) fn begin(tree: &Path, channel: &Channel, listen: SocketAddr) -> anyhow::Result<Self> {
        if listen.ip().is_loopback() {
            let problem =
                format!("--advertise with --listen {listen}: nobody else can connect there; use 0.0.0.0 or [::]");
            return Err(UsageError(problem).into());
        }
        let daemon = ServiceDaemon::new().context("multicast DNS does not work here")?;
        daemon.set_ip_check_interval(1)?;
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        let mut advertisement =
            Self { daemon, tree: tree.to_owned(), channel: channel.clone(), listen, told: BTreeMap::new() };
        advertisement.refresh()?;
        if advertisement.told.is_empty() {
            eprintln!("phase: the tree has no release of channel {channel} yet; it is advertised when it has");
        }
        Ok(advertisement)
    }

    /// Keeps what is said as the tree is; never ends.
    pub(super) async fn keep(&mut self) {
        loop {
            time::sleep(AGAIN).await;
            if let Err(error) = self.refresh() {
                eprintln!("phase: what is advertised may be old: {error:#}");
            }
        }
    }

    /// Says what has changed.
    fn refresh(&mut self) -> anyhow::Result<()> {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let Some(manifest) = tree::published(&self.tree, &self.channel, arch)? else { continue };
            let name = arch.as_str();
            if self.told.get(name).is_some_and(|(version, _)| *version == manifest.version) {
                continue;
            }
            let service = self.service(arch, manifest.version)?;
            self.told.insert(name, (manifest.version, service.get_fullname().to_owned()));
            // The same name again replaces what it said before.
            self.daemon.register(service).context("cannot advertise")?;
            eprintln!("phase: advertising {} {name} version {} on the link", self.channel, manifest.version);
        }
        Ok(())
    }

    fn service(&self, arch: Arch, version: u64) -> anyhow::Result<ServiceInfo> {
        let host = host_name()?;
        let version = version.to_string();
        let txt = [("ch", self.channel.as_str()), ("arch", arch.as_str()), ("v", &version), ("path", "")];
        let instance = format!("{host} {} {}", self.channel, arch.as_str());
        let one = Some(self.listen.ip()).filter(|address| !address.is_unspecified());
        let addresses: Vec<IpAddr> = one.into_iter().collect();
        let service = ServiceInfo::new(
            discover::mdns::SERVICE,
            &instance,
            &format!("{host}.local."),
            &addresses[..],
            self.listen.port(),
            &txt[..],
        )?;
        if one.is_some() {
            return Ok(service);
        }
        let mut service = service.enable_addr_auto();
        if self.listen.is_ipv4() {
            service.set_interfaces(vec![IfKind::IPv4]);
        }
        Ok(service)
    }

    /// Tells everybody that it is over.
    pub(super) fn end(self) {
        for (_, name) in self.told.values() {
            if let Ok(done) = self.daemon.unregister(name) {
                // Whoever misses the goodbye forgets us by the records' own time.
                let _ = done.recv_timeout(GOODBYE);
            }
        }
        if let Ok(done) = self.daemon.shutdown() {
            let _ = done.recv_timeout(GOODBYE);
        }
    }
}

/// The first label of this host's name, as a label of DNS.
fn host_name() -> anyhow::Result<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().context("the host's name is not UTF-8")?;
    let label = name.split('.').next().unwrap_or_default();
    let plain: String = label.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect();
    Ok(if plain.is_empty() { "phase".to_owned() } else { plain })
}
