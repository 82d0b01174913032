//! What the manifest will say, from the command line and the files, before anything is stored.

use std::{fs, path::Path, path::PathBuf};

use anyhow::Context;
use verify::{Arch, Artifact, BootFiles, Initramfs, Kernel, Manifest, Sha256Digest};

use super::Args;
use crate::{cli::UsageError, clock, measure};

/// Says in the command line's own words what the manifest's rules would refuse.
pub(super) fn check_handoffs(args: &Args) -> Result<(), UsageError> {
    for handoff in &args.handoff {
        if handoff.needs_boot_files() && args.kernel.is_none() {
            return Err(UsageError(format!("--handoff {handoff} needs --kernel and --initramfs")));
        }
        if handoff.needs_rootfs() && args.rootfs.is_none() {
            return Err(UsageError(format!("--handoff {handoff} needs --rootfs")));
        }
    }
    if let (Some(upper), None) = (args.upper, &args.rootfs) {
        return Err(UsageError(format!("--upper {upper} needs --rootfs")));
    }
    Ok(())
}

/// The manifest with everything but the digests, which are zero or absent until the files are in the tree.
pub(super) fn draft(args: &Args) -> anyhow::Result<Manifest> {
    let issued = args.issued.unwrap_or_else(clock::now);
    Ok(Manifest {
        channel: args.channel.clone(),
        arch: args.arch,
        version: args.version,
        min_epoch: args.min_epoch,
        issued,
        expires: issued.plus_days(args.expires_days),
        cmdline: args.cmdline.clone(),
        init: args.init.clone(),
        handoff: args.handoff.clone(),
        upper: args.upper,
        boot_files: match (&args.kernel, &args.initramfs) {
            (Some(kernel), Some(initramfs)) => Some(boot_files(kernel, initramfs, args.arch)?),
            _ => None,
        },
        rootfs: args.rootfs.as_deref().map(rootfs).transpose()?,
    })
}

fn boot_files(kernel: &Path, initramfs: &Path, arch: Arch) -> anyhow::Result<BootFiles> {
    Ok(BootFiles {
        kernel: Kernel { artifact: artifact(kernel)?, init_size: measure::init_size(kernel, arch)? },
        initramfs: Initramfs { artifact: artifact(initramfs)?, unpacked_size: measure::unpacked_size(initramfs)? },
    })
}

fn rootfs(path: &Path) -> anyhow::Result<Artifact> {
    measure::check_squashfs(path)?;
    artifact(path)
}

fn artifact(path: &Path) -> anyhow::Result<Artifact> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let name = shown_name(&path.file_name().unwrap_or_default().to_string_lossy());
    Ok(Artifact { name, size, sha256: Sha256Digest([0; 32]), pieces: None })
}

/// A file's name as a manifest may carry it (docs/formats.md, `name`): it is only shown to people, so what a manifest
/// does not allow becomes `-`. Debian's kernels have a `+` in theirs.
fn shown_name(file: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = file.chars().map(|c| if allowed(c) { c } else { '-' }).take(64).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("-{rest}"),
        None => name,
    }
}

/// The files in the manifest's order.
pub(super) fn files(args: &Args) -> impl Iterator<Item = &PathBuf> {
    args.kernel.iter().chain(&args.initramfs).chain(&args.rootfs)
}

pub(super) fn artifacts_mut(manifest: &mut Manifest) -> impl Iterator<Item = &mut Artifact> {
    let files = manifest.boot_files.iter_mut();
    files.flat_map(|files| [&mut files.kernel.artifact, &mut files.initramfs.artifact]).chain(&mut manifest.rootfs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_files_become_names_that_a_manifest_allows() {
        assert_eq!(shown_name("vmlinuz-6.12.117+deb13-cloud-amd64"), "vmlinuz-6.12.117-deb13-cloud-amd64");
        assert_eq!(shown_name("root.squashfs"), "root.squashfs");
        assert_eq!(shown_name(".hidden näme~1"), "-hidden-n-me-1");
        assert_eq!(shown_name(&"x".repeat(70)).len(), 64);
    }
}
