//! What a person says on the command line about `/etc/phase/config.json`.

use std::path::Path;

use anyhow::Context;
use verify::{Store, Upper};

use super::config::{Config, Dht, Measure, OnFailure};
use crate::key::PublicKey;

/// The settings of a boot initramfs, each an option.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Settings {
    /// A place to look for releases; may be repeated (stage boot)
    #[arg(long, value_name = "URL")]
    pub origin: Vec<String>,
    /// Whose list of places is looked for in the BitTorrent DHT: the locator's public key, as 64 hex digits or a file (stage
    /// boot)
    #[arg(long, value_name = "HEX|FILE")]
    pub dht_locator: Option<String>,
    /// A node of the DHT to begin with, instead of the well-known ones; may be repeated (stage boot)
    #[arg(long, value_name = "HOST:PORT", requires = "dht_locator")]
    pub dht_bootstrap: Vec<String>,
    /// What follows a failed attempt (stage boot)
    #[arg(long, value_enum)]
    pub on_failure: Option<OnFailure>,
    /// How often to try (stage boot)
    #[arg(long, value_name = "N")]
    pub attempts: Option<u64>,
    /// Where the machine remembers what it acknowledged: disk:PARTUUID, tpm, tpm:INDEX or none; its drivers are the sets
    /// `disk` and `tpm` (stage boot)
    #[arg(long, value_name = "STORE")]
    pub state: Option<Store>,
    /// `persistent`: changes to a release's root are kept on the partition of --state disk:PARTUUID, if the release's manifest
    /// allows it. What is there runs without having been signed (stage boot)
    #[arg(long, value_name = "WHERE")]
    pub upper: Option<Upper>,
    /// What is demanded of the machine's TPM; its driver is the set `tpm` (stage boot)
    #[arg(long, value_enum)]
    pub measure: Option<Measure>,
}

impl Settings {
    /// Whether nothing was said, so that a machine takes its defaults.
    pub fn is_empty(&self) -> bool {
        let Self { origin, dht_locator, dht_bootstrap, on_failure, attempts, state, upper, measure } = self;
        origin.is_empty()
            && dht_locator.is_none()
            && dht_bootstrap.is_empty()
            && on_failure.is_none()
            && attempts.is_none()
            && state.is_none()
            && upper.is_none()
            && measure.is_none()
    }

    /// As config.json has them.
    ///
    /// # Errors
    /// The locator is no public key.
    pub fn config(&self) -> anyhow::Result<Config> {
        let dht =
            |locator: &String| Ok(Dht { locator: public_key(locator)?.hex(), bootstrap: self.dht_bootstrap.clone() });
        Ok(Config {
            origins: self.origin.clone(),
            dht: self
                .dht_locator
                .as_ref()
                .map(dht)
                .transpose()
                .map_err(|error: anyhow::Error| error.context("--dht-locator"))?,
            on_failure: self.on_failure,
            attempts: self.attempts,
            state: self.state.clone(),
            upper: self.upper,
            measure: self.measure,
        })
    }
}

/// A key of 64 hex digits, or else a file that holds one.
fn public_key(text: &str) -> anyhow::Result<PublicKey> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return PublicKey::parse(text.as_bytes());
    }
    PublicKey::read(Path::new(text)).with_context(|| format!("{text:?} is neither 64 hex digits nor a public key file"))
}
