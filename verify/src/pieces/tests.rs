use std::collections::BTreeSet;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::manifest::{Artifact, Chunks, Pieces};
use crate::verified::Signed;

/// Bytes of the pieces here.
const PIECE: usize = 64 << 10;

/// Bytes that differ from piece to piece.
pub(super) fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
}

/// An artifact without pieces.
pub(super) fn whole(content: &[u8]) -> Artifact {
    let (size, sha256) = (content.len() as u64, Sha256Digest::of(content));
    Artifact { name: "root".to_owned(), size, sha256, pieces: None }
}

/// The same with pieces of [`PIECE`] bytes, whose digests are the manifest's own.
pub(super) fn in_pieces(content: &[u8]) -> Artifact {
    let digests = content.chunks(PIECE).map(Sha256Digest::of).collect();
    let pieces = Pieces::new(content.len() as u64, PIECE as u64, Chunks::Inline(digests)).unwrap();
    Artifact { pieces: Some(pieces), ..whole(content) }
}

/// The list of an artifact that needs no blob.
pub(super) fn list(artifact: &Artifact) -> PieceList {
    PieceList::load::<ArtifactError>(&Signed::assumed(artifact), |blob| panic!("asked for {blob:?}")).unwrap()
}

/// Copies the piece's bytes from `source` and checks them.
fn take<'r>(mut piece: Piece<'r>, source: &[u8]) -> Result<CheckedPiece<'r>, BadPiece<'r>> {
    let Range { start, end } = piece.range();
    piece.bytes().copy_from_slice(&source[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
    piece.check()
}

#[test]
fn check_proves_bytes_that_are_there() {
    for size in [1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE] {
        let content = content(size);
        for artifact in [whole(&content), in_pieces(&content)] {
            let list = list(&artifact);
            let checked = check(&list, &content).unwrap();
            assert_eq!((checked.name(), checked.digest()), ("root", Sha256Digest::of(&content)));
            assert!(*checked == *content && checked.as_ptr() == content.as_ptr());
        }
    }
}

#[test]
fn one_wrong_bit_anywhere_is_found_and_named() {
    let content = content(3 * PIECE);
    for at in [0, PIECE - 1, PIECE, 2 * PIECE + 7, 3 * PIECE - 1] {
        let mut wrong = content.clone();
        wrong[at] ^= 0x10;
        let refused = check(&list(&whole(&content)), &wrong).unwrap_err();
        let (seen, wanted) = (Sha256Digest::of(&wrong), Sha256Digest::of(&content));
        assert_eq!(refused.to_string(), format!("root: the SHA-256 is {seen}, wanted {wanted}"));
        assert_eq!(refused.kind(), "digest");

        let refused = check(&list(&in_pieces(&content)), &wrong).unwrap_err();
        let (first, next) = (at / PIECE * PIECE, (at / PIECE + 1) * PIECE);
        let digest = |bytes: &[u8]| Sha256Digest::of(&bytes[first..next]);
        let (seen, wanted, last) = (digest(&wrong), digest(&content), next - 1);
        let message = format!("root: the SHA-256 of bytes {first} to {last} is {seen}, wanted {wanted}");
        assert_eq!((refused.kind(), refused.to_string()), ("digest", message));
    }
}

#[test]
fn bytes_of_another_size_are_refused_before_they_are_hashed() {
    let content = content(10);
    let list = list(&whole(&content));
    for size in [0, 9, 11] {
        let mut buffer = vec![0; size];
        let refused = check(&list, &buffer).unwrap_err();
        assert_eq!((refused.kind(), refused.to_string()), ("size", format!("root: {size} bytes, wanted 10")));
        assert_eq!(Destination::new(&list, &mut buffer).unwrap_err(), refused);
    }
}

#[test]
fn pieces_are_proved_in_any_order_and_in_place() {
    let content = content(3 * PIECE + 5);
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let address = buffer.as_ptr();
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    destination.lend(|pieces| {
        let checked = pieces.into_iter().rev().map(|piece| take(piece, &content).unwrap());
        (checked.collect(), ())
    });
    assert!(destination.is_complete());
    let checked = destination.finish().unwrap();
    assert!(*checked == *content && checked.as_ptr() == address);
}

#[test]
fn sources_on_several_threads_hold_pieces_at_once_and_pass_on_what_they_could_not_give() {
    let content = content(6 * PIECE);
    let mut evil = content.clone();
    evil[PIECE] ^= 1;
    evil[3 * PIECE] ^= 1;
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let bad = destination.lend(|mut pieces| {
        let others = pieces.split_off(4);
        thread::scope(|scope| {
            let one = scope.spawn(|| pieces.into_iter().map(|piece| take(piece, &evil)).collect::<Vec<_>>());
            let two = scope.spawn(|| others.into_iter().map(|piece| take(piece, &content)).collect::<Vec<_>>());
            let results = one.join().unwrap().into_iter().chain(two.join().unwrap());
            let (mut checked, mut bad) = (Vec::new(), Vec::new());
            for result in results {
                match result {
                    Ok(piece) => checked.push(piece),
                    Err(piece) => bad.push(piece),
                }
            }
            let ranges: Vec<_> = bad.iter().map(|bad| bad.piece.range().start).collect();
            // What one source could not give, the other one can.
            checked.extend(bad.into_iter().map(|bad| take(bad.piece, &content).unwrap()));
            (checked, ranges)
        })
    });
    assert_eq!(bad, [PIECE as u64, 3 * PIECE as u64]);
    assert!(*destination.finish().unwrap() == *content);
}

#[test]
fn what_was_not_given_back_as_proved_is_lent_again_and_nothing_else() {
    let content = content(3 * PIECE);
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    // The first is proved and given back, the second is proved and dropped, the third is not touched.
    destination.lend(|pieces| {
        let mut checked: Vec<_> = pieces.into_iter().take(2).map(|piece| take(piece, &content).unwrap()).collect();
        checked.truncate(1);
        (checked, ())
    });
    let left =
        destination.lend(|pieces| (Vec::new(), pieces.iter().map(|piece| piece.range().start).collect::<Vec<_>>()));
    assert_eq!(left, [PIECE as u64, 2 * PIECE as u64]);
    assert!(!destination.is_complete());
    let refused = destination.finish().unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().as_str()), ("short", "root: 2 of 3 pieces are missing"));
}

