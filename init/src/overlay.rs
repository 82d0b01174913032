//! The release's root: its squashfs over a loop device below; above, a tmpfs or what this machine kept ([`crate::upper`]); both as
//! one overlay.
//!
//! Used by stage two, and by stage one for the `direct` hand-off. The layers stand under /run/phase/, which moves into
//! the final system; their union does not, since /run has to move into it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, open, openat2, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::mounts::make_directory;
use crate::switch_root::MOVED;
use crate::sys::loop_device::LoopDevice;
use crate::timeline::Kind;
use crate::upper::{Place, UpperError};

/// Modules that the kernel needs for it, by name, where they are not built in.
pub const MODULES: [&str; 3] = ["loop", "squashfs", "overlay"];

const BASE: &str = "/run/phase";
const LOWER: &str = "/run/phase/lower";
const WRITABLE: &str = "/run/phase/upper";
const ROOT: &str = "/sysroot";
const LAYERS: &CStr = c"lowerdir=/run/phase/lower,upperdir=/run/phase/upper/data,workdir=/run/phase/upper/work";
/// The same for what is kept. The next release has another lower tree, which is defined only for an upper that was never used with
/// any of these (Documentation/filesystems/overlayfs.rst of Linux, "Changes to underlying filesystems").
const KEPT_LAYERS: &CStr = c"lowerdir=/run/phase/lower,upperdir=/run/phase/upper/data,workdir=/run/phase/upper/work,redirect_dir=off,index=off,metacopy=off,xino=off";

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
    /// What came of keeping its changes, if that was wanted.
    pub kept: Option<Result<(), UpperError>>,
}

impl NewRoot {
    /// Where changes go, in one word.
    pub fn upper(&self) -> &'static str {
        if matches!(self.kept, Some(Ok(()))) { "persistent" } else { "tmpfs" }
    }
}

/// Puts the root together from a squashfs file. Its changes are kept at `place`, if there is one.
pub fn from_path(squashfs: &Path, init: &str, place: Option<Place<'_>>) -> Result<NewRoot, RootError> {
    let file = File::open(squashfs).map_err(|source| RootError::Open { path: squashfs.to_owned(), source })?;
    // The whole file, whatever its size: it was compared with the hand-off.
    from_file(&file, 0, 0, init, place)
}

/// Puts the root together from the squashfs of `size` bytes (0: all that follow) that stands at `offset` of a file.
pub fn from_file(
    file: impl AsFd,
    offset: u64,
    size: u64,
    init: &str,
    place: Option<Place<'_>>,
) -> Result<NewRoot, RootError> {
    for path in [BASE, LOWER, WRITABLE, ROOT] {
        make_directory(Path::new(path)).map_err(|errno| RootError::Directory { path, errno })?;
    }
    // An attempt before this one may have left its mounts.
    take_apart();
    let device = LoopDevice::attach(file, offset, size).map_err(RootError::Loop)?;
    // The union's own flags count for what is started from it. Seen directly, below /run/phase, a program that was replaced
    // above must not lend its rights any more.
    let lower = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    attempt("the squashfs", LOWER, mount(device.path(), LOWER, "squashfs", lower, c""))?;
    let kept = place.map(|place| over_what_was_kept(place, init));
    if !matches!(kept, Some(Ok(()))) {
        clear(&[ROOT, WRITABLE]);
        over_a_tmpfs(init)?;
    }
    Ok(NewRoot { path: ROOT.into(), init: init.to_owned(), kept })
}

/// Takes a root apart that nothing will be started from.
pub fn take_apart() {
    clear(&[ROOT, WRITABLE, LOWER]);
}

fn over_a_tmpfs(init: &str) -> Result<(), RootError> {
    attempt("a tmpfs", WRITABLE, mount("tmpfs", WRITABLE, "tmpfs", MountFlags::empty(), c"mode=0700"))?;
    for path in ["/run/phase/upper/data", "/run/phase/upper/work"] {
        make_directory(Path::new(path)).map_err(|errno| RootError::Directory { path, errno })?;
    }
    attempt("the overlay", ROOT, mount("overlay", ROOT, "overlay", MountFlags::empty(), LAYERS))?;
    executable(Path::new(ROOT), init).map_err(|errno| RootError::NoInit { init: init.to_owned(), errno })
}

/// The same over what this machine kept, if a release could start from it.
fn over_what_was_kept(place: Place<'_>, init: &str) -> Result<(), UpperError> {
    place.attach(WRITABLE)?;
    mount("overlay", ROOT, "overlay", MountFlags::empty(), KEPT_LAYERS).map_err(UpperError::Union)?;
    // What the kernel cannot work in, it shows read-only, and says so in its log alone (`ovl_get_workdir`).
    if statvfs(ROOT).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        return Err(UpperError::Union(Errno::ROFS));
    }
    usable(Path::new(ROOT), init)
}

/// Whether the release's init can be started here, and the early mounts can move in. Of a squashfs, its publisher saw to that.
fn usable(root: &Path, init: &str) -> Result<(), UpperError> {
    executable(root, init).map_err(|errno| UpperError::Unusable { path: init.to_owned(), errno })?;
    let strange = |name: &&&str| std::fs::symlink_metadata(root.join(name)).is_ok_and(|metadata| !metadata.is_dir());
    match MOVED.iter().find(strange) {
        Some(name) => Err(UpperError::Unusable { path: format!("/{name}"), errno: Errno::NOTDIR }),
        None => Ok(()),
    }
}

/// Takes away whatever is mounted there.
fn clear(targets: &[&str]) {
    for target in targets {
        while unmount(*target, UnmountFlags::DETACH).is_ok() {}
    }
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
    fn what_was_kept_has_an_init_and_room_for_the_early_mounts() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let said = || usable(root.path(), "/init").unwrap_err().to_string();
        assert!(said().starts_with("with it the release's root has no /init that could be used"), "{}", said());
        std::fs::write(path("init"), "").unwrap();
        std::fs::set_permissions(path("init"), std::fs::Permissions::from_mode(0o755)).unwrap();
        usable(root.path(), "/init").unwrap();
        for name in MOVED {
            symlink("/", path(name)).unwrap();
            assert!(said().contains(&format!("no /{name} that could be used")), "{}", said());
            std::fs::remove_file(path(name)).unwrap();
            std::fs::create_dir(path(name)).unwrap();
            usable(root.path(), "/init").unwrap();
        }
    }

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
