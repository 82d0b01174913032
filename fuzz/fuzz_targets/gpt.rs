//! The GPT reader: any disk gives an answer, without a panic and without more memory than its limits. The input is the
//! beginning of a disk, whose checksums are put right first, so that they do not hide what stands behind them.

#![no_main]

use std::io::Cursor;

use init::store::gpt;
use libfuzzer_sys::fuzz_target;
use verify::PartUuid;

const BLOCK: usize = 512;
const PARTUUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";

fuzz_target!(|disk: &[u8]| {
    let wanted: PartUuid = PARTUUID.parse().unwrap();
    let size = disk.len() as u64;
    _ = gpt::find(&mut Cursor::new(disk), size, BLOCK, &wanted);
    let mut disk = disk.to_vec();
    if put_right(&mut disk).is_none() {
        return;
    }
    match gpt::find(&mut Cursor::new(&disk), size, BLOCK, &wanted) {
        Ok(Some(found)) => assert!(found.number >= 1 && found.start % BLOCK as u64 == 0 || found.start == u64::MAX),
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
});

/// Puts both checksums of the first header right, where what they are of lies on the disk.
fn put_right(disk: &mut [u8]) -> Option<()> {
    let number = |disk: &[u8], at: usize| Some(u32::from_le_bytes(disk.get(at..at + 4)?.try_into().ok()?) as usize);
    let header = BLOCK;
    let table = number(disk, header + 72)?.checked_mul(BLOCK)?;
    let length = number(disk, header + 80)?.checked_mul(number(disk, header + 84)?)?;
    if let Some(entries) = disk.get(table..table.checked_add(length)?) {
        let sum = crc32(entries).to_le_bytes();
        disk.get_mut(header + 88..header + 92)?.copy_from_slice(&sum);
    }
    let size = number(disk, header + 12)?;
    disk.get_mut(header + 16..header + 20)?.fill(0);
    let sum = crc32(disk.get(header..header.checked_add(size)?)?).to_le_bytes();
    disk.get_mut(header + 16..header + 20)?.copy_from_slice(&sum);
    Some(())
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
