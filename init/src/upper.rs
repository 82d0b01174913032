//! The persistent upper: a directory of the machine's own partition, where the changes to a release's root are kept from one boot
//! to the next.
//!
//! What is there runs without having been signed: the stated exception (docs/threat-model.md). So it is used only if the
//! release's manifest allows it, the owner's configuration asks for it, the mode may write, and nobody took it back for this boot
//! ([`choose`]). That it is missing, full or damaged stops no boot: the changes go to a tmpfs then, and the console and the receipt
//! say why.
//!
//! Of the partition, the release is shown the directory `upper/<channel>/<arch>` alone, and there nothing is a device, lends rights
//! or can be executed: what is started through the root goes by the root's own flags. No link on the partition is followed.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, fstat, fstatvfs};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};
use serde::Serialize;
use serde_json::Value;
use verify::PartUuid;

use crate::console::Console;
use crate::file_system::{FileSystem, Volume, directory_below};
use crate::mode::Mode;
use crate::modules;
use crate::store::partition::{self, NoPartition};
use crate::store::{Access, StoreError};
use crate::switch_root;

/// How long the partition is waited for: the kernel that looks for it may have begun a moment ago, and a USB stick takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The directory of the partition, which only root may enter; below it one for each channel, and in that one for each architecture.
const TOP: &str = "upper";
/// What has to be free, so that the kernel can copy a small file up: bytes, and inodes.
const LEAST_FREE: (u64, u64) = (1 << 20, 16);

/// Where changes are kept, in the hand-off; in the receipt, also what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upper {
    /// The partition.
    pub partuuid: PartUuid,
    /// In the receipt: `persistent`, or `tmpfs` if it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// In the receipt: why it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why changes are not kept in this boot, though the owner of the machine asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Private mode writes nothing.
    #[error("private mode writes to no disk")]
    Private,
    /// The kernel command line took it back.
    #[error("phase.upper=tmpfs is on the kernel command line")]
    SwitchedOff,
    /// The release does not want it.
    #[error("this release does not allow it (phase publish --upper persistent)")]
    NotAllowed,
}

/// Whether changes are kept in this boot; nothing, if the owner of the machine never asked for it. `kept_on` is the partition that
/// the configuration names, `allowed` what the manifest says.
pub fn choose(
    kept_on: Option<&PartUuid>,
    switched_off: bool,
    mode: Mode,
    allowed: Option<verify::Upper>,
) -> Result<Option<Upper>, NotKept> {
    let Some(partuuid) = kept_on else { return Ok(None) };
    match (Access::of(mode), switched_off, allowed) {
        (Access::ReadOnly, ..) => Err(NotKept::Private),
        (_, true, _) => Err(NotKept::SwitchedOff),
        (_, _, None) => Err(NotKept::NotAllowed),
        (_, _, Some(verify::Upper::Persistent)) => Ok(Some(Upper::on(partuuid.clone()))),
    }
}

/// A partition that changes cannot be kept on.
#[derive(Debug, thiserror::Error)]
pub enum UpperError {
    /// It is not there, or there twice.
    #[error(transparent)]
    NoPartition(#[from] NoPartition),
    /// It cannot be read or mounted.
    #[error(transparent)]
    Disk(#[from] StoreError),
    /// It has another file system, or none.
    #[error("{} has file system {seen}, wanted ext4 (mkfs.ext4 makes one, and removes all that is there)", device.display())]
    FileSystem {
        /// The device file.
        device: PathBuf,
        /// What it has, in a word.
        seen: &'static str,
    },
    /// It has no room.
    #[error("{} is full: {free} KiB and {inodes} inodes are free, wanted {} and {}; mount it and remove something below upper/, or make it larger", device.display(), LEAST_FREE.0 >> 10, LEAST_FREE.1)]
    Full {
        /// The device file.
        device: PathBuf,
        /// KiB that are free.
        free: u64,
        /// Inodes that are free.
        inodes: u64,
    },
    /// A directory of it cannot be made or entered.
    #[error("{name} on {} is no directory or cannot be made: {errno}; mount it and remove {name}", device.display())]
    Directory {
        /// Its name.
        name: String,
        /// The device file.
        device: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// It cannot be put where it belongs.
    #[error("{} cannot be put at {target}: {errno}", device.display())]
    Attach {
        /// The device file.
        device: PathBuf,
        /// Where.
        target: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The kernel makes no union with it, or one that takes no changes.
    #[error("the kernel cannot put it over the release's root: {0} (see its log; fsck repairs a damaged file system)")]
    Union(Errno),
    /// What is kept there is no root that the release could start from.
    #[error(
        "with it the release's root has no {path} that could be used: {errno}; mount it and remove upper/ or what is wrong in it"
    )]
    Unusable {
        /// What is missing.
        path: String,
        /// Why.
        errno: Errno,
    },
}

impl Upper {
    /// On this partition; what comes of it is open.
    fn on(partuuid: PartUuid) -> Self {
        Self { partuuid, kind: None, reason: None }
    }

    /// What a hand-off says of it, if that is of a form that is known here.
    pub fn handed_on(json: &Value) -> Option<Self> {
        Some(Self::on(json.get("partuuid")?.as_str()?.parse().ok()?))
    }

    /// The same for the receipt, with what came of it; a person at the console is told why changes will be lost.
    #[must_use]
    pub fn tried(self, came_of_it: &Result<(), UpperError>, console: &Console) -> Self {
        let reason = came_of_it.as_ref().err().map(ToString::to_string);
        if let Some(reason) = &reason {
            console.warn(format_args!(
                "what is written in this boot will be lost, and what was kept is not there: {reason}"
            ));
        }
        let kind = if reason.is_none() { verify::Upper::Persistent.as_str() } else { "tmpfs" };
        Self { kind: Some(kind.to_owned()), reason, ..self }
    }
}

/// A directory of a partition, before anybody looked for it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The partition.
    partuuid: &'a PartUuid,
    /// Channel of the release: what another one keeps is not its concern.
    channel: &'a str,
    /// Architecture of the release.
    arch: &'a str,
    /// The kernel command line, for the modules of the file system.
    command_line: &'a str,
    /// Where a person is told that the partition is waited for.
    console: &'a Console,
}

impl<'a> Place<'a> {
    /// The place that a hand-off names, for a release of this channel and architecture.
    pub fn new(upper: &'a Upper, channel: &'a str, arch: &'a str, command_line: &'a str, console: &'a Console) -> Self {
        Self { partuuid: &upper.partuuid, channel, arch, command_line, console }
    }