#[test]
fn right_bytes_that_nobody_proved_are_no_artifact() {
    let content = content(2 * PIECE);
    let list = list(&in_pieces(&content));
    let mut buffer = content.clone();
    let refused = Destination::new(&list, &mut buffer).unwrap().finish().unwrap_err();
    assert_eq!(refused, ArtifactError::Missing { name: "root".to_owned(), missing: 2, pieces: 2 });
}

/// An artifact of three pieces whose digests stand in a blob, and the blob.
fn listed() -> (Vec<u8>, Artifact, Vec<u8>) {
    let content = content(3 * PIECE - 1);
    let blob: Vec<u8> = content.chunks(PIECE).flat_map(|piece| Sha256Digest::of(piece).0).collect();
    let chunks = Chunks::List { list_sha256: Sha256Digest::of(&blob) };
    let pieces = Pieces::new(content.len() as u64, PIECE as u64, chunks).unwrap();
    let artifact = Artifact { pieces: Some(pieces), ..whole(&content) };
    (content, artifact, blob)
}

#[test]
fn a_list_is_fetched_by_its_digest() {
    let (content, artifact, blob) = listed();
    let mut asked = None;
    let list = PieceList::load::<ArtifactError>(&Signed::assumed(&artifact), |wanted| {
        asked = Some(wanted.clone());
        Ok(blob.clone())
    });
    let (name, size, sha256) = ("root.pieces".to_owned(), 96, Sha256Digest::of(&blob));
    assert_eq!(asked, Some(Signed::assumed(&Artifact { name, size, sha256, pieces: None })));
    assert!(*check(&list.unwrap(), &content).unwrap() == *content);
}

