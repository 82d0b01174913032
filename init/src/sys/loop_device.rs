//! Loop devices (drivers/block/loop.c, include/uapi/linux/loop.h): rustix and nix have no calls for them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};
use rustix::io;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const LOOP_CONFIGURE: Opcode = 0x4C0A; // since Linux 5.8
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Another process may take the free device first; udev-like races end long before this.
const TRIES: usize = 8;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

struct Free;

// SAFETY: the opcode takes no argument and returns the number of a free device (loop.h).
unsafe impl Ioctl for Free {
    type Output = libc::c_int;
    const IS_MUTATING: bool = false;
    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }
    fn as_ptr(&mut self) -> *mut libc::c_void {
        std::ptr::null_mut()
    }
    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut libc::c_void) -> io::Result<Self::Output> {
        Ok(output)
    }
}

struct Configure(LoopConfig);

// SAFETY: the opcode reads one `struct loop_config`, which `LoopConfig` is, field for field.
unsafe impl Ioctl for Configure {
    type Output = ();
    const IS_MUTATING: bool = false;
    fn opcode(&self) -> Opcode {
        LOOP_CONFIGURE
    }
    fn as_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.0).cast()
    }
    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut libc::c_void) -> io::Result<()> {
        Ok(())
    }
}

/// A read-only loop device; the device is freed when its last user (a mount, or this descriptor) is gone.
#[derive(Debug)]
pub struct LoopDevice {
    /// Keeps the device alive until something is mounted from it.
    _descriptor: OwnedFd,
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches `size` bytes of `backing` from `offset` on (both multiples of 512 where the file goes on behind).
    pub fn attach(backing: impl AsFd, offset: u64, size: u64) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let control = open("/dev/loop-control", flags, Mode::empty())?;
        let backing_number = u32::try_from(backing.as_fd().as_raw_fd()).map_err(|_| io::Errno::BADF)?;
        for _ in 0..TRIES {
            // SAFETY: `Free` describes the opcode truly, and the descriptor is that of the loop control device.
            let number = unsafe { ioctl(&control, Free)? };
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let descriptor = open(&path, flags, Mode::empty())?;
            let configure = Configure(LoopConfig {
                fd: backing_number,
                block_size: 0, // the kernel's default of 512
                info: LoopInfo {
                    device: 0,
                    inode: 0,
                    rdevice: 0,
                    offset,
                    size_limit: size,
                    number: 0,
                    encrypt_type: 0,
                    encrypt_key_size: 0,
                    flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
                    file_name: [0; 64],
                    crypt_name: [0; 64],
                    encrypt_key: [0; 32],
                    init: [0; 2],
                },
                reserved: [0; 8],
            });
            // SAFETY: `Configure` describes the opcode truly; the descriptor is a loop device's.
            match unsafe { ioctl(&descriptor, configure) } {
                Ok(()) => return Ok(Self { _descriptor: descriptor, path }),
                Err(io::Errno::BUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Errno::BUSY)
    }

    /// The device file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_the_kernel_header() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
