//! Who counts signatures has a role that was checked: a threshold of at least one, of distinct keys.

use verify::Role;

fn main() {
    let _ = Role { threshold: 0, keys: Vec::new() };
}
