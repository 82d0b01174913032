//! `kexec_file_load(2)`: rustix and nix lack it, and libc lacks its number on some musl targets.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io;

#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: libc::c_long = 320; // arch/x86/entry/syscalls/syscall_64.tbl
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: libc::c_long = 294; // include/uapi/asm-generic/unistd.h

/// Loads the next kernel; `reboot(RebootCommand::Kexec)` jumps into it. Errors are the kernel's own.
pub fn file_load(kernel: impl AsFd, initramfs: impl AsFd, command_line: &CStr) -> io::Result<()> {
    let length = command_line.to_bytes_with_nul().len();
    // SAFETY: both descriptors are open for the length of the call, `command_line` is a NUL-terminated string of
    // `length` bytes with its NUL, and the kernel only reads them.
    let result = unsafe {
        libc::syscall(
            KEXEC_FILE_LOAD,
            kernel.as_fd().as_raw_fd(),
            initramfs.as_fd().as_raw_fd(),
            length,
            command_line.as_ptr(),
            0 as libc::c_ulong,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(io::Errno::from_io_error(&error).unwrap_or(io::Errno::IO))
}
