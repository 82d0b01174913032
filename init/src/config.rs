//! What this initramfs was made for: its stage, its trust and its settings, from /etc/phase/ and the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use discover::{Locator, Origin, OriginError};
use verify::{Fields, FormatError, Sha256Digest, Store, Trust, ValueError};

use crate::mode::Mode;
use crate::parameters::{MOST_ATTEMPTS, MOST_ORIGINS, OnFailure, Parameters};
use crate::timeline::Kind;

/// Largest file that is read from /etc/phase/, in bytes.
const LARGEST: usize = 1 << 20;
const SCHEMA: &str = "phase.config/1";
/// The only roots that https servers are believed by, if the file is there.
const ROOTS: &str = "etc/phase/tls-roots.pem";
/// Most nodes of the DHT to begin with.
const MOST_NODES: usize = 8;
const DEFAULT_ATTEMPTS: u32 = 3;

/// Which of the two stages this initramfs is for: read from /etc/phase/stage of itself, never from what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finds, proves and starts a release.
    Boot,
    /// Puts the release's root together.
    Root,
}

/// A stage one that knows what to do.
#[derive(Debug)]
pub struct Config {
    /// What may be booted.
    pub trust: Trust,
    /// SHA-256 of the trust file.
    pub trust_digest: Sha256Digest,
    /// Where to look, the command line's first.
    pub origins: Vec<Origin>,
    /// Whose list of places is looked for in the DHT.
    pub locator: Option<Locator>,
    /// How https servers prove themselves, as long as the clock is believed.
    #[cfg(feature = "tls")]
    pub tls: discover::Tls,
    /// Where this machine remembers what it acknowledged.
    pub store: Store,
    /// What is demanded of its TPM beyond what every boot does.
    pub measure: Option<Measure>,
    /// What follows a failure.
    pub recovery: Recovery,
    /// The parameters of the command line.
    pub parameters: Parameters,
    /// The whole command line.
    pub command_line: String,
    /// What was given and is not followed, for the console.
    pub remarks: Vec<String>,
}

/// What config.json demands of the machine's TPM (docs/measured-boot.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Whatever the mode, what is booted is measured if it can be.
    Always,
    /// What cannot be measured is not booted.
    Required,
}

impl FromStr for Measure {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "always" => Ok(Self::Always),
            "required" => Ok(Self::Required),
            _ => Err(ValueError::new(text, "always or required")),
        }
    }
}

/// What follows a failed attempt, as config.json, the command line and the trust file say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The way out.
    pub on_failure: OnFailure,
    /// How often `retry` tries.
    pub attempts: u32,
    /// Whether the trust file's policy lets anybody open the rescue prompt.
    pub rescue_prompt: bool,
}

impl Config {
    /// The same, after `mode` was chosen: the next kernel is told as if the command line had said it.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        if self.parameters.mode.is_none() {
            self.parameters.mode = Some(mode);
            self.command_line = format!("phase.mode={mode} {}", self.command_line);
        }
        self
    }
}

