//! Nothing converts into `Verified`.

use verify::{Manifest, Verified};

fn convert(manifest: Manifest) -> Verified<Manifest> {
    manifest.into()
}

fn main() {}
