//! Tables that sgdisk and sfdisk made, and what can be wrong with one.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use super::*;

const FIRST: &str = "11111111-2222-3333-4444-555555555555";
const SECOND: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";
const SIZE: u64 = 8 << 20;

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn empty(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("disk");
    std::fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    path
}

fn made_by_sgdisk() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = empty(directory.path());
    let mut sgdisk = Command::new("sgdisk");
    sgdisk.args(["-n", "1:2048:4095", "-u", &format!("1:{FIRST}"), "-n", "5:6144:8191", "-u", &format!("5:{SECOND}")]);
    run(sgdisk.arg(&path));
    std::fs::read(path).unwrap()
}

fn made_by_sfdisk() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = empty(directory.path());
    let table = directory.path().join("table");
    let partitions = format!("start=2048, size=2048, uuid={FIRST}\nstart=6144, size=2048, uuid={SECOND}\n");
    std::fs::write(&table, format!("label: gpt\n{partitions}")).unwrap();
    run(Command::new("sfdisk").args(["--quiet", "--no-reread"]).arg(&path).stdin(std::fs::File::open(table).unwrap()));
    std::fs::read(path).unwrap()
}

fn look(disk: &[u8], wanted: &str) -> Result<Option<Found>, GptError> {
    find(&mut Cursor::new(disk), disk.len() as u64, 512, &wanted.parse().unwrap())
}

fn refused(disk: &[u8]) -> String {
    look(disk, SECOND).unwrap_err().to_string()
}

#[test]
fn partitions_that_other_tools_made_are_found() {
    let start = 6144 * 512;
    assert_eq!(look(&made_by_sgdisk(), SECOND).unwrap(), Some(Found { number: 5, start }));
    let disk = made_by_sfdisk();
    assert_eq!(look(&disk, SECOND).unwrap(), Some(Found { number: 2, start }));
    assert_eq!(look(&disk, FIRST).unwrap(), Some(Found { number: 1, start: 1 << 20 }));
    assert_eq!(look(&disk, "0b7b5b4e-9a1c-4d7e-8f00-112233445567").unwrap(), None);
}

#[test]
fn the_second_header_counts_if_the_first_is_damaged() {
    let whole = made_by_sfdisk();
    for damaged in [512, 512 + 40, 1024 + 20] {
        let mut disk = whole.clone();
        disk[damaged] ^= 1;
        assert_eq!(look(&disk, SECOND).unwrap().map(|found| found.number), Some(2), "byte {damaged}");
        // Both headers damaged: then it is the first of which is said what is wrong.
        let last = disk.len() - 512;
        disk[last] ^= 1;
        assert!(look(&disk, SECOND).is_err(), "byte {damaged}");
    }
}

#[test]
fn every_flipped_bit_of_both_headers_is_noticed() {
    let whole = made_by_sfdisk();
    let mut disk = whole.clone();
    let last = disk.len() - 512;
    disk[last..last + 8].fill(0);
    for bit in 0..HEADER * 8 {
        let mut disk = disk.clone();
        disk[512 + bit / 8] ^= 1 << (bit % 8);
        assert!(look(&disk, SECOND).is_err(), "bit {bit}");
    }
}

#[test]
fn other_disks_are_named() {
    assert!(refused(&vec![0; 1 << 20]).contains("there is no header"));
    assert!(refused(&[0; 700]).contains("cannot be read"));
    let error = find(&mut Cursor::new([0; 4096]), 4096, 520_000, &SECOND.parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("520000 bytes"), "{error}");
}

/// A disk whose first header says what `change` makes it say, with a right checksum, and that has no second one.
fn altered(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut disk = made_by_sfdisk();
    let last = disk.len() - 512;
    disk[last..].fill(0);
    change(&mut disk[512..1024]);
    let header = 512..512 + HEADER;
    disk[512 + 16..512 + 20].fill(0);
    let sum = crc32(&disk[header]);
    disk[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
    disk
}

#[test]
fn impossible_numbers_are_refused_before_they_cost_anything() {
    assert!(look(&altered(|_| {}), SECOND).unwrap().is_some(), "unaltered it is found");
    for (at, value, says) in [
        (80, u32::MAX, "larger or more"),
        (80, 1025, "larger or more"),
        (84, u32::MAX, "larger or more"),
        (84, 0, "larger or more"),
        (84, 129, "larger or more"),
        (24, 2, "another place"),
    ] {
        let disk = altered(|header| header[at..at + 4].copy_from_slice(&value.to_le_bytes()));
        let error = refused(&disk);
        assert!(error.contains(says), "{at}: {error}");
    }
    let far = altered(|header| header[72..80].fill(0xff));
    assert!(refused(&far).contains("cannot be read"));
    let mut huge = altered(|_| {});
    huge[512 + 12..512 + 16].fill(0xff);
    assert!(refused(&huge).contains("impossible size"));
}

#[test]
fn the_checksum_is_that_of_the_specification() {
    // The check value of CRC-32/ISO-HDLC in every catalogue of CRCs.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