impl Recovery {
    /// What holds while the configuration is not known: what the command line says, and nobody gets a prompt.
    pub fn unconfigured(parameters: &Parameters) -> Self {
        Self {
            on_failure: parameters.on_failure.unwrap_or(OnFailure::Reboot),
            attempts: parameters.attempts.unwrap_or(DEFAULT_ATTEMPTS),
            rescue_prompt: false,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than any that belongs here.
    #[error("{path} has more than {LARGEST} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// /etc/phase/stage has another word.
    #[error("/etc/phase/stage says {seen:?}; wanted boot or root")]
    Stage {
        /// What it says, shortened.
        seen: String,
    },
    /// config.json does not follow docs/formats.md.
    #[error("/etc/phase/config.json cannot be used: {0}")]
    Form(FormatError),
    /// config.json names a place that cannot be one.
    #[error("/etc/phase/config.json: origins: {0}")]
    Origin(OriginError),
    /// The roots of https servers are none.
    #[cfg(feature = "tls")]
    #[error("/{ROOTS}: {0}")]
    Roots(discover::tls::RootsError),
    /// The trust file does not follow docs/formats.md.
    #[error("/etc/phase/trust.json: {0}")]
    Trust(FormatError),
}

impl Kind for ConfigError {
    fn kind(&self) -> &'static str {
        "config"
    }
}

/// config.json as it is written.
#[derive(Debug, Default)]
struct File {
    origins: Vec<String>,
    locator: Option<Locator>,
    on_failure: Option<OnFailure>,
    attempts: Option<u32>,
    store: Store,
    measure: Option<Measure>,
}

/// Which stage the initramfs below `root` is for.
pub fn stage(root: &Path) -> Result<Stage, ConfigError> {
    let bytes = read_small(&root.join("etc/phase/stage"))?;
    match bytes.trim_ascii() {
        b"boot" => Ok(Stage::Boot),
        b"root" => Ok(Stage::Root),
        seen => Err(ConfigError::Stage { seen: String::from_utf8_lossy(seen).chars().take(40).collect() }),
    }
}

/// The kernel command line of the system below `root`.
pub fn command_line(root: &Path) -> Result<String, ConfigError> {
    // Bytes of other encodings can only stand in values that nobody here reads.
    read_small(&root.join("proc/cmdline")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The configuration of stage one.
pub fn read(root: &Path) -> Result<Config, ConfigError> {
    let command_line = command_line(root)?;
    let (parameters, ignored) = Parameters::parse(&command_line);
    let mut remarks: Vec<String> = ignored.iter().map(ToString::to_string).collect();
    let trust = read_small(&root.join("etc/phase/trust.json"))?;
    let trust_digest = Sha256Digest::of(&trust);
    let trust = Trust::parse(&trust).map_err(ConfigError::Trust)?;
    let file = file(&root.join("etc/phase/config.json"))?;
    let recovery = recovery(&parameters, &file, trust.policy.rescue_prompt);
    let mut origins = Vec::new();
    for given in &parameters.origins {
        match Origin::parse(given) {
            Ok(origin) => origins.push(origin),
            Err(error) => remarks.push(format!("phase.origin= is ignored: {error}")),
        }
    }
    for given in &file.origins {
        origins.push(Origin::parse(given).map_err(ConfigError::Origin)?);
    }
    let roots = if_there(&root.join(ROOTS))?;
    #[cfg(feature = "tls")]
    let tls = tls(roots.as_deref())?;
    #[cfg(not(feature = "tls"))]
    if roots.is_some() {
        remarks.push(format!("/{ROOTS} is not used: this build has no TLS"));
    }
    Ok(Config {
        trust,
        trust_digest,
        origins,
        locator: file.locator,
        #[cfg(feature = "tls")]
        tls,
        store: file.store,
        measure: file.measure,
        recovery,
        parameters,
        command_line,
        remarks,
    })
}

/// Who the servers of https origins are believed to be by: the roots of the file, or else the built-in ones.
#[cfg(feature = "tls")]
fn tls(roots: Option<&[u8]>) -> Result<discover::Tls, ConfigError> {
    use discover::tls::{Clock, Tls};
    match roots {
        Some(roots) => Tls::pinned(roots, Clock::Trusted).map_err(ConfigError::Roots),
        None => Ok(Tls::new(Clock::Trusted)),
    }
}

/// config.json, if there is one.
fn file(path: &Path) -> Result<File, ConfigError> {
    match if_there(path)? {
        Some(bytes) => parse(&bytes).map_err(ConfigError::Form),
        None => Ok(File::default()),
    }
}

fn parse(bytes: &[u8]) -> Result<File, FormatError> {
    let mut fields = Fields::parse("config.json", bytes, LARGEST)?;
    fields.schema(SCHEMA)?;
    let file = File {
        origins: fields.optional("origins", |fields, name| fields.strings(name, 0..=MOST_ORIGINS))?.unwrap_or_default(),
        locator: fields.optional("dht", locator)?,
        on_failure: fields.optional("on_failure", Fields::parsed)?,
        attempts: fields
            .optional("attempts", |fields, name| fields.integer(name, 1..=u64::from(MOST_ATTEMPTS)))?
            .and_then(|attempts| u32::try_from(attempts).ok()),
        store: fields.optional("state", store)?.unwrap_or_default(),
        measure: fields.optional("measure", Fields::parsed)?,
    };
    fields.finish()?;
    Ok(file)
}

fn locator(fields: &mut Fields, name: &str) -> Result<Locator, FormatError> {
    let mut dht = fields.object(name)?;
    let key = dht.string("locator")?;
    let nodes = dht.optional("bootstrap", |dht, name| dht.strings(name, 0..=MOST_NODES))?.unwrap_or_default();
    let locator = Locator::parse(&key, &nodes).map_err(|error| dht.wrong(error.field, error.seen, error.wanted))?;
    dht.finish().map(|()| locator)
}

fn store(fields: &mut Fields, name: &str) -> Result<Store, FormatError> {
    let mut state = fields.object(name)?;
    let store = Store::read(&mut state)?;
    state.finish().map(|()| store)
}

fn recovery(parameters: &Parameters, file: &File, rescue_prompt: bool) -> Recovery {
    Recovery {
        on_failure: parameters.on_failure.or(file.on_failure).unwrap_or(OnFailure::Retry),
        attempts: parameters.attempts.or(file.attempts).unwrap_or(DEFAULT_ATTEMPTS),
        rescue_prompt,
    }
}

/// Reads a small file that may be absent.
fn if_there(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    match read_small(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a whole file that has to be small.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>, ConfigError> {
    use io::Read;
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() > LARGEST {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: &str = r#"{
        "schema": "phase.trust/1", "channel": "demo", "epoch": 1, "built": "2026-11-20T12:00:00Z", "minimum_version": 0,
        "roles": {
            "root": {"threshold": 1, "keys": [{"public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "name": "root"}]},
            "release": {"threshold": 1, "keys": [{"public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "name": "release"}]}
        },
        "policy": {"expiry": "refuse", "rescue_prompt": false, "max_validity_days": 400}
    }"#;

    fn tree(command_line: &str, config: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["proc", "etc/phase"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        std::fs::write(root.path().join("proc/cmdline"), command_line).unwrap();
        std::fs::write(root.path().join("etc/phase/trust.json"), TRUST).unwrap();
        if let Some(config) = config {
            std::fs::write(root.path().join("etc/phase/config.json"), config).unwrap();
        }
        root
    }

    #[test]
    fn the_command_line_comes_first_and_cannot_open_a_prompt_that_trust_forbids() {
        let config =
            r#"{"schema": "phase.config/1", "origins": ["http://b"], "on_failure": "poweroff", "attempts": 9}"#;
        let root = tree("phase.origin=http://a phase.on_failure=shell phase.shell", Some(config));
        let config = read(root.path()).unwrap();
        assert_eq!(config.origins.iter().map(Origin::base).collect::<Vec<_>>(), ["http://a", "http://b"]);
        assert_eq!(config.recovery, Recovery { on_failure: OnFailure::Shell, attempts: 9, rescue_prompt: false });
        assert!(config.remarks.is_empty(), "{:?}", config.remarks);
    }

    #[test]
    fn a_mode_that_was_chosen_is_passed_on_like_one_that_was_given() {
        let chosen = read(tree("quiet -- -s", None).path()).unwrap().in_mode(Mode::Private);
        assert_eq!(
            (chosen.parameters.mode, chosen.command_line.as_str()),
            (Some(Mode::Private), "phase.mode=private quiet -- -s")
        );
        let given = read(tree("phase.mode=internet", None).path()).unwrap().in_mode(Mode::Internet);
        assert_eq!(given.command_line, "phase.mode=internet");
    }

    #[test]
    fn without_a_config_file_there_are_defaults() {
        let config = read(tree("quiet", None).path()).unwrap();
        assert!(config.origins.is_empty());
        assert_eq!(config.recovery.attempts, 3);
        assert_eq!(config.recovery.on_failure, OnFailure::Retry);
    }

    #[test]
    fn a_machine_remembers_where_its_configuration_says_and_else_nowhere() {
        assert_eq!(read(tree("", None).path()).unwrap().store, Store::None);
        let config = r#"{"schema": "phase.config/1", "state": {"store": "tpm", "nv_index": 25165825}}"#;
        assert_eq!(read(tree("", Some(config)).path()).unwrap().store, Store::Tpm { nv_index: 25_165_825 });
    }

    #[test]
    fn a_bad_origin_of_the_command_line_is_remarked_and_one_of_the_config_is_an_error() {
        let config = read(tree("phase.origin=ftp://a", None).path()).unwrap();
        assert!(config.remarks[0].starts_with("phase.origin= is ignored: "), "{:?}", config.remarks);
        let root = tree("", Some(r#"{"schema": "phase.config/1", "origins": ["ftp://a"]}"#));
        assert!(matches!(read(root.path()), Err(ConfigError::Origin(_))));
    }

    #[test]
    fn the_dht_is_asked_for_whom_the_configuration_names() {
        assert_eq!(read(tree("", None).path()).unwrap().locator, None);
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let config = format!(r#"{{"schema": "phase.config/1", "dht": {{"locator": "{key}", "bootstrap": ["h:1"]}}}}"#);
        let locator = read(tree("", Some(&config)).path()).unwrap().locator.unwrap();
        assert_eq!((locator.key[0], locator.bootstrap), (0xd7, vec!["h:1".to_owned()]));
    }

    #[test]
    #[cfg(feature = "tls")]
    fn roots_that_are_none_are_refused_and_never_replaced_by_the_built_in_ones() {
        let root = tree("", None);
        std::fs::write(root.path().join(ROOTS), "no certificate").unwrap();
        let error = read(root.path()).unwrap_err().to_string();
        assert!(error.starts_with("/etc/phase/tls-roots.pem: ") && error.contains("BEGIN CERTIFICATE"), "{error}");
    }

    #[test]
    fn a_config_of_another_form_is_refused_with_what_was_wanted() {
        for (config, wanted) in [
            (r#"{"schema": "phase.config/2"}"#, "phase.config/1"),
            (r#"{"schema": "phase.config/1", "attempts": 0}"#, "1 to 100"),
            (r#"{"schema": "phase.config/1", "on_failure": "give up"}"#, "retry, shell, reboot or poweroff"),
            (r#"{"schema": "phase.config/1", "measure": "never"}"#, "always or required"),
            (r#"{"schema": "phase.config/1", "trust": "/x"}"#, "trust"),
            (
                r#"{"schema": "phase.config/1", "dht": {"locator": "d75a"}}"#,
                "config.json.dht.locator is \"d75a\", wanted 64",
            ),
            (r#"{"schema": "phase.config/1", "dht": {"bootstrap": []}}"#, "dht.locator is missing"),
            (r#"{"schema": "phase.config/1", "state": {"store": "file"}}"#, "disk, tpm or none"),
            (r#"{"schema": "phase.config/1", "state": {"store": "tpm", "path": "/x"}}"#, "path"),
            ("", "config.json"),
        ] {
            let error = read(tree("", Some(config)).path()).unwrap_err().to_string();
            assert!(error.starts_with("/etc/phase/config.json cannot be used: ") && error.contains(wanted), "{error}");
        }
        assert!(read(tree("", Some(r#"{"schema": "phase.config/1", "x-note": 1}"#)).path()).is_ok());
    }

    #[test]
    fn a_configuration_can_demand_more_of_a_tpm_than_others_do() {
        let measure = |config| read(tree("", config).path()).unwrap().measure;
        assert_eq!(measure(None), None);
        assert_eq!(measure(Some(r#"{"schema": "phase.config/1", "measure": "always"}"#)), Some(Measure::Always));
        assert_eq!(measure(Some(r#"{"schema": "phase.config/1", "measure": "required"}"#)), Some(Measure::Required));
    }

    #[test]
    fn without_a_configuration_the_command_line_counts_and_nobody_gets_a_prompt() {
        let (parameters, _) = Parameters::parse("phase.on_failure=poweroff phase.shell");
        let recovery = Recovery::unconfigured(&parameters);
        assert_eq!((recovery.on_failure, recovery.rescue_prompt), (OnFailure::PowerOff, false));
        assert_eq!(Recovery::unconfigured(&Parameters::default()).on_failure, OnFailure::Reboot);
    }

    #[test]
    fn without_trust_there_is_no_configuration() {
        let root = tree("", None);
        std::fs::remove_file(root.path().join("etc/phase/trust.json")).unwrap();
        assert!(read(root.path()).unwrap_err().to_string().contains("etc/phase/trust.json"));
    }

    #[test]
    fn the_stage_is_one_of_two_words() {
        let root = tree("", None);
        for (text, wanted) in [("boot\n", Some(Stage::Boot)), ("root", Some(Stage::Root)), ("both", None)] {
            std::fs::write(root.path().join("etc/phase/stage"), text).unwrap();
            assert_eq!(stage(root.path()).ok(), wanted);
        }
    }
}
