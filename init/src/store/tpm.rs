//! The store in a TPM: an ordinary NV index of 512 bytes, through the kernel's resource manager (/dev/tpmrm0).
//!
//! An index that is not there, or was never written, is a machine that never acknowledged a release; the first
//! acknowledgement makes it. One write is one command of the TPM, which does it as a whole or not at all.

pub mod codec;

use std::path::Path;
use std::time::{Duration, Instant};

use verify::{State, StateError};

use self::codec::{ATTRIBUTES, Refused, SIZE};
use super::StoreError;
use crate::tpm::Device;

/// What every state begins with that was written here, of this form or a later one. An index with anything else in it
/// belongs to another program, whatever its size and attributes.
const OURS: &[u8] = br#"{"schema":"phase.state/"#;
/// How long one command may take: the longest that the standard's profile for PCs knows is 2 s, and some TPMs test themselves first.
const PATIENCE: Duration = Duration::from_secs(20);

/// An NV index of the TPM.
#[derive(Debug)]
pub struct Tpm {
    device: Device,
    index: u32,
}

impl Tpm {
    /// Waits for the TPM of the machine below `root` until `patience` ends.
    pub fn open(root: &Path, index: u32, patience: Duration) -> Result<Self, StoreError> {
        let device = Device::open(root, patience);
        let device = device.map_err(|errno| StoreError::NoTpm { errno, waited: patience.as_secs() })?;
        Ok(Self { device, index })
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

    fn ask(&self, command: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.device.ask(command, Instant::now() + PATIENCE).map_err(|errno| StoreError::TpmDevice { errno })
    }
}

#[cfg(test)]
mod tests;
