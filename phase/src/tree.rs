//! The published tree on disk (docs/formats.md): blobs by digest, one envelope per channel and architecture.
//!
//! Every file appears whole, by rename, and is on the disk before its name is; [`Tree::put_release`] comes after the
//! blobs, so that a server of this directory never shows a release whose files are missing. One process at a time
//! changes a tree: it holds a lock on the root directory.

mod rotations;

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use verify::{Arch, Candidate, Channel, Chunks, Envelope, LIMITS, Manifest, Pieces, Sha256Digest};

use crate::{
    output::{self, Existing},
    progress::{self, Metered},
};

/// The name of the envelope of a channel and architecture.
const ENVELOPE: &str = "manifest.dsse.json";
/// The name of the proof that it was logged, beside it.
const PROOF: &str = "manifest.sigsum-proof";

/// A tree that this process may change.
pub struct Tree {
    root: PathBuf,
    /// Released when dropped.
    _lock: File,
}

/// A file that is now in the tree.
#[derive(Debug)]
pub struct Blob {
    /// Bytes.
    pub size: u64,
    /// Its digest, which is its name.
    pub sha256: Sha256Digest,
    /// Its pieces, if it has more than one.
    pub pieces: Option<Pieces>,
    /// Whether it was there before, and whole.
    pub kept: bool,
}

/// The manifest that is published now in the tree at `root`, for whoever changes nothing there and needs no lock. Its
/// signatures are not looked at: it is the tree's own.
///
/// # Errors
/// There is an envelope that cannot be read.
pub fn published(root: &Path, channel: &Channel, arch: Arch) -> anyhow::Result<Option<Manifest>> {
    let path = envelope_path(root, channel, arch);
    if path.try_exists()? { read_envelope(&path).map(Some) } else { Ok(None) }
}

fn envelope_path(root: &Path, channel: &Channel, arch: Arch) -> PathBuf {
    root.join(channel.as_str()).join(arch.as_str()).join(ENVELOPE)
}

impl Tree {
    /// Opens the tree at `root`, which has to be there, and locks it.
    ///
    /// # Errors
    /// As those of [`Self::open`], and that there is none.
    pub fn open_existing(root: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(root.join("blobs").is_dir(), "{} is no published tree: it has no blobs", root.display());
        Self::open(root)
    }

