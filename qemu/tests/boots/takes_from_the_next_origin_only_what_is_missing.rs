//! An origin that lies about one piece of an artifact costs that piece and what was not sent yet, not the boot and not
//! what was proved: the other origin, which gave its own part meanwhile, is asked for the missing bytes alone.

use std::{path::PathBuf, time::Duration};

use crate::support::{Boot, Fault, Hostile, Lab, Release, text};

/// Bytes of a piece, as `phase publish` cuts them.
const PIECE: usize = 1 << 20;

#[test]
fn with_the_digests_of_the_pieces_in_the_manifest() {
    boots_from_two("20", 0);
}

#[test]
fn with_the_digests_of_the_pieces_in_a_list() {
    boots_from_two("70", 1);
}

/// Boots a root of so many megabytes from an origin that flips a bit in its middle and one that does not; `lists` is how
/// many lists of pieces the release has.
fn boots_from_two(megabytes: &str, lists: usize) {
    let lab = Lab::ready();
    let directory = tempfile::tempdir().unwrap();
    let rootfs: PathBuf = directory.path().join("root.squashfs");
    lab.phase(&["lab", "tiny-root", "--size", megabytes, "--out", text(&rootfs)]);
    let size = usize::try_from(rootfs.metadata().unwrap().len()).unwrap();

    let honest = Release { handoff: "direct", rootfs: Some(rootfs), ..Release::default() }.publish();
    let lying = honest.copy();
    lying.flip_bit_of_blob("root.squashfs");
    let root = honest.blob("root.squashfs");
    let lying = Hostile::tree(lying, "", Fault::None);
    let honest = Hostile::tree(honest, "/manifest", Fault::Late(Duration::from_secs(2))).hesitating();

    let machine = lab.machine().append(&lying.origin()).append(&honest.origin());
    let mut boot = Boot::start(&machine);
    // Else the honest one, were it done first, would take the lie over from the other's half.
    lying.wait_until_sent(&root);
    honest.goes_on();
    boot.reaches_the_release("direct");

    let bad = size / 2 / PIECE * PIECE;
    let lie = format!("root.squashfs: the SHA-256 of bytes {bad} to {} is ", bad + PIECE - 1);
    assert!(boot.says(&lie), "the console does not say which bytes were wrong");
    // Each is asked for a half at first, and the lie is in that of the first one.
    let half = size.div_ceil(PIECE).div_ceil(2) * PIECE;
    let parts = |server: &Hostile| {
        let mut parts = server.parts(&root);
        parts.sort_by_key(|part| part.start);
        parts
    };
    assert_eq!(parts(&lying).as_slice(), std::slice::from_ref(&(0..half)), "who lied was asked for more");

    let asked = parts(&honest);
    assert_eq!(asked[0].start, bad, "what was proved before the lie stays: {asked:?}");
    assert!(asked.iter().all(|part| part.start % PIECE == 0), "whole pieces: {asked:?}");
    assert!(asked.iter().zip(&asked[1..]).all(|(one, next)| one.end <= next.start), "no byte twice: {asked:?}");
    let others = |server: &Hostile| server.requests().iter().filter(|path| path.contains("/blobs/")).count();
    assert_eq!((others(&lying), others(&honest)), (1 + lists, asked.len()), "blobs that were asked for");
}
