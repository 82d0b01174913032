//! docs/quick-start-qemu.md works when it is typed as it stands.

use crate::support::QuickStart;

#[test]
fn to_the_releases_own_words() {
    let followed = QuickStart::follow("docs/quick-start-qemu.md");
    assert!(followed.said().contains("phase-test: release pid 1 reached"), "{}", followed.said());
}