    /// Opens the tree at `root`, made if it is not there, and locks it.
    ///
    /// # Errors
    /// The directories cannot be made, or another process holds the lock.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let blobs = root.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
        let lock = File::open(root).with_context(|| format!("cannot open {}", root.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another phase publish is at work in {}", root.display()),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", root.display())),
        }
    }

    /// Where the envelope of a channel and architecture stands.
    pub fn envelope_path(&self, channel: &Channel, arch: Arch) -> PathBuf {
        envelope_path(&self.root, channel, arch)
    }

    /// Where the blob with this digest stands.
    pub fn blob_path(&self, digest: Sha256Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.to_string())
    }

    /// The manifest that is published now. Its signatures are not looked at: it is this tree's own.
    ///
    /// # Errors
    /// There is an envelope that cannot be read.
    pub fn published(&self, channel: &Channel, arch: Arch) -> anyhow::Result<Option<Manifest>> {
        published(&self.root, channel, arch)
    }

    /// Copies a file of `size` bytes into the tree and hashes it and its pieces on the way. A blob that is there with
    /// the same bytes is kept; one that is damaged is replaced. If the digests of the pieces are too many for a manifest,
    /// they become a blob, too.
    ///
    /// # Errors
    /// The file has another size by now, or a read or write failed.
    pub fn store(&self, file: &Path, size: u64) -> anyhow::Result<Blob> {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let bar = progress::bytes(&name, size);
        let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut copy = output::temporary_beside(&self.blob_path(Sha256Digest([0; 32])))?;
        let mut pieces = Vec::new();
        let (copied, sha256) = hash(Metered::new(source, bar.clone()), |piece| {
            pieces.push(Sha256Digest::of(piece));
            copy.write_all(piece)
        })
        .with_context(|| format!("cannot copy {} to {}", file.display(), self.root.display()))?;
        bar.finish_and_clear();
        anyhow::ensure!(copied == size, "{} changed while it was read: {size} bytes, then {copied}", file.display());
        let path = self.blob_path(sha256);
        let kept = is_blob(&path, size, sha256)?;
        if !kept {
            output::persist(copy, &path, 0o644, Existing::Replace)?;
        }
        Ok(Blob { size, sha256, pieces: self.pieces(size, pieces)?, kept })
    }

    /// What a manifest says of the pieces with these digests; a blob of them is stored if they are many.
    fn pieces(&self, size: u64, digests: Vec<Sha256Digest>) -> anyhow::Result<Option<Pieces>> {
        let chunks = match digests.len() {
            0 | 1 => return Ok(None),
            count if count <= LIMITS.inline_pieces => Chunks::Inline(digests),
            _ => {
                let list = digests.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>();
                let list_sha256 = Sha256Digest::of(&list);
                let path = self.blob_path(list_sha256);
                if !is_blob(&path, list.len() as u64, list_sha256)? {
                    output::write(&path, &list, 0o644, Existing::Replace)?;
                }
                Chunks::List { list_sha256 }
            }
        };
        Ok(Some(Pieces::new(size, Pieces::USUAL_SIZE, chunks)?))
    }

    /// Reads every blob that `manifest` names, and compares its digest.
    ///
    /// # Errors
    /// One is missing or has other bytes.
    pub fn check_blobs(&self, manifest: &Manifest) -> anyhow::Result<()> {
        for blob in manifest.blobs() {
            let path = self.blob_path(blob.sha256);
            let whole = is_blob(&path, blob.size, blob.sha256)?;
            anyhow::ensure!(whole, "{} ({}) is missing or damaged", path.display(), blob.name);
        }
        Ok(())
    }

    /// Makes `release` the one that is published. Every blob that its manifest names has to be in the tree. Its proof stands
    /// there before it does; the proof of its predecessor is not kept.
    ///
    /// # Errors
    /// A blob is missing, or the write failed: then the previous release is still the published one.
    pub fn put_release(&self, manifest: &Manifest, release: &Candidate) -> anyhow::Result<PathBuf> {
        for blob in manifest.blobs() {
            let path = self.blob_path(blob.sha256);
            let seen = fs::metadata(&path).with_context(|| format!("cannot find {}", path.display()))?.len();
            anyhow::ensure!(seen == blob.size, "{} has {seen} bytes, wanted {}", path.display(), blob.size);
        }
        let path = self.envelope_path(&manifest.channel, manifest.arch);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let proof = path.with_file_name(PROOF);
        if let Some(bytes) = &release.proof {
            output::write(&proof, bytes, 0o644, Existing::Replace)?;
        }
        output::write(&path, &release.envelope, 0o644, Existing::Replace)?;
        if release.proof.is_none() && proof.try_exists()? {
            fs::remove_file(&proof).with_context(|| format!("cannot remove {}", proof.display()))?;
        }
        Ok(path)
    }

    /// Removes every file of `blobs/sha256` that no envelope of the tree names, and returns their names.
    ///
    /// # Errors
    /// An envelope cannot be read: then nothing was removed, since it may name any blob.
    pub fn prune(&self) -> anyhow::Result<Vec<String>> {
        let mut named = BTreeSet::new();
        for envelope in self.envelopes()? {
            let manifest = read_envelope(&envelope).context("nothing was pruned")?;
            named.extend(manifest.blobs().map(|blob| blob.sha256.to_string()));
        }
        let mut removed = Vec::new();
        for path in list(&self.root.join("blobs/sha256"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !named.contains(&name) {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
                removed.push(name);
            }
        }
        removed.sort();
        Ok(removed)
    }

    /// Every `<channel>/<arch>/manifest.dsse.json`.
    fn envelopes(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for channel in list(&self.root)?.into_iter().filter(|path| path.is_dir()) {
            for arch in list(&channel)?.into_iter().filter(|path| path.is_dir()) {
                let envelope = arch.join(ENVELOPE);
                if envelope.try_exists()? {
                    found.push(envelope);
                }
            }
        }
        Ok(found)
    }
}

fn read_envelope(path: &Path) -> anyhow::Result<Manifest> {
    let bytes = output::read_limited(path, LIMITS.envelope_bytes as u64)?;
    let envelope = Envelope::parse(&bytes).with_context(|| path.display().to_string())?;
    Manifest::parse(&envelope.payload).with_context(|| path.display().to_string())
}

fn list(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", directory.display());
    let entries = fs::read_dir(directory).with_context(context)?;
    entries.map(|entry| Ok(entry.with_context(context)?.path())).collect()
}

/// Whether `path` holds exactly these bytes.
fn is_blob(path: &Path, size: u64, digest: Sha256Digest) -> anyhow::Result<bool> {
    let context = || format!("cannot read {}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(context),
        Ok(metadata) if !metadata.is_file() || metadata.len() != size => return Ok(false),
        Ok(_) => {}
    }
    let (_, seen) = hash(File::open(path).with_context(context)?, |_| Ok(())).with_context(context)?;
    Ok(seen == digest)
}

