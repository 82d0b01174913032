//! PID 1 of the boot and of the release initramfs. [`supervisor`] is PID 1, [`worker`] what it starts; a release runs the
//! same program as [`acknowledge`].

use std::process::ExitCode;

use init::worker::Role;
use init::{acknowledge, supervisor, worker};

fn main() -> ExitCode {
    // The kernel's leftovers of its command line are arguments of PID 1, so that only the number tells who this is.
    if rustix::process::getpid().is_init() {
        supervisor::run();
    }
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(rest) = acknowledge::asked_for(&arguments) {
        return acknowledge::run(rest);
    }
    if let Some(role) = arguments.get(1).and_then(|argument| Role::from_argument(argument)) {
        return worker::run(role);
    }
    eprintln!(
        "init {}: this is PID 1 of Phase Boot; the kernel starts it, from an initramfs that `phase image` makes",
        env!("CARGO_PKG_VERSION")
    );
    ExitCode::from(2)
}
