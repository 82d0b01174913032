//! What the tests stand on: a laboratory with everything that a boot needs, made with the commands that a user would
//! type; servers, honest and hostile; and a started machine that can be asked what became of it.

mod boot;
mod grub;
mod hostile;
mod keeper;
mod lab;
mod logged;
mod measured;
mod medium;
mod nginx;
mod quick_start;
mod release;
mod serve;
mod store;
mod trunk;
mod uefi;

pub(crate) use boot::Boot;
pub(crate) use grub::GrubDisc;
pub(crate) use hostile::{Fault, Hostile};
pub(crate) use keeper::Keeper;
pub(crate) use lab::{KERNEL_PARAMETERS, Lab, run, text};
pub(crate) use measured::{Measured, held, registers, untouched};
pub(crate) use medium::{Medium, frames};
pub(crate) use nginx::Nginx;
pub(crate) use quick_start::QuickStart;
pub(crate) use release::{Release, Tree, root_with, signed_kernel, unsigned_kernel};
pub(crate) use serve::Serve;
pub(crate) use store::{PhaseData, Tpm};
pub(crate) use trunk::Trunk;
pub(crate) use uefi::{Uefi, own_key, register_reader, variable_writer};

/// The kernel parameter that leads a guest to `port` of the host's loopback, which it sees as 10.0.2.2.
pub(crate) fn origin(port: u16) -> String {
    format!("phase.origin=http://10.0.2.2:{port}")
}

/// Ends a program that a test started, also when the test fails.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that ends with the thread that starts it, even if the tests are killed.
fn bound_to_us(program: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
