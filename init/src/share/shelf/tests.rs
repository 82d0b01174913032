use verify::pieces::Destination;
use verify::{Artifact, ArtifactError, Chunks, PieceList, Pieces};

use super::*;
use crate::release;

pub(in crate::share) const PIECE: usize = 64 << 10;

/// Bytes that differ from piece to piece; the last of the three pieces is short.
pub(in crate::share) fn content() -> Vec<u8> {
    (0..2 * PIECE + 100).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
}

fn list(content: &[u8]) -> PieceList {
    let digests = content.chunks(PIECE).map(Sha256Digest::of).collect();
    let size = content.len() as u64;
    let pieces = Some(Pieces::new(size, PIECE as u64, Chunks::Inline(digests)).unwrap());
    let artifact = Artifact { name: "root".to_owned(), size, sha256: Sha256Digest::of(content), pieces };
    PieceList::load::<ArtifactError>(&release::signed(&artifact), |_| panic!("the list is in the manifest")).unwrap()
}

/// A shelf with the content at byte 4096 of a buffer, of which the pieces of `proved` are there.
pub(in crate::share) fn shelf(content: &[u8], proved: &[usize]) -> (Shelf, Arc<Board>) {
    let (list, shelf) = (list(content), Shelf::open());
    let mut buffer = SharedBuffer::reserve("test", 4096 + content.len()).unwrap();
    let board = shelf.put_up(list.sha256(), list.size(), list.piece_size(), buffer.reader(), 4096);
    let mut destination = Destination::new(&list, &mut buffer.bytes()[4096..]).unwrap();
    destination.lend(|pieces| {
        for (index, mut piece) in pieces.into_iter().enumerate().filter(|(index, _)| proved.contains(index)) {
            let (first, length) = (index * PIECE, piece.bytes().len());
            piece.bytes().copy_from_slice(&content[first..first + length]);
            board.proved(&piece.check().unwrap());
        }
        (Vec::new(), ())
    });
    (shelf, board)
}

/// The bytes that are given out for a range.
fn given(board: &Board, range: Range<usize>) -> Option<Vec<u8>> {
    let (reader, place) = board.given(&(range.start as u64..range.end as u64))?;
    let mut bytes = vec![0; range.len()];
    assert_eq!(reader.read(&mut bytes, place.start).unwrap() as u64, place.end - place.start);
    Some(bytes)
}

#[test]
fn only_ranges_of_proved_pieces_are_given_out() {
    let content = content();
    let (_shelf, board) = shelf(&content, &[1, 2]);
    assert_eq!(board.states(), b"022");
    assert!(given(&board, PIECE..PIECE + 1000).is_some_and(|bytes| bytes == content[PIECE..PIECE + 1000]));
    let across = given(&board, 2 * PIECE - 5..2 * PIECE + 100).unwrap();
    assert!(across == content[2 * PIECE - 5..]);
    for range in [0..1, PIECE - 1..PIECE + 1, 0..content.len(), PIECE..content.len() + 1, PIECE..PIECE] {
        assert_eq!(given(&board, range.clone()), None, "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "a peer may ask for it")]
    let backwards = 2 * PIECE..PIECE;
    assert_eq!(given(&board, backwards), None);
}

#[test]
fn what_is_proved_stays_proved() {
    let (_shelf, board) = shelf(&content(), &[2]);
    board.fetching(0);
    board.fetching(2);
    assert_eq!(board.states(), b"102");
    board.dropped(0);
    board.dropped(2);
    board.fetching(3);
    assert_eq!(board.states(), b"002");
}

#[test]
fn a_small_blob_is_kept_as_it_was_proved() {
    let (shelf, content) = (Shelf::open(), content());
    let list = list(&content);
    let checked = verify::pieces::check(&list, &content).unwrap();
    shelf.keep(&checked);
    let board = shelf.board(&list.sha256().to_string()).unwrap();
    assert_eq!(board.states(), b"2");
    assert_eq!(given(&board, 10..20).unwrap(), content[10..20]);
    assert_eq!(shelf.size(), content.len() as u64);
}

#[test]
fn a_closed_shelf_takes_everything_and_has_nothing() {
    let (shelf, buffer) = (Shelf::closed(), SharedBuffer::reserve("test", PIECE).unwrap());
    let name = Sha256Digest::of(b"x");
    let board = shelf.put_up(name, PIECE as u64, PIECE as u64, buffer.reader(), 0);
    board.fetching(0);
    board.dropped(0);
    assert_eq!((board.states().len(), board.given(&(0..1)).is_some()), (0, false));
    assert!(shelf.board(&name.to_string()).is_none() && !shelf.is_open());
}

#[test]
fn a_board_is_replaced_by_one_of_its_name_and_their_number_ends() {
    let (shelf, buffer) = (Shelf::open(), SharedBuffer::reserve("test", PIECE).unwrap());
    let put_up = |byte: u8, size: u64| shelf.put_up(Sha256Digest::of(&[byte]), size, 1, buffer.reader(), 0);
    let first = put_up(1, 10);
    first.fetching(3);
    let again = put_up(1, 10);
    assert_eq!((first.states(), again.states()), (b"0001000000".to_vec(), b"0000000000".to_vec()));
    for byte in 2..100 {
        put_up(byte, 10);
    }
    assert_eq!(shelf.size(), 10 * BOARDS as u64);
    put_up(1, 20);
    assert_eq!(shelf.size(), 10 * BOARDS as u64 + 10, "one of its name still finds its place");
    assert!(put_up(2, PIECES + 1).states().is_empty());
}
