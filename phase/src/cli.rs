//! The command line: which subcommands there are, and what a person sees when one fails.
//!
//! Exit status: 0 done, 1 the command failed, 2 the command line asks for something that cannot be (clap's own status
//! for usage errors, kept for [`UsageError`]).

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    announce, boot, compare, demo, image, kexec, keygen, lab, measured, publish, put_live, search, serve, sign, size,
    trust,
};

const EXAMPLES: &str = "\
From nothing to a served release:
  phase keygen --out keys/root
  phase keygen --out keys/release
  phase trust init --channel demo --root-key keys/root.pub \\
      --release-key keys/release.pub --out trust.json
  phase publish --tree tree --channel demo --version 1 --key keys/release \\
      --trust trust.json --kernel vmlinuz --initramfs initramfs.zst \\
      --rootfs root.squashfs --cmdline 'console=ttyS0 quiet'
  phase serve --tree tree --listen 0.0.0.0:8000

Exit status: 0 done, 1 failed, 2 wrong usage.";

/// Signs, publishes and serves verified releases, and makes the images that boot them.
#[derive(Parser)]
#[command(name = "phase", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Boot(boot::Args),
    Compare(compare::Args),
    Demo(demo::Args),
    Keygen(keygen::Args),
    Lab(lab::Args),
    Measured(measured::Args),
    Trust(trust::Args),
    Sign(sign::Args),
    Publish(Box<publish::Args>),
    Announce(announce::Args),
    Discover(search::Args),
    PutLive(put_live::Args),
    Serve(serve::Args),
    Image(image::Args),
    Kexec(kexec::Args),
    Size(size::Args),
}

/// A command line that clap accepts and that still cannot be carried out: exit status 2 instead of 1.
#[derive(Debug)]
pub struct UsageError(pub String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Parses the arguments of this process, runs the subcommand and turns its result into an exit status.
pub fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let outcome = match Cli::parse().command {
        Command::Boot(args) => boot::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Measured(args) => measured::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Announce(args) => announce::run(&args),
        Command::Discover(args) => search::run(&args),
        Command::PutLive(args) => put_live::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Kexec(args) => kexec::run(&args),
        Command::Size(args) => size::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("phase: {error:#}");
        if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
    })
}

/// `phase … | head` ends as other programs do when their reader is gone, with the shell's status for SIGPIPE. (Rust ignores the
/// signal, and `println!` panics; sockets and QEMU's pipes need it ignored.)
fn end_quietly_without_a_reader() {
    const SIGPIPE_STATUS: i32 = 128 + 13;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(SIGPIPE_STATUS);
        }
        usual(panic);
    }));
}
