//! What a machine remembers from one boot to the next (docs/formats.md, "State").

use crate::time::Timestamp;

/// What a machine's memory demands of a release. The default demands nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floors {
    /// The highest version that was acknowledged.
    pub version: u64,
    /// The highest epoch of a trust file under which one was.
    pub epoch: u64,
    /// The latest `issued` of those: a moment that has certainly passed.
    pub issued: Option<Timestamp>,
}
