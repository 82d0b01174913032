//! `make bench`: the memory that verifying takes beside the place where the bytes go.
//!
//! A process of its own receives and proves an artifact of [`SIZE`] bytes in pieces ([`verify::pieces::stream`]) in memory
//! of exactly that size, then reads the most that it ever had resident (`VmHWM` of /proc/self/status): program, stacks,
//! the list of the pieces and all else. What is left without the destination is the figure. The promise is [`WANTED`]
//! MiB at most; exit status 1 if it is not kept.

#[path = "../tests/support/release.rs"]
mod release;
mod support;

use std::fs;
use std::process::{Command, ExitCode};

use support::{Error, verdict};
use verify::pieces::{Destination, Filling, stream};
use verify::{Artifact, ArtifactError, Chunks, PieceList, Pieces, Sha256Digest};

/// Bytes of the artifact.
const SIZE: usize = 1 << 30;
/// Bytes of a piece, and of a read of the source.
const PIECE: usize = 1 << 20;
/// Most MiB beside the destination.
const WANTED: f64 = 16.0;

fn main() -> Result<ExitCode, Error> {
    if std::env::var_os("PHASE_BENCH_CHILD").is_some() {
        let list = listed()?;
        let mut destination = vec![0; SIZE];
        prove(&list, &mut destination)?;
        println!("{}", peak()?);
        return Ok(ExitCode::SUCCESS);
    }
    let output = Command::new(std::env::current_exe()?).env("PHASE_BENCH_CHILD", "1").output()?;
    if !output.status.success() {
        return Err(format!("the process that verifies failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let peak: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
    let beside = f64::from(peak) / 1024.0 - f64::from(u32::try_from(SIZE >> 20)?);
    println!(
        "most that was resident: {:.1} MiB, of which the destination has {}",
        f64::from(peak) / 1024.0,
        SIZE >> 20
    );
    let what = "MiB beside the destination of 1 GiB";
    Ok(verdict(what, beside, &format!("<= {WANTED:.0}"), (0.0..=WANTED).contains(&beside)))
}

/// Receives all of it from a source that makes its bytes up.
fn prove(list: &PieceList, bytes: &mut [u8]) -> Result<(), ArtifactError> {
    let mut destination = Destination::new(list, bytes)?;
    destination.lend(|missing| {
        let make_up = |filling: &mut Filling<'_>| {
            make_up(filling);
            Ok(())
        };
        let checked = missing.into_iter().filter_map(|piece| stream::<ArtifactError>(piece, make_up).ok());
        (checked.collect(), ())
    });
    destination.finish().map(drop)
}

fn make_up(filling: &mut Filling<'_>) {
    while !filling.space().is_empty() {
        let number = usize::try_from(filling.position()).unwrap_or(usize::MAX) / PIECE;
        let space = filling.space();
        space.fill(byte(number));
        let count = space.len();
        filling.filled(count);
    }
}

/// What piece `number` consists of.
fn byte(number: usize) -> u8 {
    number.to_le_bytes()[0] ^ number.to_le_bytes()[1].wrapping_mul(37)
}

fn listed() -> Result<PieceList, Error> {
    let digests = (0..SIZE / PIECE).flat_map(|number| Sha256Digest::of(&vec![byte(number); PIECE]).0);
    let list = digests.collect::<Vec<u8>>();
    let chunks = Chunks::List { list_sha256: Sha256Digest::of(&list) };
    let pieces = Pieces::new(SIZE as u64, PIECE as u64, chunks)?;
    // With pieces, the digest of the whole is a name.
    let sha256 = Sha256Digest::of(b"");
    let artifact = Artifact { name: "bench".to_owned(), size: SIZE as u64, sha256, pieces: Some(pieces) };
    Ok(PieceList::load::<ArtifactError>(&release::signed(&artifact), |_| Ok(list))?)
}

/// The most that was resident, in KiB.
fn peak() -> Result<u32, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("no VmHWM in /proc/self/status")?.parse()?)
}
