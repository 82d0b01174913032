//! An artifact that stands in no verified manifest, and a manifest that nobody verified, have no pieces to prove.

use verify::{Artifact, ArtifactError, Manifest, PieceList, Sha256Digest, Signed};

fn main() {
    let sha256 = Sha256Digest::of(b"evil");
    let artifact = Artifact { name: "root".to_owned(), size: 4, sha256, pieces: None };
    let _ = PieceList::load::<ArtifactError>(&artifact, |_| unreachable!());
    let _ = PieceList::load::<ArtifactError>(&Signed(artifact), |_| unreachable!());
    let manifest = Manifest::parse(b"{}").unwrap();
    let _ = PieceList::load::<ArtifactError>(&manifest.rootfs.unwrap(), |_| unreachable!());
}
