//! Lists of pieces that anybody may serve: only the list that the manifest names is believed, only if it has as many
//! digests as there are pieces, and bytes are an artifact only if every piece is the listed one. The input is a size, how
//! many bytes the list is cut or longer by, which piece comes first, and bytes that are XORed to the right list.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::pieces::{self, Destination};
use verify::{Artifact, ArtifactError, Chunks, PieceList, Pieces, Sha256Digest};

#[path = "../../verify/tests/support/release.rs"]
mod release;

const PIECE: usize = 65536;

fuzz_target!(|input: &[u8]| {
    let [size, length, first, changes @ ..] = input else { return };
    let content: Vec<u8> = (0..=250).cycle().take(1 + usize::from(*size) * 1029).collect();
    let right: Vec<u8> = content.chunks(PIECE).flat_map(|piece| Sha256Digest::of(piece).0).collect();
    let mut list = right.clone();
    list.resize((right.len() + usize::from(*length)).saturating_sub(128), 0);
    for (byte, change) in list.iter_mut().zip(changes) {
        *byte ^= change;
    }

    let chunks = Chunks::List { list_sha256: Sha256Digest::of(&list) };
    let pieces = Pieces::new(content.len() as u64, PIECE as u64, chunks).expect("of an allowed size");
    let (size, sha256) = (content.len() as u64, Sha256Digest::of(&content));
    let artifact = Artifact { name: "root".to_owned(), size, sha256, pieces: Some(pieces) };
    let artifact = release::signed(&artifact);

    // Another list than the named one.
    let other = || [&list[..], b"x"].concat();
    assert!(PieceList::load(&artifact, |_| Ok::<_, ArtifactError>(other())).is_err());

    let loaded = PieceList::load(&artifact, |_| Ok::<_, ArtifactError>(list.clone()));
    assert_eq!(loaded.is_ok(), list.len() == right.len(), "{loaded:?}");
    let Ok(loaded) = loaded else { return };
    assert_eq!(pieces::check(&loaded, &content).is_ok(), list == right);

    // The same piece by piece, beginning anywhere.
    let mut buffer = vec![0; content.len()];
    let mut destination = Destination::new(&loaded, &mut buffer).expect("of the right size");
    destination.lend(|mut pieces| {
        let at = usize::from(*first) % pieces.len();
        pieces.rotate_left(at);
        let mut checked = Vec::new();
        for mut piece in pieces {
            let range = piece.range().start as usize..piece.range().end as usize;
            let listed = &list[range.start / PIECE * 32..][..32];
            let same = listed == Sha256Digest::of(&content[range.clone()]).0;
            piece.bytes().copy_from_slice(&content[range]);
            match piece.check() {
                Ok(piece) => checked.push(piece),
                Err(bad) => assert!(!same, "{}", bad.error()),
            }
            assert!(same || checked.len() < loaded.digests().len());
        }
        (checked, ())
    });
    match destination.finish() {
        Ok(proved) => assert!(list == right && *proved == content[..]),
        Err(error) => assert!(list != right && !error.to_string().contains(char::is_control), "{error:?}"),
    }
});
