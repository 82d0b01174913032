//! Finds a partition in a GPT (UEFI Specification 2.10, chapter 5) by its unique GUID.
//!
//! The kernel has read the table before us and made the partitions; what it does not say before Linux 6.9 is which GUID
//! each has. So this reads just that, from any disk that happens to be there, and takes nothing for granted: both checksums
//! are checked, every number has a limit, and if the first header is damaged, the one at the end of the disk counts.

use std::io::{self, Read, Seek, SeekFrom};

use verify::PartUuid;

/// "EFI PART", little-endian.
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Bytes of a header that mean something.
const HEADER: usize = 92;
/// Smallest entry in bytes; larger ones are this times a power of two.
const ENTRY: usize = 128;
/// Largest entry in bytes that is read.
const LARGEST_ENTRY: usize = 4096;
/// Most bytes of entries that are read: eight times what every tool makes.
const LARGEST_TABLE: usize = 128 << 10;
/// Sizes of logical blocks that disks have, in bytes.
const BLOCK_SIZES: std::ops::RangeInclusive<usize> = 512..=4096;

/// Why a disk has no table that can be used.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The disk cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Blocks of another size than any disk has.
    #[error("it has blocks of {seen} bytes, wanted 512 to 4096")]
    BlockSize {
        /// Bytes.
        seen: usize,
    },
    /// No header, or one that was damaged.
    #[error("it has no GPT: {0}")]
    Header(&'static str),
}

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its number, from 1 on, as in the name of its device.
    pub number: u32,
    /// Its first byte on the disk.
    pub start: u64,
}

/// What a header says of the entries.
#[derive(Debug)]
struct Header {
    table_block: u64,
    entries: usize,
    entry_size: usize,
    checksum: u32,
}

/// Looks for `wanted` in the table of a disk of `size` bytes with blocks of `block` bytes.
pub fn find(
    disk: &mut (impl Read + Seek),
    size: u64,
    block: usize,
    wanted: &PartUuid,
) -> Result<Option<Found>, GptError> {
    if !BLOCK_SIZES.contains(&block) {
        return Err(GptError::BlockSize { seen: block });
    }
    let last = (size / block as u64).saturating_sub(1);
    find_by(disk, 1, block, wanted).or_else(|first| match first {
        // A disk that cannot be read at its beginning is not waited for at its end.
        GptError::Read(_) => Err(first),
        _ => find_by(disk, last, block, wanted).map_err(|_| first),
    })
}

/// The same, by the header that stands in block `own`.
fn find_by(
    disk: &mut (impl Read + Seek),
    own: u64,
    block: usize,
    wanted: &PartUuid,
) -> Result<Option<Found>, GptError> {
    let mut bytes = vec![0; block];
    read_at(disk, own, block, &mut bytes)?;
    let header = Header::parse(&bytes, own)?;
    let mut table = vec![0; header.entries * header.entry_size];
    read_at(disk, header.table_block, block, &mut table)?;
    if crc32(&table) != header.checksum {
        return Err(GptError::Header("the checksum of its entries is wrong"));
    }
    let mut entries = (1_u32..).zip(table.chunks_exact(header.entry_size));
    let found = entries.find(|(_, entry)| guid(&entry[16..32]) == wanted.as_str());
    Ok(found.map(|(number, entry)| Found { number, start: u64_at(entry, 32).saturating_mul(block as u64) }))
}

fn read_at(disk: &mut (impl Read + Seek), number: u64, block: usize, bytes: &mut [u8]) -> io::Result<()> {
    disk.seek(SeekFrom::Start(number.saturating_mul(block as u64)))?;
    disk.read_exact(bytes)
}

impl Header {
    /// Reads the header that stands in block `own` of a disk.
    fn parse(bytes: &[u8], own: u64) -> Result<Self, GptError> {
        if bytes.get(..8) != Some(SIGNATURE) || bytes.len() < HEADER {
            return Err(GptError::Header("there is no header"));
        }
        let size = usize::try_from(u32_at(bytes, 12)).unwrap_or(usize::MAX);
        let Some(header) = bytes.get(..size).filter(|_| size >= HEADER) else {
            return Err(GptError::Header("its header has an impossible size"));
        };
        let mut unsummed = header.to_vec();
        unsummed[16..20].fill(0);
        if crc32(&unsummed) != u32_at(header, 16) {
            return Err(GptError::Header("the checksum of its header is wrong"));
        }
        if u64_at(header, 24) != own {
            return Err(GptError::Header("its header belongs to another place"));
        }
        let entries = usize::try_from(u32_at(header, 80)).unwrap_or(usize::MAX);
        let entry_size = usize::try_from(u32_at(header, 84)).unwrap_or(usize::MAX);
        let plain = (ENTRY..=LARGEST_ENTRY).contains(&entry_size) && entry_size.is_power_of_two();
        if !plain || entries > LARGEST_TABLE / entry_size {
            return Err(GptError::Header("its entries are larger or more than any tool makes"));
        }
        Ok(Self { table_block: u64_at(header, 72), entries, entry_size, checksum: u32_at(header, 88) })
    }
}

/// A GUID as text: its first three parts are little-endian (UEFI Specification 2.10, appendix A).
fn guid(bytes: &[u8]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (place, &at) in ORDER.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [bytes[at] >> 4, bytes[at] & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// CRC-32 as in Ethernet, bit by bit: a table would be larger than what it is for.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests;
