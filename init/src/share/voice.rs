//! Says on the link that this machine shares, and says goodbye.

use std::net::{Ipv6Addr, SocketAddr};

use discover::mdns::{Advertisement, Offer};

use super::ShareError;

/// What was said on the link, until it is dropped.
#[derive(Debug)]
pub(super) struct Voice(Option<Advertisement>);

impl Voice {
    /// Says that `name` shares a release of this channel and architecture on a port of all its addresses.
    pub(super) fn say(name: &str, port: u16, (channel, arch): (&str, &str), version: u64) -> Result<Self, ShareError> {
        let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let mut advertisement = Advertisement::begin()?;
        advertisement.say(&Offer { name, host: name, listen, channel, arch, version, shares: true })?;
        Ok(Self(Some(advertisement)))
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        if let Some(advertisement) = self.0.take() {
            advertisement.end();
        }
    }
}
