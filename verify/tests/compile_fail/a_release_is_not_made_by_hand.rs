//! `Verified` comes from a check alone: its fields are private.

use verify::{Manifest, Sha256Digest, Verified};

fn forge(manifest: Manifest) -> Verified<Manifest> {
    Verified { value: manifest, digest: Sha256Digest::of(b""), key_ids: Vec::new(), warnings: Vec::new() }
}

fn main() {}
