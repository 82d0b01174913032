//! The way that the compiler leaves open: what the refused programs do, done right.

use verify::pieces::{self, Destination, PieceList};
use verify::{Artifact, ArtifactError, Chunks, Manifest, Pieces, Sha256Digest, Verified};

/// Memory that is the root of a verified release, from two sources, of which the first lies about the second piece.
fn root<'a>(
    artifact: &Artifact,
    memory: &'a mut [u8],
    sources: [&[u8]; 2],
) -> Result<pieces::CheckedBytes<'a>, ArtifactError> {
    let list = PieceList::load::<ArtifactError>(artifact, |_| unreachable!("the digests are in the manifest"))?;
    let mut destination = Destination::new(&list, memory)?;
    for source in sources {
        destination.lend(|pieces| {
            let mut checked = Vec::new();
            for mut piece in pieces {
                let (start, end) = (piece.range().start as usize, piece.range().end as usize);
                piece.bytes().copy_from_slice(&source[start..end]);
                checked.extend(piece.check().ok());
            }
            (checked, ())
        });
    }
    destination.finish()
}

fn boot(release: &Verified<Manifest>, memory: &mut [u8], sources: [&[u8]; 2]) -> Option<usize> {
    let root = root(release.rootfs.as_ref()?, memory, sources).ok()?;
    Some(root.len())
}

fn main() {
    let _ = boot;
    let good = vec![7; 100_000];
    let mut evil = good.clone();
    evil[70_000] ^= 1;
    let digests = good.chunks(65536).map(Sha256Digest::of).collect();
    let pieces = Pieces::new(100_000, 65536, Chunks::Inline(digests)).unwrap();
    let sha256 = Sha256Digest::of(&good);
    let artifact = Artifact { name: "root".to_owned(), size: 100_000, sha256, pieces: Some(pieces) };
    let mut memory = vec![0; 100_000];
    assert!(root(&artifact, &mut memory, [&evil, &evil]).is_err());
    assert_eq!(*root(&artifact, &mut memory, [&evil, &good]).unwrap(), *good);
}
