//! `make bench`: bytes proved per second, as a part of what `openssl speed` hashes on the same core.
//!
//! In each round, one after the other: an artifact of [`SIZE`] bytes in pieces proved by [`verify::pieces::check`] in one
//! thread, and OpenSSL's SHA-256 over blocks of the size of a piece. Both count processor time. The promise is
//! [`WANTED`]; exit status 1 if it is not kept.

#[path = "../tests/support/release.rs"]
mod release;
mod support;

use std::process::{Command, ExitCode};

use support::{Error, median, processor_seconds, stay_on_one_core, verdict};
use verify::{Artifact, ArtifactError, Chunks, PieceList, Pieces, Sha256Digest, pieces};

/// Bytes that are proved: more than any cache holds.
const SIZE: u32 = 256 << 20;
/// Rounds; an odd number.
const ROUNDS: usize = 7;
/// Least that is proved, of what OpenSSL hashes in the same time.
const WANTED: f64 = 0.95;

fn main() -> Result<ExitCode, Error> {
    stay_on_one_core()?;
    let bytes: Vec<u8> = (0..SIZE / 4).flat_map(u32::to_le_bytes).collect();
    let list = listed(&bytes)?;
    println!("{:>5} {:>10} {:>10} {:>7}", "round", "verify", "openssl", "ratio");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (seconds, checked) = processor_seconds(|| pieces::check(&list, &bytes));
        checked?;
        ours.push(f64::from(SIZE) / seconds / 1e6);
        theirs.push(openssl()? / 1e6);
        let (ours, theirs) = (ours[round - 1], theirs[round - 1]);
        println!("{round:>5} {ours:>5.0} MB/s {theirs:>5.0} MB/s {:>7.2}", ours / theirs);
    }
    let ratio = median(ours) / median(theirs);
    let what = format!("bytes proved, of what openssl speed hashes (medians of {ROUNDS} rounds)");
    Ok(verdict(&what, ratio, &format!(">= {WANTED:.2}"), ratio >= WANTED))
}

fn listed(bytes: &[u8]) -> Result<PieceList, Error> {
    let digests = bytes.chunks(usize::try_from(Pieces::USUAL_SIZE)?).flat_map(|piece| Sha256Digest::of(piece).0);
    let list = digests.collect::<Vec<u8>>();
    let pieces = Pieces::new(SIZE.into(), Pieces::USUAL_SIZE, Chunks::List { list_sha256: Sha256Digest::of(&list) })?;
    // With pieces, the digest of the whole is a name.
    let sha256 = Sha256Digest::of(b"");
    let artifact = Artifact { name: "bench".to_owned(), size: SIZE.into(), sha256, pieces: Some(pieces) };
    Ok(PieceList::load::<ArtifactError>(&release::signed(&artifact), |_| Ok(list))?)
}

/// Bytes per second of OpenSSL, by its own account: the last field of the line `+F:<number>:sha256:<bytes per second>`.
fn openssl() -> Result<f64, Error> {
    let block = Pieces::USUAL_SIZE.to_string();
    let arguments = ["speed", "-mr", "-seconds", "1", "-bytes", &block, "-evp", "sha256"];
    let output = Command::new("openssl").args(arguments).output();
    let output = output.map_err(|error| format!("openssl (package openssl): {error}"))?;
    let text = String::from_utf8(output.stdout)?;
    let figure = text.lines().find(|line| line.starts_with("+F:")).and_then(|line| line.rsplit(':').next());
    Ok(figure.ok_or_else(|| format!("openssl speed printed no figure: {text:?}"))?.parse()?)
}
