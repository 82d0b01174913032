//! `phase kexec`: starts Phase Boot from a Linux that runs, without firmware, boot loader or medium.
//!
//! Guarantees: everything that can be known before is looked at before anything is loaded, so that a refusal leaves the
//! running system as it was; what is loaded is a boot initramfs and nothing else; the running system is shut down by its own
//! systemd, and without one only if that was asked for by name.

mod command_line;
mod system;

use std::{
    ffi::CString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, ensure};
use init::{fit::Sizes, mode::Mode, progress::Mib, screen, sys::kexec::file_load};
use initramfs::pack::{kernel::Arch, size};
use rustix::system::{RebootCommand, reboot};
use serde::Serialize;

use crate::{image::parts::Parts, output};
use system::System;

/// Starts Phase Boot from the Linux that runs, by kexec.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(after_help = "\
Loads kernel and initramfs, lets systemd shut this system down, and jumps. Nothing on
any disk is changed: the next restart starts this system again. Run it as root.

Examples:
  phase kexec --kernel vmlinuz --initramfs boot.cpio.zst --dry-run
  phase kexec --kernel vmlinuz --initramfs boot.cpio.zst
  phase kexec --kernel vmlinuz --initramfs boot.cpio.zst --mode local \\
      --append phase.origin=http://10.0.0.1:8000
  phase kexec --kernel vmlinuz --initramfs boot.cpio.zst --load-only
  systemctl kexec")]
pub struct Args {
    /// The boot kernel
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The boot initramfs, of `phase image initramfs --stage boot`
    #[arg(long, value_name = "FILE")]
    initramfs: PathBuf,
    /// Kernel parameters, instead of this system's own console= and `quiet`
    #[arg(long, value_name = "TEXT")]
    parameters: Option<String>,
    /// Kernel parameters, besides those
    #[arg(long, value_name = "TEXT")]
    append: Option<String>,
    /// internet, local or private; without it, Phase Boot's menu asks
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Look at everything, and load nothing
    #[arg(long)]
    dry_run: bool,
    /// Load, and leave the jump to `systemctl kexec` or `kexec -e`
    #[arg(long, conflicts_with = "dry_run")]
    load_only: bool,
    /// Jump at once: programs are not ended, and file systems are flushed but stay mounted
    #[arg(long, conflicts_with_all = ["dry_run", "load_only"])]
    immediately: bool,
    /// Print what is loaded as JSON
    #[arg(long)]
    json: bool,
}

/// What follows the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Next {
    /// Nothing: `--dry-run`.
    Nothing,
    /// It is loaded, and that is all.
    Load,
    /// It is loaded, and systemd shuts down and jumps.
    Systemd,
    /// It is loaded, and the jump follows at once.
    Immediately,
}

/// What is loaded; `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    kernel: PathBuf,
    /// What the kernel says of itself, if it does.
    version: Option<String>,
    initramfs: PathBuf,
    command_line: String,
    /// Bytes that loading takes at its peak.
    memory_needed: u64,
    /// Bytes that are available.
    memory_available: u64,
    /// The kind of lockdown of the running system.
    lockdown: Option<String>,
    /// The framebuffer that Phase Boot cannot go on with, because a driver of this system changed its mode.
    lost_screen: Option<String>,
    next: Next,
}

