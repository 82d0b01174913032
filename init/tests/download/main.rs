//! Downloads from several origins, as PID 1 does them, against a real nginx whose trees are what the test wants them to be,
//! and servers that misbehave.

// A test that cannot go on says so by panicking, and so does what it stands on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use verify::{Artifact, Sha256Digest};

use crate::content::{PIECE, content, in_pieces, listed, right, wrong};
use crate::servers::{Machine, Nginx, pool};

mod content;
mod many;
mod servers;

/// Starts nginx.
#[path = "../../../discover/tests/support/nginx.rs"]
mod nginx;

/// Signs releases.
#[path = "../../../verify/tests/support/release.rs"]
mod release;

#[test]
fn one_source_is_one_request_and_one_stream() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put("one", &content);
    right(server.download(&artifact, &["one"]), &content);
    assert_eq!(server.log(), [format!("/one/blobs/sha256/{} 200 -", artifact.sha256)]);
}

#[test]
fn a_lie_costs_its_source_the_rest() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    // In its first piece, which nobody takes over from it.
    server.put_as("lying", artifact.sha256, &wrong(&content, 0));
    server.put("honest", &content);
    let (machine, sources) = (Machine::new(), pool(&["lying", "honest"].map(|tree| server.base(tree))));
    for _ in 0..2 {
        right(machine.download(&artifact, &sources), &content);
        let log = server.log();
        let asked: Vec<_> = log.iter().filter(|line| line.starts_with("/lying/")).collect();
        // Its share, and nothing more: neither then nor later.
        assert_eq!(asked, [&format!("/lying/blobs/sha256/{} 206 bytes=0-{}", artifact.sha256, 7 * PIECE - 1)]);
    }
}

#[test]
fn two_liars_are_as_good_as_one_honest_source_if_they_lie_about_different_pieces() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    // The second one gets the first piece only if the first one does not give it.
    server.put_as("one", artifact.sha256, &wrong(&content, 5));
    server.put_as("two", artifact.sha256, &wrong(&content, 0));
    right(server.download(&artifact, &["one", "two"]), &content);
}

#[test]
fn nothing_is_given_out_if_all_lie_about_the_same_piece() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    for tree in ["one", "two"] {
        server.put_as(tree, artifact.sha256, &wrong(&content, 5));
    }
    let refused = server.download(&artifact, &["one", "two"]).unwrap_err();
    let bytes = format!("root: the SHA-256 of bytes {} to {} is ", 5 * PIECE, 6 * PIECE - 1);
    assert_eq!(refused.matches(&bytes).count(), 2, "{refused}");
    assert!(refused.starts_with("root came from no source: http://127."), "{refused}");
}

#[test]
fn what_is_not_there_or_too_short_costs_only_a_question() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put_as("short", artifact.sha256, &content[..PIECE]);
    server.put("whole", &content);
    right(server.download(&artifact, &["none", "short", "whole"]), &content);
}

#[test]
fn a_list_of_pieces_comes_from_whoever_has_it_right() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, list) = listed(&content);
    let list_sha256 = Sha256Digest::of(&list);
    let mut evil = list.clone();
    evil[40] ^= 1;
    server.put_as("evil", list_sha256, &evil);
    server.put("evil", &content);
    server.put("whole", &content);
    server.put("whole", &list);
    right(server.download(&artifact, &["evil", "bare", "whole"]), &content);
    let asked = ["evil", "bare", "whole"].map(|tree| format!("/{tree}/blobs/sha256/{list_sha256} "));
    let log = server.log();
    assert!(log.iter().zip(&asked).all(|(line, asked)| line.starts_with(asked)), "{log:?}");
    assert!(log[3..].iter().all(|line| !line.starts_with("/evil/")), "who lied about the list is asked on: {log:?}");
}

#[test]
fn without_a_list_no_piece_is_asked_for() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, list) = listed(&content);
    server.put("bare", &content);
    let refused = server.download(&artifact, &["bare"]).unwrap_err();
    assert!(refused.starts_with("root.pieces came from no source: "), "{refused}");
    assert_eq!(server.log(), [format!("/bare/blobs/sha256/{} 404 -", Sha256Digest::of(&list))]);
}

#[test]
fn an_artifact_without_pieces_comes_whole_from_the_next_source() {
    let (content, server) = (content(), Nginx::start());
    let artifact = Artifact { pieces: None, ..in_pieces(&content).0 };
    server.put_as("lying", artifact.sha256, &wrong(&content, 5));
    server.put("honest", &content);
    right(server.download(&artifact, &["lying", "honest"]), &content);
    let log = server.log();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|line| line.ends_with(" 200 -")), "{log:?}");
}
