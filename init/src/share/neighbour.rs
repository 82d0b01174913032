//! A machine of the link that shares: asked what it has before it is asked for bytes.

use std::time::{Duration, Instant};

use discover::{FetchError, Hangup, Origin, OriginError};

use super::shelf::PieceState;

/// Longest wait for the state of a blob: a neighbour is one hop away, and there are others.
const PATIENCE: Duration = Duration::from_secs(1);

/// A machine of the link that shares.
#[derive(Debug)]
pub struct Neighbour {
    origin: Box<Origin>,
}

impl Neighbour {
    /// The neighbour at this place, which has to be an address of the link ([`Origin::on_link`]).
    pub fn at(origin: Origin) -> Result<Self, OriginError> {
        Ok(Self { origin: Box::new(origin.on_link()?) })
    }

    /// Where it serves.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it says of the `pieces` pieces of a blob. It may not know of the blob yet, and then has none of them.
    pub(crate) fn holds(&self, hex: &str, pieces: usize, hangup: &Hangup) -> Result<Vec<PieceState>, FetchError> {
        let origin = Origin::clone(&self.origin).with_hangup(hangup);
        let bytes = match origin.share(hex, pieces as u64, Instant::now() + PATIENCE) {
            Err(FetchError::Status { code: 404, .. }) => return Ok(vec![PieceState::Missing; pieces]),
            outcome => outcome?,
        };
        let states: Option<Vec<_>> = bytes.iter().copied().map(PieceState::from_byte).collect();
        states.filter(|states| states.len() == pieces).ok_or_else(|| FetchError::Protocol {
            url: format!("{}/share/{hex}", self.origin),
            reason: format!("{} bytes, wanted {pieces} of '0', '1' and '2'", bytes.len()),
        })
    }
}
