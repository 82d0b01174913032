//! What a release changes in its root is there at the next boot if the machine's owner and the release's publisher both want it;
//! another release of the same channel, which does not, sees nothing of it.

use crate::support::{Keeper, PhaseData};

#[test]
fn and_a_release_that_does_not_want_it_sees_nothing() {
    let disk = PhaseData::ext4();
    let program =
        "$b cp $b /etc/busybox; [ -f /etc/kept ] && /etc/busybox echo phase-test: a program that was written runs";
    let keeper = Keeper::new(1, "A", program);
    keeper.boots(Some(&disk), "").keeps("");
    let second = keeper.boots(Some(&disk), "");
    second.keeps("A");
    assert!(second.boot.says("phase-test: a program that was written runs"));
    assert!(second.boot.says("phase-test: shown: data work"), "the partition's other files are shown");
    let other = Keeper::new(2, "B", ":").direct().not_allowed().boots(Some(&disk), "");
    other.has_no_upper();
    assert!(other.boot.says("changes to the release's root are not kept in this boot: this release does not allow it"));
}
