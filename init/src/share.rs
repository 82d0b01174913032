//! Sharing (`phase.share=1`, docs/formats.md "Sharing"): what this machine has proved of a release is given to its neighbours
//! on the link, from the first proved piece until the jump.

pub mod neighbour;
pub mod shelf;
