//! Nor can a proof be kept for a later call, in which the bytes could be others.

use verify::pieces::{CheckedPiece, Destination};

fn keep(destination: &mut Destination<'_, '_>) {
    let mut kept: Vec<CheckedPiece<'_>> = Vec::new();
    destination.lend(|pieces| {
        kept.extend(pieces.into_iter().filter_map(|piece| piece.check().ok()));
        (Vec::new(), ())
    });
    destination.lend(|_| (kept, ()));
}

fn main() {}
