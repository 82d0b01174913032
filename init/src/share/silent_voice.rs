//! A build without multicast DNS cannot say anything on the link, and so shares nothing.

use super::ShareError;

/// There is none.
#[derive(Debug)]
pub(super) enum Voice {}

impl Voice {
    /// Says nothing.
    pub(super) fn say(_: &str, _: u16, _: (&str, &str), _: u64) -> Result<Self, ShareError> {
        Err(ShareError::NotBuilt)
    }
}
