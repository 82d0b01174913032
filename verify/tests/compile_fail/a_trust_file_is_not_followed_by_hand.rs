//! A trust file in force was signed by the one before it: nobody makes a walk that never was.

use verify::{Followed, Trust};

fn declare(trust: Trust) -> Followed<()> {
    Followed { trust, accepted: Vec::new(), refused: Vec::new() }
}

fn main() {}
