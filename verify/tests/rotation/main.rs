//! Rotation as an owner lives it: three rotations, after each of them every attack that we can think of, and the way
//! back from what a stolen key did to a fleet. Only the public API is used, in the order in which `init` uses it.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used, clippy::panic)]

mod attacks;
mod machine;
mod owner;
mod recovery;
mod walk;
