//! A disk image as qcow2, the format of QEMU and of what is built on it: only what is not empty takes room.
//!
//! Guarantees: the same disk gives the same bytes under the same QEMU (the format has no times and no identities).

use std::path::Path;

use super::{MediumError, content::absolute, program::Program};

const QEMU_IMG: Program = Program { name: "qemu-img", package: "qemu-utils" };

/// Writes the raw image `disk` as qcow2 to the file `out`.
///
/// # Errors
/// qemu-img is missing or fails.
pub fn qcow2(disk: &Path, out: &Path) -> Result<(), MediumError> {
    let mut command = QEMU_IMG.command()?;
    // One request at a time, so that clusters stand in the order of the disk.
    command.args(["convert", "-q", "-m", "1", "-f", "raw", "-O", "qcow2"]);
    command.arg(absolute(disk)?).arg(absolute(out)?);
    QEMU_IMG.run(command)
}