#[test]
fn another_list_is_refused() {
    let (_, artifact, blob) = listed();
    let artifact = Signed::assumed(&artifact);
    let load = |bytes: Vec<u8>| PieceList::load::<ArtifactError>(&artifact, |_| Ok(bytes)).unwrap_err();
    for at in 0..blob.len() {
        let mut wrong = blob.clone();
        wrong[at] ^= 1;
        assert_eq!(load(wrong).kind(), "digest");
    }
    assert_eq!(load(blob[..64].to_vec()).to_string(), "root.pieces: 64 bytes, wanted 96");
    assert_eq!(load([&blob[..], &[0; 32]].concat()).to_string(), "root.pieces: 128 bytes, wanted 96");
    let lost = ArtifactError::Thread { name: "x".to_owned() };
    assert_eq!(PieceList::load(&artifact, |_| Err(lost.clone())), Err(lost));
}

#[test]
fn a_list_of_a_wrong_number_of_digests_is_refused_though_it_is_signed() {
    // Only an artifact that no manifest has: `Manifest::parse` counts, too.
    let artifact = Artifact { size: 3 * PIECE as u64, ..in_pieces(&content(2 * PIECE)) };
    let refused = PieceList::load::<ArtifactError>(&Signed::assumed(&artifact), |_| Ok(Vec::new())).unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().as_str()), ("size", "root: 2 digests of pieces, wanted 3"));
    for empty in [whole(&[]), in_pieces(&[])] {
        let refused = PieceList::load::<ArtifactError>(&Signed::assumed(&empty), |_| Ok(Vec::new())).unwrap_err();
        assert_eq!(refused.kind(), "size", "nothing has no proof");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sources that lie about some pieces each, asked in rounds for the pieces in a random order, are as good as one
    /// honest source as soon as there is one for each piece, and never before.
    #[test]
    fn any_order_from_any_liars(
        size in 1..6 * PIECE,
        order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(),
        lies in prop::collection::vec(prop::collection::btree_set(0..6_usize, 0..6), 1..4),
        at in 0..PIECE,
        bit in 0..8,
    ) {
        let content = content(size);
        let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; size]);
        let mut destination = Destination::new(&list, &mut buffer).unwrap();
        for lies in &lies {
            let mut source = content.clone();
            for piece in lies {
                let range = (piece * PIECE).min(size)..((piece + 1) * PIECE).min(size);
                let length = range.len();
                if let Some(byte) = source[range].get_mut(at % length.max(1)) { *byte ^= 1_u8 << bit }
            }
            destination.lend(|pieces| {
                let mut pieces: Vec<_> = pieces.into_iter().map(Some).collect();
                let taken = order.iter().filter_map(|&index| pieces.get_mut(index).and_then(Option::take));
                (taken.filter_map(|piece| take(piece, &source).ok()).collect(), ())
            });
        }
        let never: BTreeSet<usize> = lies.into_iter().reduce(|a, b| &a & &b).unwrap();
        let missing = never.into_iter().filter(|piece| piece * PIECE < size).count();
        match destination.finish() {
            Ok(checked) => prop_assert!(missing == 0 && *checked == *content),
            Err(error) => {
                let pieces = size.div_ceil(PIECE);
                prop_assert_eq!(error, ArtifactError::Missing { name: "root".to_owned(), missing, pieces });
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_never_proved(size in 1..4 * PIECE, at in any::<prop::sample::Index>(), bit in 0..8) {
        let content = content(size);
        let mut wrong = content.clone();
        wrong[at.index(size)] ^= 1_u8 << bit;
        for artifact in [whole(&content), in_pieces(&content)] {
            prop_assert_eq!(check(&list(&artifact), &wrong).unwrap_err().kind(), "digest");
        }
    }
}
