//! The store in a TPM: an ordinary NV index of 512 bytes, through the kernel's resource manager (/dev/tpmrm0).
//!
//! An index that is not there, or was never written, is a machine that never acknowledged a release; the first
//! acknowledgement makes it. One write is one command of the TPM, which does it as a whole or not at all.

pub mod codec;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use verify::{State, StateError};

use self::codec::{ATTRIBUTES, LARGEST_ANSWER, Refused, SIZE};
use super::StoreError;

/// The device file of the resource manager, below `/`.
const DEVICE: &str = "dev/tpmrm0";
/// What every state begins with that was written here, of this form or a later one. An index with anything else in it
/// belongs to another program, whatever its size and attributes.
const OURS: &[u8] = br#"{"schema":"phase.state/"#;
/// How often the device is looked for while it is waited for.
const TICK: Duration = Duration::from_millis(50);
/// How long one command may take: the longest that the standard's profile for PCs knows is 2 s, and some TPMs test themselves first.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a busy TPM is asked again, and the pause before that.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// An NV index of the TPM.
#[derive(Debug)]
pub struct Tpm {
    device: File,
    index: u32,
}

impl Tpm {
    /// Waits for the TPM of the machine below `root` until `patience` ends.
    pub fn open(root: &Path, index: u32, patience: Duration) -> Result<Self, StoreError> {
        let begun = Instant::now();
        loop {
            // O_NONBLOCK: a command is sent, and its answer waited for with a limit (drivers/char/tpm/tpm-dev-common.c).
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match open(root.join(DEVICE), flags, Mode::empty()) {
                Ok(device) => return Ok(Self { device: File::from(device), index }),
                Err(_) if begun.elapsed() < patience => std::thread::sleep(TICK),
                Err(errno) => return Err(StoreError::NoTpm { errno, waited: patience.as_secs() }),
            }
        }
    }

    /// The state, if the index has one.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let public = match codec::public(&self.ask(&codec::read_public(self.index))?) {
            Err(Refused::NoIndex) => return Ok(None),
            public => self.refused(public)?,
        };
        if usize::from(public.size) != SIZE {
            return Err(StateError::NvSize { seen: public.size.into(), wanted: SIZE }.into());
        }
        if !public.written() {
            return Ok(None);
        }
        let answer = self.ask(&codec::read(self.index, public.size))?;
        let held = self.refused(codec::data(&answer))?;
        match State::from_nv(held) {
            Err(_) if !held.starts_with(OURS) => self.refused(Err(Refused::Foreign)),
            state => Ok(state?),
        }
    }

    /// Replaces the state; makes the index, if there is none. Another program's index is not written over.
    pub fn set_state(&self, state: &State) -> Result<(), StoreError> {
        match codec::public(&self.ask(&codec::read_public(self.index))?) {
            Err(Refused::NoIndex) => self.refused(codec::defined(&self.ask(&codec::define_space(self.index))?))?,
            public => {
                let public = self.refused(public)?;
                if usize::from(public.size) != SIZE || public.attributes & ATTRIBUTES != ATTRIBUTES {
                    return self.refused(Err(Refused::Forbidden));
                }
                self.state().map(drop).or_else(|error| if error.is_damage() { Ok(()) } else { Err(error) })?;
            }
        }
        self.refused(codec::done(&self.ask(&codec::write(self.index, &state.to_nv()?))?))
    }

    fn refused<T>(&self, result: Result<T, Refused>) -> Result<T, StoreError> {
        result.map_err(|refused| StoreError::Tpm { index: self.index, refused })
    }

    /// Sends a command and reads its answer, again while the TPM is busy.
    fn ask(&self, command: &[u8]) -> Result<Vec<u8>, StoreError> {
        for _ in 0..TRIES {
            let answer = self.exchange(command).map_err(|errno| StoreError::TpmDevice { errno })?;
            if codec::done(&answer) != Err(Refused::Busy) {
                return Ok(answer);
            }
            std::thread::sleep(PAUSE);
        }
        self.refused(Err(Refused::Busy))
    }

    fn exchange(&self, command: &[u8]) -> Result<Vec<u8>, Errno> {
        let of = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let mut device = &self.device;
        device.write_all(command).map_err(of)?;
        let mut ready = [PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::IN)];
        let timeout = Timespec::try_from(PATIENCE).unwrap_or_default();
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
mod tests;