/// Reads to the end, giving each piece of [`Pieces::USUAL_SIZE`] bytes to `sink`; returns the number of bytes and their
/// digest.
pub(crate) fn hash(
    mut source: impl Read,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, Sha256Digest)> {
    let mut piece = Vec::new();
    let mut digest = Sha256::new();
    let mut size = 0;
    loop {
        piece.clear();
        let count = source.by_ref().take(Pieces::USUAL_SIZE).read_to_end(&mut piece)?;
        if count == 0 {
            return Ok((size, Sha256Digest(digest.finalize().into())));
        }
        digest.update(&piece);
        sink(&piece)?;
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree_with(bytes: &[u8]) -> (tempfile::TempDir, Tree, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(&directory.path().join("tree")).unwrap();
        let file = directory.path().join("file");
        fs::write(&file, bytes).unwrap();
        (directory, tree, file)
    }

    #[test]
    fn a_stored_file_stands_under_its_digest() {
        let (_directory, tree, file) = tree_with(b"abc");
        let blob = tree.store(&file, 3).unwrap();
        assert_eq!(blob.sha256.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fs::read(tree.blob_path(blob.sha256)).unwrap(), b"abc");
        assert!(!blob.kept && tree.store(&file, 3).unwrap().kept);
    }

    #[test]
    fn a_damaged_blob_of_the_right_size_is_replaced() {
        let (_directory, tree, file) = tree_with(b"abc");
        let path = tree.blob_path(tree.store(&file, 3).unwrap().sha256);
        fs::write(&path, b"abd").unwrap();
        assert!(!tree.store(&file, 3).unwrap().kept);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn a_file_that_changes_size_is_refused_and_leaves_nothing() {
        let (_directory, tree, file) = tree_with(b"abc");
        let message = tree.store(&file, 4).unwrap_err().to_string();
        assert!(message.contains("4 bytes, then 3"), "{message}");
        assert_eq!(list(&tree.root.join("blobs/sha256")).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn pieces_stand_in_the_manifest_or_in_a_blob_of_their_own() {
        let piece = usize::try_from(Pieces::USUAL_SIZE).unwrap();
        for (size, count) in [(piece, 1), (piece + 1, 2), (LIMITS.inline_pieces * piece, 64)] {
            let bytes: Vec<u8> = (0..size).map(|n| (n >> 20).to_le_bytes()[0]).collect();
            let (_directory, tree, file) = tree_with(&bytes);
            let blob = tree.store(&file, size as u64).unwrap();
            let digests: Vec<_> = bytes.chunks(piece).map(Sha256Digest::of).collect();
            assert_eq!(digests.len(), count);
            let chunks = blob.pieces.as_ref().map(Pieces::chunks);
            assert_eq!(chunks, (count > 1).then_some(&Chunks::Inline(digests)));
            assert_eq!(list(&tree.root.join("blobs/sha256")).unwrap().len(), 1);
        }
        let bytes = vec![7; LIMITS.inline_pieces * piece + 1];
        let (_directory, tree, file) = tree_with(&bytes);
        let blob = tree.store(&file, bytes.len() as u64).unwrap();
        let digests: Vec<u8> = bytes.chunks(piece).flat_map(|piece| Sha256Digest::of(piece).0).collect();
        let list_sha256 = Sha256Digest::of(&digests);
        assert_eq!(blob.pieces.unwrap().chunks(), &Chunks::List { list_sha256 });
        assert_eq!(fs::read(tree.blob_path(list_sha256)).unwrap(), digests);
    }

    #[test]
    fn one_publisher_at_a_time() {
        let (_directory, tree, _) = tree_with(b"");
        let message = Tree::open(&tree.root).err().unwrap().to_string();
        assert!(message.contains("another phase publish"), "{message}");
    }

    #[test]
    fn prune_stops_at_an_envelope_that_it_cannot_read() {
        let (_directory, tree, file) = tree_with(b"abc");
        let blob = tree.blob_path(tree.store(&file, 3).unwrap().sha256);
        let envelope = tree.envelope_path(&"other".parse().unwrap(), Arch::X86_64);
        fs::create_dir_all(envelope.parent().unwrap()).unwrap();
        fs::write(&envelope, b"{}").unwrap();
        assert!(format!("{:#}", tree.prune().unwrap_err()).contains("nothing was pruned"));
        assert!(blob.exists());
        fs::remove_file(&envelope).unwrap();
        assert_eq!(tree.prune().unwrap().len(), 1);
        assert!(!blob.exists());
    }
}
