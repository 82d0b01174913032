//! What a trust file says about transparency logs: the options that `init` and `rotate` share.

use std::path::PathBuf;

use anyhow::Context;
use verify::{LIMITS, Transparency};

use crate::{cli::UsageError, key::PublicKey, output};

/// Where releases have to be logged.
#[derive(Debug, Default, clap::Args)]
pub struct Logging {
    /// Accept only releases that were logged as this Sigsum policy wants (its logs, its witnesses' quorum)
    #[arg(long, value_name = "FILE", requires = "sigsum_submitter")]
    pub sigsum_policy: Option<PathBuf>,
    /// Public keys whose submissions to the log count
    #[arg(long, value_name = "PUB", num_args = 1.., requires = "sigsum_policy")]
    pub sigsum_submitter: Vec<PathBuf>,
}

impl Logging {
    /// What the options say; nothing if they are not there.
    ///
    /// # Errors
    /// A file cannot be read, or a machine would refuse the policy or the keys.
    pub fn transparency(&self) -> anyhow::Result<Option<Transparency>> {
        let Some(file) = &self.sigsum_policy else { return Ok(None) };
        let bytes = output::read_limited(file, LIMITS.sigsum_policy_bytes as u64)?;
        let policy = str::from_utf8(&bytes).with_context(|| format!("{} is not text", file.display()))?;
        let mut submitters = Vec::new();
        for file in &self.sigsum_submitter {
            let key = PublicKey::read(file)?.named("submitter").with_context(|| file.display().to_string())?;
            submitters.push(*key.as_bytes());
        }
        let transparency = Transparency::new(policy, &submitters);
        transparency.map(Some).map_err(|error| UsageError(format!("{}: {error}", file.display())).into())
    }
}
