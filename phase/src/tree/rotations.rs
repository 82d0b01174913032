//! The tree's rotations: `<tree>/trust/<epoch>.dsse.json`.

use std::{fs, path::PathBuf};

use anyhow::{Context, ensure};
use verify::{Envelope, LIMITS};

use super::Tree;
use crate::output::{self, Existing};

impl Tree {
    /// Where the rotation to `epoch` stands.
    pub fn rotation_path(&self, epoch: u64) -> PathBuf {
        self.root.join("trust").join(format!("{epoch}.dsse.json"))
    }

    /// Publishes the envelope of the trust file of `epoch`. One of the same trust file that is there is replaced: this one
    /// may have more signatures.
    ///
    /// # Errors
    /// Another trust file of this epoch is there and `existing` keeps it, or the write failed.
    pub fn put_rotation(&self, epoch: u64, envelope: &[u8], existing: Existing) -> anyhow::Result<PathBuf> {
        let path = self.rotation_path(epoch);
        if existing == Existing::Keep && path.try_exists()? {
            let payload = |bytes: &[u8]| Envelope::parse(bytes).map(|envelope| envelope.payload);
            let there = payload(&output::read_limited(&path, LIMITS.envelope_bytes as u64)?);
            ensure!(
                there.is_ok_and(|there| payload(envelope).is_ok_and(|new| new == there)),
                "{} is another trust file of epoch {epoch}; machines that have followed it would not follow this one (--force)",
                path.display()
            );
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        output::write(&path, envelope, 0o644, Existing::Replace)?;
        Ok(path)
    }
}
