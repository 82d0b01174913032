//! Nor does anybody put another trust file at the end of a walk.

use verify::{Followed, Trust};

fn replace(followed: &mut Followed<()>, trust: Trust) {
    followed.trust = trust;
}

fn main() {}
