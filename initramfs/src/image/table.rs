//! The partition table: GPT behind a protective MBR whose code starts GRUB (UEFI specification 2.10, chapter 5).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek, Write},
    ops::Range,
};

use gpt::{
    GptConfig,
    mbr::ProtectiveMBR,
    partition::Partition,
    partition_types::{BIOS, EFI, LINUX_FS, Type},
};
use uuid::Uuid;

use super::{
    DiskError,
    identity::Identity,
    layout::{Layout, SECTOR},
};

/// Writes both tables and the MBR with `boot_code`. `data` is the GUID of the partition PHASE-DATA.
pub(super) fn write(
    image: &mut File,
    layout: &Layout,
    identity: &Identity,
    data: Option<Uuid>,
    boot_code: &[u8; 440],
) -> Result<(), DiskError> {
    let mut partitions = BTreeMap::from([
        (1, partition("BIOS boot", BIOS, identity.guid("bios"), &layout.bios)),
        (2, partition("PHASE-BOOT", EFI, identity.guid("boot"), &layout.boot)),
    ]);
    if let (Some(range), Some(guid)) = (&layout.data, data) {
        partitions.insert(3, partition("PHASE-DATA", LINUX_FS, guid, range));
    }
    let sectors = layout.size / SECTOR;
    // A disk of 2 TiB and more is all that 32 bits can say.
    let mut mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    mbr.set_bootcode(*boot_code);
    let first = image.rewind().and_then(|()| image.write_all(&mbr.to_bytes()));
    first.map_err(|error| DiskError::Table(error.into()))?;
    let config = GptConfig::new().writable(true);
    let mut disk = config.create_from_device(image, Some(identity.guid("disk"))).map_err(DiskError::Table)?;
    disk.update_partitions(partitions).map_err(DiskError::Table)?;
    disk.write().map(drop).map_err(DiskError::Table)
}

fn partition(name: &str, kind: Type, guid: Uuid, range: &Range<u64>) -> Partition {
    Partition {
        part_type_guid: kind,
        part_guid: guid,
        first_lba: range.start / SECTOR,
        last_lba: range.end / SECTOR - 1,
        flags: 0,
        name: name.to_owned(),
    }
}
