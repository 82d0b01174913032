//! What a release has to pass before it goes live: for `phase publish`, and for `phase put-live`.

use std::path::Path;

use anyhow::Context;
use verify::{Arch, Candidate, Floors, LIMITS, Manifest, Now, Rules, Trust, Verified, verified};

use crate::{clock, output, tree::Tree};

/// Reads a trust file.
pub(crate) fn read_trust(path: &Path) -> anyhow::Result<Trust> {
    let bytes = output::read_limited(path, LIMITS.trust_bytes as u64)?;
    Trust::parse(&bytes).with_context(|| path.display().to_string())
}

/// Keeps a version that is not above the published one from following it.
pub(crate) fn refuse_older(tree: &Tree, manifest: &Manifest, allow_older: bool) -> anyhow::Result<()> {
    if allow_older {
        return Ok(());
    }
    let hint = "--allow-older publishes anyway";
    let Some(published) = tree.published(&manifest.channel, manifest.arch).context(hint)? else {
        return Ok(());
    };
    anyhow::ensure!(
        manifest.version > published.version,
        "version {} is not above {}, which {} {} has in this tree; machines never go back ({hint})",
        manifest.version,
        published.version,
        manifest.channel,
        manifest.arch,
    );
    Ok(())
}

/// What a machine that has just been made with this trust file would say.
pub(crate) fn check(release: &Candidate, trust: &Trust, arch: Arch) -> anyhow::Result<Verified<Manifest>> {
    let now = Now { time: clock::now().max(trust.built), trusted: true };
    let rules = Rules { trust, arch, now, floors: Floors::default() };
    let release = verified::manifest(release, &rules).context("not published, since the trust file refuses it")?;
    for warning in release.warnings() {
        eprintln!("phase: warning: {warning}");
    }
    Ok(release)
}
