//! A real TPM 2.0 in software for the tests of this crate: swtpm, at the other end of a socket in place of the kernel's
//! device file.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::*;

/// A TPM that was never used, until it is dropped.
pub(crate) struct Swtpm {
    pub(crate) device: Device,
    pub(crate) program: Program,
}

/// The program that it is.
pub(crate) struct Program {
    child: Child,
    _memory: tempfile::TempDir,
}

impl Swtpm {
    pub(crate) fn new() -> Self {
        let memory = tempfile::tempdir().unwrap();
        let socket = memory.path().join("socket");
        let program = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", memory.path().display())])
            .args(["--server", &format!("type=unixio,path={}", socket.display())])
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm has to be installed");
        let deadline = Instant::now() + Duration::from_secs(20);
        let device = loop {
            match UnixStream::connect(&socket) {
                Ok(connected) => break File::from(OwnedFd::from(connected)),
                Err(error) => assert!(Instant::now() < deadline, "no swtpm at {}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Self { device: Device(device), program: Program { child: program, _memory: memory } }
    }

    /// Both apart.
    pub(crate) fn into_parts(self) -> (Device, Program) {
        (self.device, self.program)
    }
}

impl Program {
    /// Stops it in the middle of whatever it does: it answers nothing any more, and nobody is told.
    pub(crate) fn hang(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    }

    /// Ends it.
    pub(crate) fn die(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tpm_that_does_not_answer_is_waited_for_until_the_deadline_only() {
    let tpm = Swtpm::new();
    tpm.program.hang();
    let begun = Instant::now();
    let answer = tpm.device.ask(&pcr::capability(), begun + Duration::from_millis(200));
    assert_eq!(answer, Err(Errno::TIMEDOUT));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_machine_without_a_tpm_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Device::open(root.path(), Duration::ZERO).err(), Some(Errno::NOENT));
}
