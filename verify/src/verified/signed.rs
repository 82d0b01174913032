//! What a release that is believed names: the only artifacts that bytes can be proved to be.

use std::ops::Deref;

use super::Verified;
use crate::manifest::{Artifact, BootFiles, Manifest};

/// A part of a verified manifest. Only [`Verified<Manifest>`] and other parts give one, so that a digest that nobody
/// signed proves nothing ([`crate::PieceList::load`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T>(T);

impl<T> Deref for Signed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Verified<Manifest> {
    /// What kexec loads, if the release has it.
    pub fn boot_files(&self) -> Option<Signed<BootFiles>> {
        self.value.boot_files.clone().map(Signed)
    }

    /// The squashfs, if the release has one.
    pub fn rootfs(&self) -> Option<Signed<Artifact>> {
        self.value.rootfs.clone().map(Signed)
    }

    /// Every blob of the published tree that the release names ([`Manifest::blobs`]).
    pub fn blobs(&self) -> impl Iterator<Item = Signed<Artifact>> {
        self.value.blobs().map(Signed)
    }
}

impl Signed<BootFiles> {
    /// The kernel's file.
    pub fn kernel(&self) -> Signed<Artifact> {
        Signed(self.kernel.artifact.clone())
    }

    /// The initramfs's file.
    pub fn initramfs(&self) -> Signed<Artifact> {
        Signed(self.initramfs.artifact.clone())
    }
}

impl Signed<Artifact> {
    /// The blob with the digests of its pieces, if they stand in one ([`Artifact::list_blob`]).
    pub fn list_blob(&self) -> Option<Self> {
        self.0.list_blob().map(Self)
    }

    /// An artifact as if it stood in a verified manifest.
    #[cfg(test)]
    pub(crate) fn assumed(artifact: &Artifact) -> Self {
        Self(artifact.clone())
    }
}