/// Runs the command.
///
/// # Errors
/// The files are not what this starts, or the running system does not allow it: nothing is loaded then. Or what was loaded
/// could not be entered.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let system = System::read(Path::new("/"));
    let next = args.next(&system)?;
    let report = args.check(&system, next)?;
    if next != Next::Nothing {
        load(&report, &system)?;
    }
    output::show(&report, args.json, |report| report.print(args))?;
    match next {
        Next::Nothing | Next::Load => {}
        Next::Systemd => shut_down()?,
        Next::Immediately => jump()?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn next(&self, system: &System) -> anyhow::Result<Next> {
        Ok(match (self.dry_run, self.load_only, self.immediately) {
            (true, ..) => Next::Nothing,
            (_, true, _) => Next::Load,
            (.., true) => Next::Immediately,
            _ => {
                ensure!(
                    system.systemd,
                    "systemd is not PID 1 here, so that this cannot shut the system down: --load-only leaves that and the \
                     jump to you (kexec -e), --immediately jumps without it"
                );
                Next::Systemd
            }
        })
    }

    /// Looks at files and system.
    fn check(&self, system: &System, next: Next) -> anyhow::Result<Report> {
        let line = command_line::complete(
            &system.command_line,
            self.parameters.as_deref(),
            self.append.as_deref(),
            self.mode.map(|mode| mode.to_string()).as_deref(),
        )?;
        let parts =
            Parts { kernel: self.kernel.clone(), initramfs: self.initramfs.clone(), parameters: None, mtime: 0 };
        let own = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };
        let kernel = parts.check(&[own])?.kernel;
        let peak = system.allows(&sizes(&self.kernel, kernel.init_size, &self.initramfs)?)?;
        Ok(Report {
            kernel: self.kernel.clone(),
            version: kernel.version,
            initramfs: self.initramfs.clone(),
            command_line: line,
            memory_needed: peak.need,
            memory_available: peak.have,
            lockdown: system.lockdown.clone(),
            lost_screen: screen::lost(Path::new("/")),
            next,
        })
    }
}

/// What counts against the memory, as stage one counts it for a release. Here, too, the initramfs is there three times: where
/// stage one has its arena, this system has the file in its cache.
fn sizes(kernel: &Path, kernel_init: u64, initramfs: &Path) -> anyhow::Result<Sizes> {
    let bytes = output::read_limited(initramfs, size::Limits::DEFAULT.unpacked)?;
    let unpacked = size::unpacked_size(&bytes).with_context(|| initramfs.display().to_string())?;
    let kernel = fs::metadata(kernel).with_context(|| format!("cannot read {}", kernel.display()))?.len();
    Ok(Sizes { kernel, kernel_init, composed: bytes.len() as u64, initramfs_unpacked: unpacked, rootfs: 0 })
}

/// Gives kernel and initramfs to the kernel that runs, in place of what was loaded before.
fn load(report: &Report, system: &System) -> anyhow::Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("cannot read {}", path.display()));
    let (kernel, initramfs) = (open(&report.kernel)?, open(&report.initramfs)?);
    let command_line = CString::new(report.command_line.as_str())?;
    file_load(&kernel, &initramfs, &command_line).map_err(|errno| {
        anyhow::anyhow!("the running kernel refused {}: {}", report.kernel.display(), system.meaning(errno))
    })
}

/// Lets systemd end every service, unmount everything, and jump into what is loaded.
fn shut_down() -> anyhow::Result<()> {
    let stays = "Phase Boot is loaded, and this system goes on; the next `systemctl kexec` starts it";
    let status =
        Command::new("systemctl").arg("kexec").status().with_context(|| format!("cannot run systemctl: {stays}"))?;
    ensure!(status.success(), "systemctl kexec failed ({status}): {stays}");
    Ok(())
}

/// Jumps, and does not return.
fn jump() -> anyhow::Result<()> {
    rustix::fs::sync();
    reboot(RebootCommand::Kexec).context("Phase Boot is loaded, but the kernel did not jump")
}

impl Report {
    fn print(&self, args: &Args) {
        println!("kernel      {} ({})", self.kernel.display(), self.version.as_deref().unwrap_or("it says no version"));
        println!("initramfs   {}", self.initramfs.display());
        let origin =
            if args.parameters.is_some() { "" } else { "   (console= is this system's: --parameters replaces it)" };
        println!("parameters  {}{origin}", self.command_line);
        println!("memory      {} of {}", Mib(self.memory_needed), Mib(self.memory_available));
        if let Some(lockdown) = &self.lockdown {
            println!("lockdown    {lockdown}: only a kernel whose signature this system trusts is taken");
        }
        if let Some(framebuffer) = &self.lost_screen {
            println!(
                "screen      stands still or shows noise until a release's driver takes it, since {framebuffer} has changed its mode: \
                 follow a serial line, or start this system with nomodeset before"
            );
        }
        println!(
            "{}",
            match self.next {
                Next::Nothing => "Nothing was loaded (--dry-run).",
                Next::Load => "Loaded. `systemctl kexec` starts it; so does `kexec -e`, which shuts nothing down.",
                Next::Systemd => "Loaded. systemd shuts this system down now, and Phase Boot starts.",
                Next::Immediately => "Loaded. Phase Boot starts now.",
            }
        );
    }
}
