//! Proof of an artifact's bytes, in place and while they arrive.
//!
//! [`receive`] lends a buffer out piece by piece. Each piece that is full goes to a second thread, which hashes it while
//! the caller's thread receives the next one; nothing is copied, and a piece that was handed over cannot be changed any
//! more, because its `&mut` is gone. Only if every byte came and the digest is the signed one does the buffer come back
//! as [`CheckedBytes`].

use std::ops::Deref;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use crate::manifest::Artifact;
use crate::names::Sha256Digest;

/// Bytes in a piece: small enough to be in a cache that both threads share when it is hashed, large enough that
/// handing it over costs nothing. Over loopback 64 KiB to 512 KiB did the same (about the time of the hash alone), and
/// 1 MiB was slower on a busy machine.
const PIECE: usize = 256 << 10;

/// Why bytes are not an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The buffer, or the file, has another size than the artifact.
    #[error("{name}: {seen} bytes, wanted {wanted}")]
    Size {
        /// The artifact.
        name: String,
        /// Bytes that are there, or have room.
        seen: u64,
        /// The signed size in bytes.
        wanted: u64,
    },
    /// The bytes ended too early.
    #[error("{name}: only {seen} of {wanted} bytes came")]
    Short {
        /// The artifact.
        name: String,
        /// Bytes that came.
        seen: u64,
        /// The signed size in bytes.
        wanted: u64,
    },
    /// The bytes are not the signed ones.
    #[error("{name}: the SHA-256 is {seen}, wanted {wanted}")]
    Digest {
        /// The artifact.
        name: String,
        /// Of the bytes that are there.
        seen: Sha256Digest,
        /// The signed one.
        wanted: Sha256Digest,
    },
    /// The hashing thread did not return.
    #[error("{name}: the hashing thread was lost")]
    Thread {
        /// The artifact.
        name: String,
    },
}

impl ArtifactError {
    /// A short word for markers and scripts, which never changes (docs/markers.md).
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Size { .. } => "size",
            Self::Short { .. } => "short",
            Self::Digest { .. } => "digest",
            Self::Thread { .. } => "thread",
        }
    }
}

/// Bytes that are an artifact of a manifest. Only [`receive`] and [`check`] make them.
#[derive(Debug)]
pub struct CheckedBytes<'a> {
    name: String,
    digest: Sha256Digest,
    bytes: &'a [u8],
}

impl CheckedBytes<'_> {
    /// The artifact's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The artifact's digest.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

impl Deref for CheckedBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// Proves bytes that are all there.
pub fn check<'a>(artifact: &Artifact, bytes: &'a [u8]) -> Result<CheckedBytes<'a>, ArtifactError> {
    right_size(artifact, bytes.len())?;
    proved(artifact, bytes, Sha256Digest::of(bytes))
}

/// Proves bytes while `fill` writes them into `destination`, which must have the artifact's size.
///
/// `fill` returns early with its own error if the bytes stop coming; the destination can then be lent to a further
/// `receive`. It may as well try another source from [`Receiving::received`] on.
///
/// ```
/// # use std::io::{self, Read};
/// # use verify::{Artifact, ArtifactError, Sha256Digest, artifact};
/// # #[derive(Debug, thiserror::Error)]
/// # enum DownloadError {
/// #     #[error(transparent)]
/// #     Read(#[from] io::Error),
/// #     #[error(transparent)]
/// #     Artifact(#[from] ArtifactError),
/// # }
/// # let artifact = Artifact { name: "root".into(), size: 3, sha256: Sha256Digest::of(b"abc") };
/// # let mut socket = &b"abc"[..];
/// let mut buffer = vec![0; 3];
/// let root = artifact::receive(&artifact, &mut buffer, |receiving| {
///     while !receiving.space().is_empty() {
///         match socket.read(receiving.space())? {
///             0 => break,
///             count => receiving.filled(count),
///         }
///     }
///     Ok::<_, DownloadError>(())
/// })?;
/// assert_eq!(&*root, b"abc");
/// # Ok::<_, DownloadError>(())
/// ```
pub fn receive<'a, E: From<ArtifactError>>(
    artifact: &Artifact,
    destination: &'a mut [u8],
    fill: impl for<'r> FnOnce(&mut Receiving<'r>) -> Result<(), E>,
) -> Result<CheckedBytes<'a>, E> {
    right_size(artifact, destination.len())?;
    // The pieces' borrows end with the scope, and so does the thread: an error of `fill` drops `receiving`, which
    // closes the channel.
    let seen = std::thread::scope(|scope| {
        let mut receiving = Receiving::begin(scope, destination);
        fill(&mut receiving)?;
        receiving.finish(artifact).map_err(E::from)
    })?;
    Ok(proved(artifact, destination, seen)?)
}

