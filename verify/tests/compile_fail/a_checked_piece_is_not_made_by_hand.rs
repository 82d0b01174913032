//! A piece is proved by its digest, not declared, and its proof is not taken for a second one.

use verify::pieces::{CheckedPiece, Piece};

fn declare<'r>(piece: Piece<'r>) -> CheckedPiece<'r> {
    CheckedPiece(piece.place)
}

fn twice<'r>(piece: CheckedPiece<'r>) -> Vec<CheckedPiece<'r>> {
    vec![piece.clone(), piece]
}

fn main() {}
