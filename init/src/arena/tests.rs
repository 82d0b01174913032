use verify::pieces::{self, PieceList};
use verify::{Artifact, ArtifactError, Sha256Digest};

use super::*;
use crate::release;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Arena(#[from] ArenaError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

fn list(content: &[u8]) -> PieceList {
    let (size, sha256) = (content.len() as u64, Sha256Digest::of(content));
    let artifact = release::signed(&Artifact { name: "root".to_owned(), size, sha256, pieces: None });
    PieceList::load::<ArtifactError>(&artifact, |_| unreachable!("it is one piece")).unwrap()
}

/// Receives `sent` where `wanted` should stand.
fn receive(arena: &mut Arena, at: u64, wanted: &[u8], sent: &[u8]) -> Result<(), Error> {
    let list = list(wanted);
    arena.prove(at, wanted.len() as u64, |memory| {
        memory.copy_from_slice(sent);
        pieces::check(&list, memory).map_err(Error::from)
    })
}

fn content(file: &SealedFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.size()).unwrap()];
    assert_eq!(rustix::io::pread(file, &mut bytes[..], 0).unwrap(), bytes.len());
    bytes
}

#[test]
fn what_was_proved_and_written_is_sealed() {
    let mut arena = Arena::reserve("test", 100).unwrap();
    receive(&mut arena, 4, b"root", b"root").unwrap();
    arena.write(0, b"head").unwrap();
    arena.write(8, b"tail").unwrap();
    assert_eq!(content(&arena.seal(12).unwrap()), b"headroottail");
}

#[test]
fn a_byte_that_nobody_proved_is_not_sealed() {
    let arena = || {
        let mut arena = Arena::reserve("test", 100).unwrap();
        arena.write(0, b"head").unwrap();
        arena.write(8, b"tail").unwrap();
        arena
    };
    let refused = arena().seal(12).unwrap_err();
    assert_eq!(refused.to_string(), "byte 4 of 12 was neither proved nor written");
    assert_eq!(content(&arena().seal(4).unwrap()), b"head");

    let mut wrong = arena();
    let refused = receive(&mut wrong, 4, b"root", b"evil").unwrap_err();
    assert!(refused.to_string().starts_with("root: the SHA-256 is "), "{refused}");
    assert!(matches!(wrong.seal(12), Err(ArenaError::Gap { at: 4, length: 12 })));
    assert!(matches!(arena().seal(13), Err(ArenaError::Gap { .. })));
}

#[test]
fn what_was_proved_is_not_written_over() {
    let mut arena = Arena::reserve("test", 10).unwrap();
    receive(&mut arena, 4, b"root", b"root").unwrap();
    for (at, bytes) in [(0, &b"12345"[..]), (7, b"x"), (4, b"evil"), (9, b"xx"), (u64::MAX, b"x")] {
        assert!(matches!(arena.write(at, bytes), Err(ArenaError::Taken { .. })), "{at}");
    }
    assert!(receive(&mut arena, 4, b"evil", b"evil").is_err());
    arena.write(0, b"head").unwrap();
    assert_eq!(content(&arena.seal(8).unwrap()), b"headroot");
}

#[test]
fn a_proof_of_other_memory_does_not_count() {
    let mut arena = Arena::reserve("test", 4).unwrap();
    let list = list(b"root");
    let refused = arena.prove(0, 4, |_| pieces::check(&list, b"root").map_err(Error::from)).unwrap_err();
    assert_eq!(refused.to_string(), "what was proved is not what stands at bytes 0 to 4");
    assert!(arena.seal(4).is_err());
}