fn right_size(artifact: &Artifact, seen: usize) -> Result<(), ArtifactError> {
    let (seen, wanted) = (seen as u64, artifact.size);
    if seen == wanted { Ok(()) } else { Err(ArtifactError::Size { name: artifact.name.clone(), seen, wanted }) }
}

fn proved<'a>(artifact: &Artifact, bytes: &'a [u8], seen: Sha256Digest) -> Result<CheckedBytes<'a>, ArtifactError> {
    let (name, wanted) = (artifact.name.clone(), artifact.sha256);
    if seen == wanted {
        Ok(CheckedBytes { name, digest: seen, bytes })
    } else {
        Err(ArtifactError::Digest { name, seen, wanted })
    }
}

/// A destination while it fills, front to back.
pub struct Receiving<'r> {
    /// The piece that is being filled; `filled` bytes of it are.
    piece: &'r mut [u8],
    filled: usize,
    /// What comes after `piece`.
    rest: &'r mut [u8],
    received: u64,
    hashing: Hashing<'r>,
}

/// Where full pieces go.
enum Hashing<'r> {
    Thread {
        pieces: Sender<&'r [u8]>,
        thread: ScopedJoinHandle<'r, Sha256Digest>,
    },
    /// Threads can be refused (memory, limits); the boot is only slower then.
    Here(Sha256),
}

impl<'r> Receiving<'r> {
    /// Where the next bytes go: the rest of the current piece; empty when every byte is there.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.piece[self.filled..]
    }

    /// Says that `count` bytes at the front of [`Self::space`] were written; more than there is room count as all.
    pub fn filled(&mut self, count: usize) {
        let count = count.min(self.piece.len() - self.filled);
        self.filled += count;
        self.received += count as u64;
        if self.filled == self.piece.len() {
            self.next_piece();
        }
    }

    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn begin<'scope>(scope: &'scope Scope<'scope, '_>, destination: &'r mut [u8]) -> Self
    where
        'scope: 'r,
        'r: 'scope,
    {
        let (pieces, queue) = channel();
        let hashing = match Builder::new().name("sha256".to_owned()).spawn_scoped(scope, || hashed(queue)) {
            Ok(thread) => Hashing::Thread { pieces, thread },
            Err(_) => Hashing::Here(Sha256::new()),
        };
        Self::over(destination, hashing)
    }

    fn over(destination: &'r mut [u8], hashing: Hashing<'r>) -> Self {
        let mut receiving = Self { piece: &mut [], filled: 0, rest: destination, received: 0, hashing };
        receiving.next_piece();
        receiving
    }

    /// Hands the current piece over and begins the next.
    fn next_piece(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        let (next, rest) = rest.split_at_mut(PIECE.min(rest.len()));
        self.rest = rest;
        self.filled = 0;
        let full = std::mem::replace(&mut self.piece, next);
        match &mut self.hashing {
            // The thread only ends before the channel does if it died, which `finish` finds out.
            Hashing::Thread { pieces, .. } => drop(pieces.send(full)),
            Hashing::Here(hash) => hash.update(full),
        }
    }

    fn finish(self, artifact: &Artifact) -> Result<Sha256Digest, ArtifactError> {
        if self.received < artifact.size {
            return Err(ArtifactError::Short {
                name: artifact.name.clone(),
                seen: self.received,
                wanted: artifact.size,
            });
        }
        match self.hashing {
            Hashing::Thread { pieces, thread } => {
                drop(pieces);
                thread.join().map_err(|_| ArtifactError::Thread { name: artifact.name.clone() })
            }
            Hashing::Here(hash) => Ok(Sha256Digest(hash.finalize().into())),
        }
    }
}

fn hashed(pieces: Receiver<&[u8]>) -> Sha256Digest {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    Sha256Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests;
