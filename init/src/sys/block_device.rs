//! Block devices: the one call that rustix has no name for.

use std::os::fd::AsFd;

use rustix::io;
use rustix::ioctl::{Opcode, Setter, ioctl};

const BLKROSET: Opcode = 0x125D; // include/uapi/linux/fs.h

/// Makes the kernel refuse every write to the device, whoever asks, until it is told otherwise or the machine restarts.
pub fn set_read_only(device: impl AsFd) -> io::Result<()> {
    // SAFETY: the opcode reads one `int` (blkdev_roset, block/ioctl.c), and `Setter` passes a pointer to its own.
    unsafe { ioctl(device, Setter::<BLKROSET, libc::c_int>::new(1)) }
}
