//! What this initramfs was made for: its stage, its trust and its settings, from /etc/phase/ and the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use discover::{Locator, Origin, OriginError};
use verify::{Fields, FormatError, PartUuid, Sha256Digest, Store, Trust, Upper, ValueError};

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
    /// The partition on which changes to a release's root are kept, if the owner asked for that.
    pub kept_on: Option<PartUuid>,
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
    upper: Option<Upper>,
    measure: Option<Measure>,
}

impl File {
    /// Changes are kept where the machine remembers.
    fn kept_on(&self) -> Option<PartUuid> {
        match (self.upper?, &self.store) {
            (Upper::Persistent, Store::Disk { partuuid }) => Some(partuuid.clone()),
            (Upper::Persistent, Store::None | Store::Tpm { .. }) => None,
        }
    }
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
    let kept_on = file.kept_on();
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
        kept_on,
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
    let store = fields.optional("state", store)?.unwrap_or_default();
    let upper = store.read_upper(&mut fields)?;
    let file = File {
        origins: fields.optional("origins", |fields, name| fields.strings(name, 0..=MOST_ORIGINS))?.unwrap_or_default(),
        locator: fields.optional("dht", locator)?,
        on_failure: fields.optional("on_failure", Fields::parsed)?,
        attempts: fields
            .optional("attempts", |fields, name| fields.integer(name, 1..=u64::from(MOST_ATTEMPTS)))?
            .and_then(|attempts| u32::try_from(attempts).ok()),
        store,
        upper,
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
mod tests;
