//! The machine's TPM 2.0, through the kernel's resource manager (/dev/tpmrm0): a command goes out, its answer comes back, and
//! neither is waited for without an end.

pub mod codec;
pub mod pcr;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use self::codec::{LARGEST_ANSWER, Refused};

/// The device file of the resource manager, below `/`.
const DEVICE: &str = "dev/tpmrm0";
/// How often the device is looked for while it is waited for.
const TICK: Duration = Duration::from_millis(50);
/// How often a busy TPM is asked again, and the pause before that.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// An open TPM.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Waits for the TPM of the machine below `root` until `patience` ends.
    pub fn open(root: &Path, patience: Duration) -> Result<Self, Errno> {
        let begun = Instant::now();
        loop {
            // O_NONBLOCK: a command is sent, and its answer waited for with a limit (drivers/char/tpm/tpm-dev-common.c).
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match open(root.join(DEVICE), flags, Mode::empty()) {
                Ok(device) => return Ok(Self(File::from(device))),
                Err(_) if begun.elapsed() < patience => std::thread::sleep(TICK),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sends a command and reads its answer, until `deadline`; again while the TPM is busy, whose last answer is returned.
    pub fn ask(&self, command: &[u8], deadline: Instant) -> Result<Vec<u8>, Errno> {
        let mut answer = self.exchange(command, deadline)?;
        for _ in 1..TRIES {
            if codec::done(&answer) != Err(Refused::Busy) {
                break;
            }
            std::thread::sleep(PAUSE);
            answer = self.exchange(command, deadline)?;
        }
        Ok(answer)
    }

    fn exchange(&self, command: &[u8], deadline: Instant) -> Result<Vec<u8>, Errno> {
        let of = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let mut device = &self.0;
        device.write_all(command).map_err(of)?;
        let mut ready = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        if poll(&mut ready, Some(&timeout))? == 0 {
            return Err(Errno::TIMEDOUT);
        }
        let mut answer = vec![0; LARGEST_ANSWER];
        let length = device.read(&mut answer).map_err(of)?;
        answer.truncate(length);
        Ok(answer)
    }
}

#[cfg(test)]
pub(crate) mod tests;
