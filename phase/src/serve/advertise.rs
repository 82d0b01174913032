//! `phase serve --advertise`: says on the link that the tree is here (docs/formats.md, "Service"), and says goodbye.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use discover::mdns;
use tokio::time;
use verify::{Arch, Channel};

use crate::{cli::UsageError, tree};

/// How often the tree is looked at for a new release.
const AGAIN: Duration = Duration::from_secs(2);

/// What is said on the link: one service for each architecture of the channel that the tree has.
pub(super) struct Advertisement {
    link: mdns::Advertisement,
    tree: PathBuf,
    channel: Channel,
    listen: SocketAddr,
    /// The versions that are told.
    told: BTreeMap<&'static str, u64>,
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
        let link = mdns::Advertisement::begin()?;
        let mut advertisement =
            Self { link, tree: tree.to_owned(), channel: channel.clone(), listen, told: BTreeMap::new() };
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
            let arch = arch.as_str();
            if self.told.get(arch).is_some_and(|version| *version == manifest.version) {
                continue;
            }
            self.say(arch, manifest.version)?;
            self.told.insert(arch, manifest.version);
            eprintln!("phase: advertising {} {arch} version {} on the link", self.channel, manifest.version);
        }
        Ok(())
    }

    fn say(&mut self, arch: &str, version: u64) -> anyhow::Result<()> {
        let (host, channel, listen) = (host_name()?, self.channel.as_str(), self.listen);
        let name = format!("{host} {channel} {arch}");
        let offer = mdns::Offer { name: &name, host: &host, listen, channel, arch, version, shares: false };
        self.link.say(&offer).context("cannot advertise")
    }

    /// Tells everybody that it is over.
    pub(super) fn end(self) {
        self.link.end();
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
