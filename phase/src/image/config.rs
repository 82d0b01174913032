//! `/etc/phase/config.json` of a boot initramfs: made from options, or checked as it is given.
//!
//! A machine refuses a configuration that it does not understand, so every rule of docs/formats.md is checked here, where
//! somebody can still do something about it.

use discover::{Locator, Origin};
use serde::Serialize;
use verify::{Fields, FormatError, Store, Upper, ValueError};

/// The schema of this version.
const SCHEMA: &str = "phase.config/1";
/// Most origins.
const ORIGINS: usize = 8;
/// Most nodes of the DHT to begin with.
const NODES: usize = 8;
/// Most attempts.
const ATTEMPTS: u64 = 100;
/// Largest file in bytes.
const BYTES: usize = 64 << 10;

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum OnFailure {
    /// Try again with growing pauses, then reboot
    Retry,
    /// Open the rescue prompt, if the trust file allows it
    Shell,
    /// Start the machine again
    Reboot,
    /// Switch the machine off
    PowerOff,
}

/// What is demanded of the machine's TPM (docs/measured-boot.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// What is booted is measured whatever the mode, if there is a TPM that works
    Always,
    /// Nothing boots that was not measured
    Required,
}

/// The settings of a boot initramfs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "phase.config/1")]
pub struct Config {
    /// Places to look for releases.
    pub origins: Vec<String>,
    /// Whose list of places is looked for in the DHT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dht: Option<Dht>,
    /// What follows a failed attempt; `retry` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How often `retry` tries; 3 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// Where the machine remembers what it acknowledged; nowhere if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Store>,
    /// Where changes to a release's root go, if the release allows it; to a tmpfs if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<Upper>,
    /// What is demanded of its TPM; if nothing is said, it is used where there is one, but for private mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
}

/// Whose list of places is looked for in the BitTorrent DHT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dht {
    /// The raw public key of whoever signs the list, 64 lower-case hex digits.
    pub locator: String,
    /// Nodes to begin with, `HOST:PORT`; without any, the well-known ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bootstrap: Vec<String>,
}

impl Config {
    /// The JSON form, checked.
    ///
    /// # Errors
    /// An origin or number that a machine would refuse.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        check(json.as_bytes())?;
        Ok(json.into_bytes())
    }
}

/// Checks a configuration against docs/formats.md.
pub fn check(bytes: &[u8]) -> Result<(), FormatError> {
    let mut fields = Fields::parse("config", bytes, BYTES)?;
    fields.schema(SCHEMA)?;
    let origins = fields.optional("origins", |fields, name| fields.strings(name, 0..=ORIGINS))?;
    for origin in origins.unwrap_or_default() {
        Origin::parse(&origin).map_err(|error| fields.wrong("origins", format!("{origin:?}"), error.to_string()))?;
    }
    if let Some(mut dht) = fields.optional("dht", Fields::object)? {
        let key = dht.string("locator")?;
        let nodes = dht.optional("bootstrap", |dht, name| dht.strings(name, 0..=NODES))?.unwrap_or_default();
        Locator::parse(&key, &nodes).map_err(|error| dht.wrong(error.field, error.seen, error.wanted))?;
        dht.finish()?;
    }
    fields.optional("on_failure", Fields::parsed::<OnFailure>)?;
    fields.optional("attempts", |fields, name| fields.integer(name, 1..=ATTEMPTS))?;
    let store = fields.optional("state", |fields, name| {
        let mut state = fields.object(name)?;
        let store = Store::read(&mut state)?;
        state.finish().map(|()| store)
    })?;
    store.unwrap_or_default().read_upper(&mut fields)?;
    fields.optional("measure", Fields::parsed::<Measure>)?;
    fields.finish()
}

impl std::str::FromStr for OnFailure {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        clap::ValueEnum::from_str(text, false).map_err(|_| ValueError::new(text, "retry, shell, reboot or poweroff"))
    }
}

impl std::str::FromStr for Measure {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        clap::ValueEnum::from_str(text, false).map_err(|_| ValueError::new(text, "always or required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_passes_the_check() {
        let origins = vec!["http://192.0.2.10:8000".to_owned()];
        let dht = Some(Dht { locator: "ab".repeat(32), bootstrap: vec!["192.0.2.1:6881".to_owned()] });
        let disk = "disk:0b7b5b4e-9a1c-4d7e-8f00-112233445566";
        let (on_failure, attempts, state) = (Some(OnFailure::PowerOff), Some(2), Some(disk.parse().unwrap()));
        let config = Config {
            origins,
            dht,
            on_failure,
            attempts,
            state,
            upper: Some(Upper::Persistent),
            measure: Some(Measure::Required),
        };
        let json = String::from_utf8(config.to_json().unwrap()).unwrap();
        assert!(
            json.contains(r#""schema": "phase.config/1""#) && json.contains(r#""on_failure": "poweroff""#),
            "{json}"
        );
        assert!(json.contains(r#""upper": "persistent""#) && json.contains(r#""measure": "required""#), "{json}");
    }

    #[test]
    fn every_rule_is_checked() {
        assert_eq!(check(br#"{"schema": "phase.config/1"}"#), Ok(()));
        for (fields, says) in [
            (r#""origins": ["ftp://a"]"#, "ftp://a"),
            (r#""origins": "http://a""#, "origins"),
            (r#""on_failure": "panic""#, "retry, shell, reboot or poweroff"),
            (r#""attempts": 0"#, "attempts"),
            (r#""attempts": 101"#, "attempts"),
            (r#""measure": "never""#, "always or required"),
            (r#""trust": "/x""#, "trust"),
            (r#""dht": {"locator": "ab"}"#, "dht.locator is \"ab\", wanted 64"),
            (r#""dht": {"bootstrap": ["h:1"]}"#, "locator"),
            (r#""dht": {"locator": "LOCATOR", "bootstrap": ["h"]}"#, "dht.bootstrap is \"h\", wanted HOST:PORT"),
            (r#""dht": {"locator": "LOCATOR", "node": "h:1"}"#, "node"),
            (r#""state": {"store": "file"}"#, "disk, tpm or none"),
            (r#""state": {"store": "disk", "partuuid": "/dev/sda1"}"#, "blkid"),
            (r#""state": {"store": "none", "path": "/x"}"#, "path"),
            (r#""upper": "tmpfs""#, "upper is \"tmpfs\", wanted persistent"),
            (r#""upper": "persistent""#, "upper is persistent without a disk to keep it on, wanted state on a disk"),
            (r#""upper": "persistent", "state": {"store": "tpm"}"#, "wanted state on a disk"),
        ] {
            let fields = fields.replace("LOCATOR", &"ab".repeat(32));
            let message =
                check(format!(r#"{{"schema": "phase.config/1", {fields}}}"#).as_bytes()).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
        assert!(check(br#"{"schema": "phase.config/2"}"#).unwrap_err().to_string().contains("phase.config/2"));
    }
}
