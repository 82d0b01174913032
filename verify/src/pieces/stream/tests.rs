use proptest::prelude::*;

use super::*;
use crate::pieces::tests::{content, in_pieces, list, whole};
use crate::pieces::{Destination, PieceList};

/// Bytes of the pieces here.
const PIECE: usize = 64 << 10;

/// Writes what is wanted of `source` in steps of at most `step` bytes, as a socket would; how much it was.
fn copy(filling: &mut Filling<'_>, source: &[u8], step: usize) -> usize {
    let mut count = 0;
    while let Some(wanted) = filling.wanted() {
        assert_eq!(wanted.start, filling.position());
        let [start, end] = [wanted.start, wanted.end].map(|at| usize::try_from(at).unwrap().min(source.len()));
        let from = &source[start..end];
        let space = filling.space();
        let now = space.len().min(from.len()).min(step);
        if now == 0 {
            break;
        }
        space[..now].copy_from_slice(&from[..now]);
        filling.filled(now);
        count += now;
    }
    count
}

/// One source for what is missing.
fn ask(destination: &mut Destination<'_, '_>, source: &[u8], step: usize) -> Result<usize, ArtifactError> {
    let mut count = 0;
    let outcome = destination.lend(|pieces| {
        stream(pieces, |filling| {
            count = copy(filling, source, step);
            Ok(())
        })
    });
    outcome.map(|()| count)
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
            assert_eq!(ask(&mut destination, &content, 60_000), Ok(size));
            let checked = destination.finish().unwrap();
            assert!(*checked == *content && checked.as_ptr() == address);
        }
    }
}

#[test]
fn a_source_that_lies_loses_and_the_next_is_asked_for_no_more_than_is_missing() {
    let content = content(10 * PIECE);
    let mut evil = content.clone();
    evil[4 * PIECE + 17] ^= 0x40;
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let refused = ask(&mut destination, &evil, 1000).unwrap_err();
    let message = format!("root: the SHA-256 of bytes {} to {} is ", 4 * PIECE, 5 * PIECE - 1);
    assert!(refused.to_string().starts_with(&message), "{refused}");

    let missing = destination.lend(|pieces| (Vec::new(), pieces.iter().map(Piece::range).collect::<Vec<_>>()));
    assert_eq!(missing[0].start, 4 * PIECE as u64, "the pieces before the lie stay");
    let bytes: u64 = missing.iter().map(|range| range.end - range.start).sum();
    assert_eq!(ask(&mut destination, &content, 1000), Ok(usize::try_from(bytes).unwrap()));
    assert!(*destination.finish().unwrap() == *content);
}

#[test]
fn a_lie_stops_the_source() {
    let content = content(40 * PIECE);
    let mut evil = content.clone();
    evil[0] ^= 1;
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let outcome = destination.lend(|pieces| {
        stream::<ArtifactError>(pieces, |filling| {
            copy(filling, &evil[..PIECE], PIECE);
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while filling.wanted().is_some() {
                assert!(std::time::Instant::now() < deadline, "the source may go on");
                std::thread::yield_now();
            }
            assert!(filling.space().is_empty());
            Ok(())
        })
    });
    assert_eq!(outcome.unwrap_err().kind(), "digest");
}

#[test]
fn only_neighbours_are_wanted_together() {
    let content = content(6 * PIECE);
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let kilo = |range: Option<Range<u64>>| range.map(|range| range.start >> 10..range.end >> 10);
    let outcome = destination.lend(|pieces| {
        let some = pieces.into_iter().filter(|piece| ![0, 3].contains(&(piece.range().start / PIECE as u64)));
        stream::<ArtifactError>(some.collect(), |filling| {
            assert_eq!(kilo(filling.wanted()), Some(64..192));
            copy(filling, &content[..2 * PIECE], PIECE);
            assert_eq!(kilo(filling.wanted()), Some(128..192));
            copy(filling, &content[..3 * PIECE], PIECE);
            assert_eq!(kilo(filling.wanted()), Some(256..384));
            copy(filling, &content[..4 * PIECE + 1024], PIECE);
            assert_eq!(kilo(filling.wanted()), Some(257..384));
            Ok(())
        })
    });
    assert_eq!(outcome.unwrap_err().kind(), "short");
}

