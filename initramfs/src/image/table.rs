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
    MediumError,
    bios::BOOT_CODE,
    identity::Identity,
    layout::{Layout, SECTOR},
};

/// Writes both tables, and with `boot_code` the partition that it needs and the MBR around it. `data` is the
/// GUID of the partition PHASE-DATA.
pub(super) fn write(
    image: &mut File,
    layout: &Layout,
    identity: &Identity,
    data: Option<Uuid>,
    boot_code: Option<&[u8; BOOT_CODE]>,
) -> Result<(), MediumError> {
    let bios = boot_code.map(|_| partition("BIOS boot", BIOS, identity.guid("bios"), &layout.bios));
    let boot = partition("PHASE-BOOT", EFI, identity.guid("boot"), &layout.boot);
    let data = layout.data.as_ref().zip(data).map(|(range, guid)| partition("PHASE-DATA", LINUX_FS, guid, range));
    let partitions = [bios, Some(boot), data].into_iter().flatten();
    let partitions: BTreeMap<u32, Partition> = (1..).zip(partitions).collect();
    let sectors = layout.size / SECTOR;
    // A disk of 2 TiB and more is all that 32 bits can say.
    let mut mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    if let Some(code) = boot_code {
        mbr.set_bootcode(*code);
    }
    let first = image.rewind().and_then(|()| image.write_all(&mbr.to_bytes()));
    first.map_err(|error| MediumError::Table(error.into()))?;
    let config = GptConfig::new().writable(true);
    let mut disk = config.create_from_device(image, Some(identity.guid("disk"))).map_err(MediumError::Table)?;
    disk.update_partitions(partitions).map_err(MediumError::Table)?;
    disk.write().map(drop).map_err(MediumError::Table)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_disk_with_boot_code_has_a_partition_for_the_bios() {
        let layout = Layout::new(40 << 20, None);
        let identity = Identity::of([("kind", b"test".as_slice())]);
        let partitions = |boot_code| {
            let mut image = tempfile::tempfile().unwrap();
            image.set_len(layout.size).unwrap();
            write(&mut image, &layout, &identity, None, boot_code).unwrap();
            let disk = GptConfig::new().open_from_device(image).unwrap();
            disk.partitions().iter().map(|(number, partition)| (*number, partition.name.clone())).collect::<Vec<_>>()
        };
        let boot = |number| (number, "PHASE-BOOT".to_owned());
        assert_eq!(partitions(Some(&[0x90; BOOT_CODE])), [(1, "BIOS boot".to_owned()), boot(2)]);
        assert_eq!(partitions(None), [boot(1)]);
    }
}
