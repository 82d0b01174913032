//! PID 1 of the boot and of the release initramfs. [`supervisor`] is PID 1, [`worker`] what it starts.

use std::process::ExitCode;

use init::worker::Role;
use init::{supervisor, worker};

fn main() -> ExitCode {
    // The kernel's leftovers of its command line are arguments of PID 1, so that only the number tells who this is.
    if rustix::process::getpid().is_init() {
        supervisor::run();
    }
    if let Some(role) = std::env::args().nth(1).as_deref().and_then(Role::from_argument) {
        return worker::run(role);
    }
    eprintln!(
        "init {}: this is PID 1 of Phase Boot; the kernel starts it, from an initramfs that `phase image` makes",
        env!("CARGO_PKG_VERSION")
    );
    ExitCode::from(2)
}
