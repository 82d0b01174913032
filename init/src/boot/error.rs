//! Why an attempt of stage one ended.

use crate::compose::ComposeError;
use crate::config::ConfigError;
use crate::download::DownloadError;
use crate::fit::NoFit;
use crate::kexec::KexecError;
use crate::measure::MeasureError;
use crate::media::NoMedium;
use crate::mode::ModeError;
use crate::modules::ModuleError;
use crate::network;
use crate::outcome::Failure;
use crate::overlay::RootError;
use crate::record::RecordError;
use crate::store::StoreError;
use crate::timeline::Kind;

/// Why an attempt ended.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The drivers.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// The mode.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// No network.
    #[error("there is no network: {0}")]
    Network(network::DownReason),
    /// No place to look.
    #[error(
        "there is no place to ask: give phase.origin=http://… on the kernel command line, or origins or a dht locator in /etc/phase/config.json"
    )]
    NoOrigin,
    /// No medium, in private mode.
    #[error(transparent)]
    NoMedium(#[from] NoMedium),
    /// No envelope.
    #[error("no release was found: {0}")]
    NotFound(String, &'static str),
    /// The store, if the policy does not let the machine boot without it.
    #[error(
        "what this machine remembers cannot be read, and the trust file's policy (state: refuse) does not let it boot without: {0}"
    )]
    State(StoreError),
    /// No release to believe.
    #[error("none of the releases found can be trusted: {0}")]
    Untrusted(String, &'static str),
    /// No hand-off of the manifest's list can be taken.
    #[error("this build can take none of the release's hand-offs ({0}); wanted kexec or direct")]
    NoWay(String),
    /// The memory.
    #[error(transparent)]
    Fit(#[from] NoFit),
    /// The bytes.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The TPM, if config.json does not let the machine boot without it.
    #[error("config.json (measure: required) lets nothing boot that was not measured: {0}")]
    Measure(MeasureError),
    /// The next initramfs.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The next kernel.
    #[error(transparent)]
    Kexec(#[from] KexecError),
    /// The root of a direct hand-off.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The receipt of a direct hand-off.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Kind for BootError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Config(error) => error.kind(),
            Self::Modules(error) => error.kind(),
            Self::Mode(error) => error.kind(),
            Self::Network(_) => "network",
            Self::NoOrigin => "no-origin",
            Self::NoMedium(_) => "no-medium",
            Self::NotFound(_, kind) | Self::Untrusted(_, kind) => kind,
            Self::State(error) => error.kind(),
            Self::NoWay(_) => "no-handoff",
            Self::Fit(error) => error.kind(),
            Self::Download(error) => error.kind(),
            Self::Measure(error) => error.kind(),
            Self::Compose(error) => error.kind(),
            Self::Kexec(error) => error.kind(),
            Self::Root(error) => error.kind(),
            Self::Record(error) => error.kind(),
        }
    }
}

impl BootError {
    /// Whether another attempt may go better.
    fn may_pass(&self) -> bool {
        !matches!(self, Self::Config(_) | Self::Mode(_) | Self::NoOrigin | Self::NoWay(_) | Self::Fit(_))
    }

    /// As PID 1 is told.
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind().to_owned(), message: self.to_string(), may_pass: self.may_pass() }
    }
}
