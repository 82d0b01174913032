//! The last step of stage two: the release's root becomes `/` and its init becomes PID 1.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{mount_bind, mount_move};
use rustix::process::{chdir, chroot};

use crate::cmdline;
use crate::mounts::make_directory;

/// The early mounts, which move along.
pub(crate) const MOVED: [&str; 4] = ["dev", "proc", "sys", "run"];

/// A switch that failed. After the root was moved there is no way back but a reboot.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The signed command line cannot be shown.
    #[error("cannot show the signed command line as /proc/cmdline: {0}")]
    CommandLine(std::io::Error),
    /// A mount did not move.
    #[error("cannot move /{mount} into the release's root: {errno}")]
    Move {
        /// The mount point.
        mount: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The root did not move.
    #[error("cannot make the release's root the root: {0}")]
    Root(Errno),
    /// The init did not start.
    #[error("cannot execute the release's {init}: {source}")]
    Exec {
        /// The init.
        init: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Moves into `root` and executes `init` there; returns only what went wrong. Only PID 1 may call this.
///
/// `command_line` is what the release sees as /proc/cmdline if it is not this kernel's own (`direct`).
pub fn enter(root: &Path, init: &str, command_line: Option<&str>) -> SwitchError {
    match switch(root, command_line) {
        Ok(()) => execute(init, arguments(command_line)),
        Err(error) => error,
    }
}

fn switch(root: &Path, command_line: Option<&str>) -> Result<(), SwitchError> {
    if let Some(command_line) = command_line {
        let shown = Path::new("/run/phase/cmdline");
        // Without it the release would obey the words of a line that nobody signed.
        let written = fs::write(shown, format!("{command_line}\n"));
        written.and_then(|()| Ok(mount_bind(shown, "/proc/cmdline")?)).map_err(SwitchError::CommandLine)?;
    }
    for mount in MOVED {
        let target = root.join(mount);
        let moved = make_directory(&target).and_then(|()| mount_move(format!("/{mount}"), &target));
        moved.map_err(|errno| SwitchError::Move { mount, errno })?;
    }
    let into = |errno| SwitchError::Root(errno);
    chdir(root).map_err(into)?;
    free_initramfs();
    mount_move(".", "/").map_err(into)?;
    chroot(".").map_err(into)?;
    chdir("/").map_err(into)
}

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` (include/uapi/linux/magic.h): what an initramfs can be.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Gives the memory of the initramfs back: all that is on the old root's own file system goes. The squashfs lives on
/// as long as the loop device holds it. A root that is not in memory is somebody's disk and stays as it is.
fn free_initramfs() {
    let in_memory = rustix::fs::statfs("/").is_ok_and(|statfs| IN_MEMORY.contains(&statfs.f_type.cast_unsigned()));
    if let (true, Ok(metadata)) = (in_memory, fs::metadata("/")) {
        remove_below(Path::new("/"), metadata.dev(), 0);
    }
}

/// Deeper trees than this are not ours.
const DEEPEST: u32 = 32;

/// Removes what is below a directory on this device, `depth` deep already; no link is followed.
pub(crate) fn remove_below(directory: &Path, device: u64, depth: u32) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.dev() != device => {}
            Ok(metadata) if metadata.is_dir() => {
                if depth < DEEPEST {
                    remove_below(&path, device, depth + 1);
                    _ = fs::remove_dir(&path);
                }
            }
            Ok(_) => _ = fs::remove_file(&path),
            Err(_) => {}
        }
    }
}

/// What the kernel would give to the init: in stage two, whose command line is the signed one, that is what it gave to us.
fn arguments(command_line: Option<&str>) -> Vec<OsString> {
    match command_line {
        Some(line) => cmdline::arguments(line).map(|word| word.into_owned().into()).collect(),
        None => std::env::args_os().skip(1).collect(),
    }
}

/// Starts the init as the kernel would: with the console as its three streams, and HOME and TERM in its environment.
fn execute(init: &str, arguments: Vec<OsString>) -> SwitchError {
    standard_streams();
    let source = Command::new(init).args(arguments).env_clear().env("HOME", "/").env("TERM", "linux").exec();
    SwitchError::Exec { init: init.to_owned(), source }
}

/// Makes /dev/console the standard input, output and error of this process. Without one they stay as they are.
pub fn standard_streams() {
    let path = CString::from(c"/dev/console");
    if let Ok(console) = open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()) {
        _ = rustix::stdio::dup2_stdin(&console);
        _ = rustix::stdio::dup2_stdout(&console);
        _ = rustix::stdio::dup2_stderr(&console);
    }
}
