//! The files of a release: hashed while they are read, as a whole (their name) and by pieces (their proof).

use std::fs::File;
use std::io::Read;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use verify::{Artifact, ArtifactError, LIMITS, Manifest, PieceList, Sha256Digest, Signed, Verified};

use crate::files::{FileError, Place};
use crate::report::{Blob, Problem};

/// Bytes in memory at once.
const BUFFER: usize = 256 << 10;

/// A directory of blobs, and what is known about them. One blob may be of several releases.
pub(crate) struct Blobs {
    directory: Place,
    checked: Vec<(Artifact, Option<Problem>)>,
}

/// Why a file is not the blob that it should be.
#[derive(Debug, thiserror::Error)]
enum BlobError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("it is not there, or not a regular file")]
    Absent,
    #[error("it has {seen} bytes, wanted {wanted}")]
    Size { seen: u64, wanted: u64 },
    #[error("its SHA-256 is {seen}, wanted {wanted}")]
    Digest { seen: Sha256Digest, wanted: Sha256Digest },
    #[error("the list of its pieces is refused: {0}")]
    List(#[from] ArtifactError),
    #[error(
        "{bad} of {count} pieces are not the signed ones; the first is piece {first}, from byte {at} on: its SHA-256 is {seen}, wanted {wanted}"
    )]
    Pieces { bad: usize, count: usize, first: usize, at: u64, seen: Sha256Digest, wanted: Sha256Digest },
}

impl BlobError {
    const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "read",
            Self::Absent => "absent",
            Self::Size { .. } => "size",
            Self::Digest { .. } => "digest",
            Self::Pieces { .. } => "pieces",
            Self::List(_) => "list",
        }
    }
}

impl Blobs {
    /// Blobs that stand in `directory` under their SHA-256.
    pub(crate) fn new(directory: Place) -> Self {
        Self { directory, checked: Vec::new() }
    }

    /// Checks every file that the release names, the lists of pieces included.
    pub(crate) fn check(&mut self, release: &Verified<Manifest>) -> Vec<Blob> {
        release.blobs().map(|artifact| self.one(&artifact)).collect()
    }

    /// Whether there is such a directory; a tree without releases may have none.
    pub(crate) fn is_there(&self) -> bool {
        self.directory.is_directory()
    }

    /// The names in the directory that no manifest that was checked has named.
    pub(crate) fn unnamed(&self) -> Result<Vec<String>, FileError> {
        let mut unnamed = self.directory.names()?;
        let named = |name: &String| {
            name.parse::<Sha256Digest>()
                .is_ok_and(|digest| self.checked.iter().any(|(artifact, _)| artifact.sha256 == digest))
        };
        unnamed.retain(|name| !named(name));
        Ok(unnamed)
    }

    fn one(&mut self, artifact: &Signed<Artifact>) -> Blob {
        let same = |other: &Artifact| {
            (other.size, other.sha256, &other.pieces) == (artifact.size, artifact.sha256, &artifact.pieces)
        };
        let known = self.checked.iter().find(|(other, _)| same(other)).map(|(_, problem)| problem.clone());
        let problem = known.unwrap_or_else(|| {
            let problem = self.hash(artifact).err().map(|error| Problem::new(error.kind(), &error));
            self.checked.push(((**artifact).clone(), problem.clone()));
            problem
        });
        Blob { name: artifact.name.clone(), size: artifact.size, sha256: artifact.sha256, problem }
    }

    fn place(&self, artifact: &Artifact) -> Place {
        self.directory.join(&artifact.sha256.to_string())
    }

    /// The file of a blob, if it is one and has the signed size.
    fn open(&self, artifact: &Artifact) -> Result<File, BlobError> {
        let place = self.place(artifact);
        let file = place.regular().ok_or(BlobError::Absent)?;
        let seen = file.metadata().map_err(|source| FileError::Read { path: place.path(), source })?.len();
        let wanted = artifact.size;
        if seen == wanted { Ok(file) } else { Err(BlobError::Size { seen, wanted }) }
    }

    fn hash(&self, artifact: &Signed<Artifact>) -> Result<(), BlobError> {
        let mut file = self.open(artifact)?;
        let list = PieceList::load(artifact, |blob| {
            let mut list = Vec::new();
            let read = self.open(blob)?.take(LIMITS.pieces as u64 * 32 + 1).read_to_end(&mut list);
            read.map_err(|source| FileError::Read { path: self.place(blob).path(), source })?;
            Ok::<_, BlobError>(list)
        })?;
        let failed = |source| FileError::Read { path: self.place(artifact).path(), source };
        let bar = bar(artifact);
        let (mut whole, mut buffer) = (Sha256::new(), vec![0; BUFFER]);
        let mut bad: Vec<(usize, Sha256Digest)> = Vec::new();
        for (index, wanted) in list.digests().iter().enumerate() {
            let mut piece = Sha256::new();
            let mut left = list.piece_size().min(artifact.size - index as u64 * list.piece_size());
            while left > 0 {
                let room = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
                let count = file.read(&mut buffer[..room]).map_err(failed)?;
                if count == 0 {
                    break;
                }
                piece.update(&buffer[..count]);
                whole.update(&buffer[..count]);
                left -= count as u64;
                bar.inc(count as u64);
            }
            let seen = Sha256Digest(piece.finalize().into());
            if seen != *wanted {
                bad.push((index, seen));
            }
        }
        bar.finish_and_clear();
        let (seen, wanted) = (Sha256Digest(whole.finalize().into()), artifact.sha256);
        match bad.first() {
            Some(&(first, seen)) if artifact.pieces.is_some() => Err(BlobError::Pieces {
                bad: bad.len(),
                count: list.digests().len(),
                first,
                at: first as u64 * list.piece_size(),
                seen,
                wanted: list.digests()[first],
            }),
            _ if seen != wanted => Err(BlobError::Digest { seen, wanted }),
            _ => Ok(()),
        }
    }
}

/// A bar on standard error, if that is a terminal.
fn bar(artifact: &Artifact) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:20!} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(artifact.size).with_prefix(artifact.name.clone());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
