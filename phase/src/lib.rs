//! The host side of Phase Boot: keys, signatures, the published tree, a server for it, images and machines to try them.
//!
//! One module per subcommand, each with its `Args` and a `run`; what they share is in [`clock`], [`key`], [`output`],
//! [`progress`] and [`signer`]. Nothing here runs inside a booted machine.

pub mod announce;
pub mod boot;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod demo;
pub mod image;
pub mod kexec;
pub mod key;
pub mod keygen;
pub mod lab;
pub mod measure;
pub mod measured;
pub mod output;
pub mod progress;
pub mod publish;
pub mod put_live;
pub mod search;
pub mod serve;
pub mod sign;
pub mod signer;
pub mod size;
pub mod tree;
pub mod trust;
