//! A kernel that differs from the signed digest by one bit never reaches kexec.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn and_says_which_digest_was_wanted() {
    let tree = Release::default().publish();
    tree.flip_bit_of_blob("vmlinuz");
    let server = Serve::tree(tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("download", "digest", &["vmlinuz", "SHA-256", "wanted"]);
    boot.powers_off();
}
