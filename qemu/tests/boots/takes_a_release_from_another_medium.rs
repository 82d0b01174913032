//! In private mode, too, the newest *verified* release wins, from whatever has it whole.

use crate::support::{Boot, Lab, Medium, Release};

#[test]
fn if_a_bit_of_one_is_flipped() {
    let release = |version| Release { version, handoff: "direct", ..Release::default() }.publish();
    let (carried, forged, good) = (release(7), release(8), release(7));
    // The same release twice: the manifest's own time must not make two of it.
    carried.copy_to(&good);
    carried.flip_bit_of_blob("tiny");
    forged.flip_bit_of_manifest();
    let directory = tempfile::tempdir().unwrap();
    let (stick, disc) = (Medium::fat("PHASE", &forged), Medium::iso("PHASE", &good));
    let machine = Lab::ready().carrying_machine(&carried, &directory.path().join("initrd"));
    let mut boot = Boot::start(&machine.read_only_disk(&disc.path()).disk(&stick.path()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!((&receipt["version"], &receipt["mode"]), (&7.into(), &"private".into()));
    for words in ["/dev/vdb: refused: ", "/phase/release: tiny.squashfs: "] {
        assert!(boot.says(words), "the console does not say {words:?}");
    }
}
