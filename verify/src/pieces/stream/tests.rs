use proptest::prelude::*;

use super::*;
use crate::pieces::tests::{content, in_pieces, list, whole};
use crate::pieces::{Destination, PieceList};

/// Bytes of the pieces here.
const PIECE: usize = 64 << 10;

/// Writes what is wanted of `source` in steps of at most `step` bytes, as a socket would.
fn copy(filling: &mut Filling<'_>, source: &[u8], step: usize) {
    loop {
        let from = &source[usize::try_from(filling.position()).unwrap().min(source.len())..];
        let space = filling.space();
        let now = space.len().min(from.len()).min(step);
        if now == 0 {
            break;
        }
        space[..now].copy_from_slice(&from[..now]);
        filling.filled(now);
    }
}

/// The same, as a source that has no errors of its own.
#[allow(clippy::unnecessary_wraps)] // what `stream` wants of a source
fn all_of(filling: &mut Filling<'_>, source: &[u8], step: usize) -> Result<(), ArtifactError> {
    copy(filling, source, step);
    Ok(())
}

/// One source for what is missing; all errors.
fn ask(destination: &mut Destination<'_, '_>, source: &[u8], step: usize) -> Vec<ArtifactError> {
    destination.lend(|pieces| {
        let (mut checked, mut errors) = (Vec::new(), Vec::new());
        for piece in pieces {
            match stream(piece, |filling| all_of(filling, source, step)) {
                Ok(piece) => checked.push(piece),
                Err((_, error)) => errors.push(error),
            }
        }
        (checked, errors)
    })
}

fn both(content: &[u8]) -> [PieceList; 2] {
    [list(&whole(content)), list(&in_pieces(content))]
}

#[test]
fn bytes_are_proved_in_place_at_every_size_around_a_part() {
    for size in [1, PIECE, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 5] {
        let content = content(size);
        for list in both(&content) {
            let mut buffer = vec![0; size];
            let address = buffer.as_ptr();
            let mut destination = Destination::new(&list, &mut buffer).unwrap();
            assert_eq!(ask(&mut destination, &content, 60_000), []);
            let checked = destination.finish().unwrap();
            assert!(*checked == *content && checked.as_ptr() == address);
        }
    }
}

#[test]
fn a_lie_is_named_and_the_piece_goes_to_the_next_source_of_the_same_call() {
    let content = content(3 * PIECE);
    let mut evil = content.clone();
    evil[PIECE + 17] ^= 0x40;
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let bad = destination.lend(|pieces| {
        let (mut checked, mut bad) = (Vec::new(), Vec::new());
        for piece in pieces {
            let again = match stream(piece, |filling| all_of(filling, &evil, 1000)) {
                Ok(piece) => Ok(piece),
                Err((piece, error)) => {
                    bad.push(error.to_string());
                    stream(piece, |filling| all_of(filling, &content, 1000))
                }
            };
            checked.push(again.unwrap());
        }
        (checked, bad)
    });
    let message = format!("root: the SHA-256 of bytes {PIECE} to {} is ", 2 * PIECE - 1);
    assert!(bad.len() == 1 && bad[0].starts_with(&message), "{bad:?}");
    assert!(*destination.finish().unwrap() == *content);
}

#[test]
fn bytes_that_end_early_are_not_an_artifact() {
    // The missing bytes happen to be right in the buffer: that they did not come is enough.
    let content = content(PART + 9);
    let list = list(&whole(&content));
    let mut buffer = content.clone();
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let refused = ask(&mut destination, &content[..PART + 4], 1000);
    assert_eq!((refused.len(), refused[0].kind()), (1, "short"));
    assert_eq!(refused[0].to_string(), "root: the bytes ended at 262148 of 262153");
    assert!(!destination.is_complete());
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum Failed {
    #[error("connection lost")]
    Lost,
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

#[test]
fn a_source_that_fails_gives_the_piece_back_unless_it_is_complete() {
    let content = content(PART + 9);
    let list = list(&whole(&content));
    for (cut, failed) in [(0, true), (5, true), (PART, true), (content.len() - 1, true), (content.len(), false)] {
        let mut buffer = vec![0; content.len()];
        let mut destination = Destination::new(&list, &mut buffer).unwrap();
        let outcome = destination.lend(|mut pieces| {
            let fill = |filling: &mut Filling<'_>| {
                copy(filling, &content[..cut], 100_000);
                Err(Failed::Lost)
            };
            match stream(pieces.remove(0), fill) {
                Ok(piece) => (vec![piece], None),
                Err((piece, error)) => (Vec::new(), Some((piece.range(), error))),
            }
        });
        assert_eq!(outcome, failed.then_some((0..list.size(), Failed::Lost)), "after {cut} bytes");
        assert_eq!(destination.is_complete(), !failed);
    }
}

#[test]
fn more_than_there_is_room_for_counts_as_all() {
    let content = content(100);
    let (list, mut buffer) = (list(&whole(&content)), content.clone());
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    destination.lend(|mut pieces| {
        let checked = stream::<ArtifactError>(pieces.remove(0), |filling| {
            filling.filled(usize::MAX);
            filling.filled(1);
            assert!(filling.position() == 100 && filling.space().is_empty());
            Ok(())
        });
        (vec![checked.unwrap()], ())
    });
    assert!(destination.is_complete());
}

#[test]
fn without_a_thread_the_digest_is_the_same() {
    let content = content(2 * PART + 1);
    let mut buffer = vec![0; content.len()];
    let mut filling = Filling::new(&mut buffer, 0, Hashing::Here(Box::default()));
    copy(&mut filling, &content, 777);
    assert_eq!(filling.end(None), (content.len() as u64, Some(Sha256Digest::of(&content))));
}

#[test]
fn a_thread_that_is_lost_proves_nothing() {
    let content = content(PIECE);
    let mut buffer = vec![0; content.len()];
    let end = std::thread::scope(|scope| {
        let (parts, queue) = channel();
        let thread = scope.spawn(move || {
            drop::<Receiver<_>>(queue);
            std::panic::resume_unwind(Box::new("lost"))
        });
        let mut filling = Filling::new(&mut buffer, 0, Hashing::There(parts));
        copy(&mut filling, &content, PIECE);
        filling.end(Some(thread))
    });
    assert_eq!(end, (PIECE as u64, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_steps_give_the_same_bytes(size in 1..3 * PART, step in 1..PART) {
        let content = content(size);
        for list in both(&content) {
            let mut buffer = vec![0; size];
            let mut destination = Destination::new(&list, &mut buffer).unwrap();
            prop_assert_eq!(ask(&mut destination, &content, step), []);
            prop_assert!(*destination.finish().unwrap() == *content);
        }
    }
}
