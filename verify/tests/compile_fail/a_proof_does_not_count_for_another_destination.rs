//! The pieces of two destinations have two lifetimes that nothing makes one.

use verify::PieceList;
use verify::pieces::Destination;

fn swap(list: &PieceList, good: &mut [u8], evil: &mut [u8]) {
    let mut proved = Destination::new(list, good).unwrap();
    let mut never = Destination::new(list, evil).unwrap();
    proved.lend(|pieces| {
        let checked: Vec<_> = pieces.into_iter().filter_map(|piece| piece.check().ok()).collect();
        never.lend(|_| (checked, ()));
        (Vec::new(), ())
    });
}

fn main() {}
