//! The release's root: its squashfs over a loop device below, a tmpfs above, as one overlay.
//!
//! Used by stage two, and by stage one for the `direct` hand-off. The layers stand under /run/phase/, which moves into
//! the final system; their union does not, since /run has to move into it.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::mounts::make_directory;
use crate::sys::loop_device::LoopDevice;
use crate::timeline::Kind;

/// Modules that the kernel needs for it, by name, where they are not built in.
pub const MODULES: [&str; 3] = ["loop", "squashfs", "overlay"];

const BASE: &str = "/run/phase";
const LOWER: &str = "/run/phase/lower";
const WRITABLE: &str = "/run/phase/upper";
const ROOT: &str = "/sysroot";

/// A root that could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The squashfs cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No loop device.
    #[error(
        "cannot attach the squashfs to a loop device: {0} (the kernel needs CONFIG_BLK_DEV_LOOP, built in or as a module of the initramfs)"
    )]
    Loop(Errno),
    /// A directory cannot be made.
    #[error("cannot make {path}: {errno}")]
    Directory {
        /// The directory.
        path: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A mount failed.
    #[error("cannot mount {what} on {target}: {}", mount_meaning(*.errno))]
    Mount {
        /// What was to be mounted.
        what: &'static str,
        /// Where.
        target: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The release has no such init.
    #[error("the release's root has no {init} that can be executed: {errno}")]
    NoInit {
        /// The init of the manifest.
        init: String,
        /// Why.
        errno: Errno,
    },
}

impl Kind for RootError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NoInit { .. } => "no-init",
            _ => "root",
        }
    }
}

fn mount_meaning(errno: Errno) -> String {
    let meaning = match errno {
        Errno::NODEV => "this kernel does not know the file system; its module is missing in the initramfs",
        Errno::INVAL | Errno::UCLEAN => "the file system is damaged or of a form that this kernel does not know",
        Errno::IO => "the file system cannot be read",
        _ => "see the kernel log",
    };
    format!("{errno} ({meaning})")
}

/// A root that is complete: `init` is in it.
#[derive(Debug)]
pub struct NewRoot {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The release's init, seen from inside.
    pub init: String,
}

/// Puts the root together from a squashfs file.
pub fn from_path(squashfs: &Path, init: &str) -> Result<NewRoot, RootError> {
    let file = File::open(squashfs).map_err(|source| RootError::Open { path: squashfs.to_owned(), source })?;
    // The whole file, whatever its size: it was compared with the hand-off.
    from_file(&file, 0, 0, init)
}

/// Puts the root together from the squashfs of `size` bytes (0: all that follow) that stands at `offset` of a file.
pub fn from_file(file: impl AsFd, offset: u64, size: u64, init: &str) -> Result<NewRoot, RootError> {
    for path in [BASE, LOWER, WRITABLE, ROOT] {
        make_directory(Path::new(path)).map_err(|errno| RootError::Directory { path, errno })?;
    }
    // An attempt before this one may have left its mounts.
    for target in [ROOT, WRITABLE, LOWER] {
        while unmount(target, UnmountFlags::DETACH).is_ok() {}
    }
    let device = LoopDevice::attach(file, offset, size).map_err(RootError::Loop)?;
    // The union's own flags count for what is started from it. Seen directly, below /run/phase, a program that was replaced
    // above must not lend its rights any more.
    let lower = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    attempt("the squashfs", LOWER, mount(device.path(), LOWER, "squashfs", lower, c""))?;
    attempt("a tmpfs", WRITABLE, mount("tmpfs", WRITABLE, "tmpfs", MountFlags::empty(), c"mode=0700"))?;
    for path in ["/run/phase/upper/data", "/run/phase/upper/work"] {
        make_directory(Path::new(path)).map_err(|errno| RootError::Directory { path, errno })?;
    }
    let layers = c"lowerdir=/run/phase/lower,upperdir=/run/phase/upper/data,workdir=/run/phase/upper/work";
    attempt("the overlay", ROOT, mount("overlay", ROOT, "overlay", MountFlags::empty(), layers))?;
    executable(Path::new(ROOT), init).map_err(|errno| RootError::NoInit { init: init.to_owned(), errno })?;
    Ok(NewRoot { path: ROOT.into(), init: init.to_owned() })
}

fn attempt(what: &'static str, target: &'static str, result: Result<(), Errno>) -> Result<(), RootError> {
    result.map_err(|errno| RootError::Mount { what, target, errno })
}

/// Whether `init` is a file that can be executed, with its symbolic links followed as they will be from inside.
fn executable(root: &Path, init: &str) -> Result<(), Errno> {
    let directory = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(&directory, init, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind != rustix::fs::FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    rustix::fs::accessat(CWD, &path, Access::EXEC_OK, rustix::fs::AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn an_init_behind_an_absolute_link_is_found_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("lib/systemd")).unwrap();
        std::fs::create_dir_all(root.path().join("sbin")).unwrap();
        let real = root.path().join("lib/systemd/systemd");
        std::fs::write(&real, "").unwrap();
        symlink("/lib/systemd/systemd", root.path().join("sbin/init")).unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(executable(root.path(), "/sbin/init"), Ok(()));
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(executable(root.path(), "/sbin/init"), Err(Errno::ACCESS));
        assert_eq!(executable(root.path(), "/sbin/other"), Err(Errno::NOENT));
        assert_eq!(executable(root.path(), "/sbin"), Err(Errno::ACCESS));
    }
}
