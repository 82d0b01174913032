//! The partition PHASE-DATA: an empty ext4, made by mke2fs in its place in the image.

use std::{ops::Range, path::Path};

use uuid::Uuid;

use super::{MediumError, program::Program};

const MKE2FS: Program = Program { name: "mke2fs", package: "e2fsprogs" };

/// Makes the file system in this range of the image, with fixed identities and times.
pub(super) fn make(image: &Path, range: &Range<u64>, guid: Uuid, mtime: u32) -> Result<(), MediumError> {
    let mut command = MKE2FS.command()?;
    // Left to itself, mke2fs asks the running kernel whether it may leave the inode tables to it.
    let extended =
        format!("offset={},hash_seed={guid},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", range.start);
    command.args(["-q", "-F", "-t", "ext4", "-L", "PHASE-DATA", "-U", &guid.to_string(), "-E", &extended]);
    command.arg(image).arg(format!("{}k", (range.end - range.start) / 1024));
    // The time of everything in it; 0 would be the time of today.
    command.env("E2FSPROGS_FAKE_TIME", mtime.max(1).to_string());
    MKE2FS.run(command)
}