    /// Mounts it on `target`, with the directories `data` and `work` in it, the latter empty. What fails may leave a mount there.
    pub fn attach(&self, target: &'static str) -> Result<(), UpperError> {
        let root = Path::new("/");
        let device = self.device(root)?;
        let volume = ext4(&device)?;
        volume.load_modules(&|module| _ = modules::load(root, self.command_line, &[module]));
        let file_system = FileSystem::Ext4.name();
        let top = volume.mount(Access::ReadWrite).map_err(|errno| StoreError::Mount {
            file_system,
            device: device.clone(),
            errno,
        })?;
        has_room(&top, &device)?;
        let own = self.directories(&top, &device)?;
        let device_number = fstat(&own).map_or(0, |metadata| metadata.st_dev);
        show(&top, &own, target).map_err(|errno| UpperError::Attach { device, target, errno })?;
        // What a machine that lost its power left there. The kernel removes little of it itself, and makes a union that takes no
        // changes if something stays (`ovl_workdir_create` of Linux).
        switch_root::remove_below(&Path::new(target).join("work"), device_number, 0);
        Ok(())
    }

    /// Finds the partition. If it is not there at once, a person is told what the machine does meanwhile.
    fn device(&self, root: &Path) -> Result<PathBuf, NoPartition> {
        let Self { partuuid, console, .. } = self;
        let found = partition::find(root, partuuid, Duration::ZERO);
        if !matches!(found, Err(NoPartition::Missing { .. })) {
            return found;
        }
        let most = PATIENCE.as_secs();
        console.info(format_args!("changes are kept on partition {partuuid}; waiting for it for up to {most} s"));
        partition::find(root, partuuid, PATIENCE)
    }

    /// The release's own directory, made if it is not there, with all that is above and in it.
    fn directories(&self, top: &OwnedFd, device: &Path) -> Result<OwnedFd, UpperError> {
        let make = |parent: &OwnedFd, name: &str, mode| {
            directory_below(parent, name, mode).map_err(|errno| UpperError::Directory {
                name: name.to_owned(),
                device: device.to_owned(),
                errno,
            })
        };
        let top = make(top, TOP, 0o700)?;
        let own = make(&make(&top, self.channel, 0o700)?, self.arch, 0o700)?;
        make(&own, "data", 0o755)?;
        make(&own, "work", 0o700)?;
        Ok(own)
    }
}

/// The partition, if it has the one file system that an overlay can write to.
fn ext4(device: &Path) -> Result<Volume, UpperError> {
    let device = device.to_owned();
    let looked = Volume::look(device.clone(), Access::ReadWrite);
    match looked.map_err(|source| StoreError::Device { device: device.clone(), source })? {
        Some(volume) if volume.superblock().file_system == FileSystem::Ext4 => Ok(volume),
        other => {
            let seen = other.map_or("none", |volume| volume.superblock().file_system.name());
            Err(UpperError::FileSystem { device, seen })
        }
    }
}

fn has_room(top: &OwnedFd, device: &Path) -> Result<(), UpperError> {
    // What cannot be told is not held against it.
    let Ok(free) = fstatvfs(top) else { return Ok(()) };
    let (bytes, inodes) = (free.f_bfree.saturating_mul(free.f_frsize), free.f_ffree);
    if bytes >= LEAST_FREE.0 && inodes >= LEAST_FREE.1 {
        return Ok(());
    }
    Err(UpperError::Full { device: device.to_owned(), free: bytes >> 10, inodes })
}

/// Shows one directory of a mount at `target`, and the rest of it nowhere. The mount has to be somewhere for the moment in which
/// a part of it becomes one of its own: older kernels (6.1) copy no tree that is in no namespace (`__do_loopback`).
fn show(mount: &OwnedFd, directory: &OwnedFd, target: &str) -> Result<(), Errno> {
    let here = |mount: &OwnedFd| move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    here(mount)?;
    let own = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let own = open_tree(directory, "", own);
    unmount(target, UnmountFlags::DETACH)?;
    here(&own?)
}

#[cfg(test)]
mod tests;
