use proptest::prelude::*;

use super::*;

/// Bytes that differ from piece to piece.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
}

fn artifact(content: &[u8]) -> Artifact {
    Artifact { name: "root".to_owned(), size: content.len() as u64, sha256: Sha256Digest::of(content) }
}

/// Writes `source` in steps of at most `step` bytes, as a socket would.
fn copy(receiving: &mut Receiving<'_>, mut source: &[u8], step: usize) {
    while !source.is_empty() {
        let space = receiving.space();
        let count = space.len().min(source.len()).min(step);
        assert!(count > 0, "no room for {} more bytes", source.len());
        space[..count].copy_from_slice(&source[..count]);
        receiving.filled(count);
        source = &source[count..];
    }
}

#[test]
fn bytes_are_proved_in_place_at_every_size_around_a_piece() {
    for size in [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 5] {
        let content = content(size);
        let mut destination = vec![0; size];
        let address = destination.as_ptr();
        let checked = receive::<ArtifactError>(&artifact(&content), &mut destination, |receiving| {
            copy(receiving, &content, 60_000);
            assert_eq!(receiving.received(), size as u64);
            assert!(receiving.space().is_empty());
            Ok(())
        })
        .unwrap();
        assert_eq!((checked.name(), checked.digest()), ("root", Sha256Digest::of(&content)));
        assert!(*checked == *content && checked.as_ptr() == address);
    }
}

#[test]
fn one_wrong_bit_in_any_piece_is_found() {
    let content = content(3 * PIECE);
    for at in [0, PIECE - 1, PIECE, 2 * PIECE + 7, 3 * PIECE - 1] {
        let mut wrong = content.clone();
        wrong[at] ^= 0x10;
        let mut destination = vec![0; content.len()];
        let refused = receive::<ArtifactError>(&artifact(&content), &mut destination, |receiving| {
            copy(receiving, &wrong, usize::MAX);
            Ok(())
        })
        .unwrap_err();
        assert_eq!(refused.kind(), "digest");
        let (seen, wanted) = (Sha256Digest::of(&wrong), Sha256Digest::of(&content));
        assert_eq!(refused.to_string(), format!("root: the SHA-256 is {seen}, wanted {wanted}"));
        assert_eq!(check(&artifact(&content), &wrong).unwrap_err(), refused);
    }
}

#[test]
fn bytes_that_end_early_are_not_an_artifact() {
    // The missing bytes happen to be right in the buffer: that they did not come is enough.
    let content = content(PIECE + 9);
    let mut destination = content.clone();
    let refused = receive::<ArtifactError>(&artifact(&content), &mut destination, |receiving| {
        copy(receiving, &content[..PIECE + 4], 1000);
        Ok(())
    })
    .unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().as_str()), ("short", "root: only 262148 of 262153 bytes came"));
}

#[test]
fn a_failed_attempt_ends_its_thread_and_leaves_the_buffer_to_the_next() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Failed {
        #[error("connection lost")]
        Lost,
        #[error(transparent)]
        Artifact(#[from] ArtifactError),
    }
    let content = content(2 * PIECE + 3);
    let mut destination = vec![0; content.len()];
    for cut in [0, 5, PIECE, 2 * PIECE + 1] {
        let lost = receive(&artifact(&content), &mut destination, |receiving| {
            copy(receiving, &vec![0xff; cut], 100_000);
            Err(Failed::Lost)
        });
        assert_eq!(lost.unwrap_err(), Failed::Lost);
    }
    let checked = receive::<Failed>(&artifact(&content), &mut destination, |receiving| {
        copy(receiving, &content[..PIECE + 77], 4096);
        // A second connection goes on where the first one stopped.
        let done = usize::try_from(receiving.received()).unwrap();
        copy(receiving, &content[done..], 4096);
        Ok(())
    });
    assert!(*checked.unwrap() == *content);
}

#[test]
fn a_buffer_of_another_size_is_refused_before_anything_comes() {
    let artifact = artifact(&content(10));
    for size in [0, 9, 11] {
        let refused =
            receive::<ArtifactError>(&artifact, &mut vec![0; size], |_| panic!("asked for bytes")).unwrap_err();
        assert_eq!((refused.kind(), refused.to_string()), ("size", format!("root: {size} bytes, wanted 10")));
        assert_eq!(check(&artifact, &vec![0; size]).unwrap_err(), refused);
    }
}

#[test]
fn more_than_there_is_room_for_counts_as_all() {
    let content = content(100);
    let mut destination = content.clone();
    let checked = receive::<ArtifactError>(&artifact(&content), &mut destination, |receiving| {
        receiving.filled(usize::MAX);
        receiving.filled(1);
        assert_eq!(receiving.received(), 100);
        Ok(())
    });
    assert_eq!(*checked.unwrap(), *content);
}

#[test]
fn without_a_thread_the_digest_is_the_same() {
    let content = content(2 * PIECE + 1);
    let mut destination = vec![0; content.len()];
    let mut receiving = Receiving::over(&mut destination, Hashing::Here(Sha256::new()));
    copy(&mut receiving, &content, 777);
    assert_eq!(receiving.finish(&artifact(&content)), Ok(Sha256Digest::of(&content)));
}

#[test]
fn a_thread_that_is_lost_is_an_error() {
    let content = content(PIECE + 1);
    let mut destination = vec![0; content.len()];
    let lost = std::thread::scope(|scope| {
        let (pieces, queue) = channel();
        let thread = scope.spawn(move || {
            drop(queue);
            std::panic::resume_unwind(Box::new("lost"))
        });
        let mut receiving = Receiving::over(&mut destination, Hashing::Thread { pieces, thread });
        copy(&mut receiving, &content, PIECE);
        receiving.finish(&artifact(&content))
    });
    assert_eq!(lost.unwrap_err().kind(), "thread");
}

#[test]
fn check_proves_bytes_that_are_there() {
    let content = content(1000);
    let checked = check(&artifact(&content), &content).unwrap();
    assert_eq!((&*checked, checked.name()), (&*content, "root"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_steps_give_the_same_bytes(size in 1..3 * PIECE, steps in prop::collection::vec(1..PIECE, 1..8)) {
        let content = content(size);
        let mut destination = vec![0; size];
        let checked = receive::<ArtifactError>(&artifact(&content), &mut destination, |receiving| {
            let mut source = &content[..];
            for step in steps.iter().cycle() {
                let (now, rest) = source.split_at(source.len().min(*step));
                copy(receiving, now, usize::MAX);
                source = rest;
                if source.is_empty() { break }
            }
            Ok(())
        });
        prop_assert!(*checked.unwrap() == *content);
    }
}
