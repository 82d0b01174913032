//! The file systems that PID 1 needs before anything else, as a table.

use std::path::Path;

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

/// One mount of the table.
struct Entry {
    source: &'static str,
    target: &'static str,
    file_system: &'static str,
    flags: MountFlags,
    data: &'static std::ffi::CStr,
}

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC).union(MountFlags::NODEV);

/// What is mounted, in order. /run is what systemd wants to find: a tmpfs, 0755, nosuid and nodev.
const TABLE: [Entry; 4] = [
    Entry {
        source: "devtmpfs",
        target: "/dev",
        file_system: "devtmpfs",
        flags: MountFlags::NOSUID,
        data: c"mode=0755",
    },
    Entry { source: "proc", target: "/proc", file_system: "proc", flags: SAFE, data: c"" },
    Entry { source: "sysfs", target: "/sys", file_system: "sysfs", flags: SAFE, data: c"" },
    Entry {
        source: "tmpfs",
        target: "/run",
        file_system: "tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=0755",
    },
];

/// A file system that could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount {file_system} on {target}: {errno}")]
pub struct MountError {
    file_system: &'static str,
    target: &'static str,
    errno: Errno,
}

/// Proof that the early mounts are there.
#[derive(Debug)]
pub struct System(());

/// Mounts the table. What is mounted already (a kernel with `CONFIG_DEVTMPFS_MOUNT`) is left as it is.
pub fn early() -> Result<System, MountError> {
    for entry in &TABLE {
        let refused = |errno| MountError { file_system: entry.file_system, target: entry.target, errno };
        make_directory(Path::new(entry.target)).map_err(refused)?;
        match mount(entry.source, entry.target, entry.file_system, entry.flags, entry.data) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(refused(errno)),
        }
    }
    Ok(System(()))
}

/// Makes a directory with mode 0755; one that is there already is as good.
pub fn make_directory(path: &Path) -> Result<(), Errno> {
    match mkdirat(rustix::fs::CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}
