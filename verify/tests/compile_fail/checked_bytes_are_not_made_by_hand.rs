//! Bytes of an artifact are proved, not declared.

use verify::{CheckedBytes, Sha256Digest};

fn main() {
    let _ = CheckedBytes { name: String::new(), digest: Sha256Digest::of(b""), bytes: b"evil" };
}