#[test]
fn bytes_that_end_early_are_not_an_artifact() {
    // The missing bytes happen to be right in the buffer: that they did not come is enough.
    let content = content(PART + 9);
    for list in both(&content) {
        let mut buffer = content.clone();
        let mut destination = Destination::new(&list, &mut buffer).unwrap();
        let refused = ask(&mut destination, &content[..PART + 4], 1000);
        let message = "root: the bytes ended at 262148 of 262153";
        assert_eq!(refused.map_err(|error| (error.kind(), error.to_string())), Err(("short", message.to_owned())));
        assert!(!destination.is_complete());
    }
}

#[test]
fn a_failed_source_ends_its_thread_and_what_it_proved_stays() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Failed {
        #[error("connection lost")]
        Lost,
        #[error(transparent)]
        Artifact(#[from] ArtifactError),
    }
    let content = content(8 * PIECE + 3);
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    for (cut, left) in [(0, 9), (5, 9), (2 * PIECE, 7), (2 * PIECE + 1, 7), (7 * PIECE, 2)] {
        let outcome = destination.lend(|pieces| {
            stream(pieces, |filling| {
                copy(filling, &content[..cut.max(usize::try_from(filling.position()).unwrap())], 100_000);
                Err(Failed::Lost)
            })
        });
        assert_eq!(outcome, Err(Failed::Lost));
        assert_eq!(destination.lend(|pieces| (Vec::new(), pieces.len())), left, "after {cut} bytes");
    }
    assert_eq!(ask(&mut destination, &content, 4096), Ok(PIECE + 3));
    assert!(*destination.finish().unwrap() == *content);
}

#[test]
fn more_than_there_is_room_for_counts_as_all() {
    let content = content(100);
    let (list, mut buffer) = (list(&whole(&content)), content.clone());
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    let outcome = destination.lend(|pieces| {
        stream::<ArtifactError>(pieces, |filling| {
            filling.filled(usize::MAX);
            filling.filled(1);
            assert_eq!((filling.position(), filling.wanted()), (100, None));
            Ok(())
        })
    });
    assert_eq!(outcome, Ok(()));
    assert!(destination.is_complete());
}

#[test]
fn without_a_thread_the_proofs_are_the_same() {
    let content = content(5 * PIECE + 1);
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    destination.lend(|pieces| {
        let stop = Arc::default();
        let prover = Box::new(Prover::new(&stop));
        let mut filling = Filling::new(pieces, stop, Hashing::Here(prover));
        copy(&mut filling, &content, 777);
        (filling.hashing.end(None).unwrap().checked, ())
    });
    assert!(*destination.finish().unwrap() == *content);
}

#[test]
fn a_thread_that_is_lost_is_an_error() {
    let content = content(2 * PIECE);
    let (list, mut buffer) = (list(&in_pieces(&content)), vec![0; content.len()]);
    let mut destination = Destination::new(&list, &mut buffer).unwrap();
    destination.lend(|pieces| {
        let died = std::thread::scope(|scope| {
            let (steps, queue) = channel();
            let thread = scope.spawn(move || {
                drop(queue);
                std::panic::resume_unwind(Box::new("lost"))
            });
            let mut filling = Filling::new(pieces, Arc::default(), Hashing::There(steps));
            copy(&mut filling, &content, PIECE);
            filling.hashing.end(Some(thread)).is_none()
        });
        assert!(died);
        (Vec::new(), ())
    });
    assert!(!destination.is_complete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_steps_give_the_same_bytes(size in 1..3 * PART, step in 1..PART) {
        let content = content(size);
        for list in both(&content) {
            let mut buffer = vec![0; size];
            let mut destination = Destination::new(&list, &mut buffer).unwrap();
            prop_assert_eq!(ask(&mut destination, &content, step), Ok(size));
            prop_assert!(*destination.finish().unwrap() == *content);
        }
    }
}
