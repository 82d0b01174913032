//! This terminal as the guest's: raw while the machine runs, restored whatever happens.

use std::{
    io::{self, IsTerminal, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Ctrl-A, which QEMU's own console uses too.
const ESCAPE: u8 = 0x01;

/// Raw mode; the terminal is what it was before once this is dropped.
pub(super) struct Raw(Option<Termios>);

impl Raw {
    /// Makes standard input raw; if it is no terminal, there is nothing to do.
    pub(super) fn enter() -> anyhow::Result<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self(None));
        }
        let before = tcgetattr(&stdin).context("the terminal's settings cannot be read")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).context("the terminal cannot be made raw")?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0
            && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Flush, before)
        {
            eprintln!("phase: the terminal could not be restored ({error}); `reset` does it\r");
        }
    }
}

/// Sends what is typed to the guest, on a thread of its own, until the flag it returns is set by Ctrl-A X.
///
/// The thread ends with the program: a read of a terminal cannot be called off.
pub(super) fn forward(guest: qemu::Input) -> Arc<AtomicBool> {
    let unplugged = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let unplugged = Arc::clone(&unplugged);
        move || {
            let (mut keys, mut buffer) = (Keys::default(), [0; 256]);
            while let Ok(length @ 1..) = io::stdin().read(&mut buffer) {
                let (typed, leave) = keys.translate(&buffer[..length]);
                if leave {
                    unplugged.store(true, Ordering::Release);
                    return;
                }
                if guest.send(&typed).is_err() {
                    return; // the machine has ended
                }
            }
        }
    });
    unplugged
}

/// Takes Ctrl-A sequences out of what is typed.
#[derive(Default)]
struct Keys {
    escaped: bool,
}

impl Keys {
    /// What the guest gets, and whether the person wants to leave.
    fn translate(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut kept = Vec::with_capacity(typed.len());
        for &byte in typed {
            match (std::mem::take(&mut self.escaped), byte) {
                (true, b'x' | b'X') => return (kept, true),
                (false, ESCAPE) => self.escaped = true,
                // Any other key after Ctrl-A is for the guest, and Ctrl-A Ctrl-A is one Ctrl-A.
                _ => kept.push(byte),
            }
        }
        (kept, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_a_x_leaves_even_across_reads() {
        let mut keys = Keys::default();
        assert_eq!(keys.translate(b"ls\r\x01"), (b"ls\r".to_vec(), false));
        assert_eq!(keys.translate(b"x"), (Vec::new(), true));
    }

    #[test]
    fn everything_else_reaches_the_guest() {
        let mut keys = Keys::default();
        assert_eq!(keys.translate(b"\x03x\x01\x01x\x01b"), (b"\x03x\x01xb".to_vec(), false));
    }
}
