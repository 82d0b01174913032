//! What AAVMF starts: the disk image and the disc of `phase image`, as GRUB's menu chooses, and the UKI, which has no menu.

use std::{
    fs,
    path::{Path, PathBuf},
};

use qemu::{Bus, Machine, Optical};
use tempfile::TempDir;

use super::{Firmware, Kernel, PARAMETERS, arrives, chooses, grub, of_package, publish};
use crate::{
    arrival::Arrival,
    row::Outcome,
    scene::Mode,
    support::{Boot, Lab, Medium, Serve, Tree, text},
};

/// An image that starts a machine, and whoever has the release in this mode.
struct Image {
    path: PathBuf,
    _server: Option<Serve>,
    _folder: TempDir,
}

impl Image {
    /// What `phase image WHAT` makes for a mode.
    fn made(what: &str, mode: Mode) -> Self {
        let (tree, folder) = (publish(None, "direct"), tempfile::tempdir().unwrap());
        let (server, carried) = match mode {
            Mode::Private => (None, Some(tree)),
            Mode::Internet | Mode::Local => (Some(Serve::tree(tree)), None),
        };
        let path = folder.path().join("image");
        let origin = server.as_ref().map_or(String::new(), Serve::origin);
        make(what, Kernel::general(), carried.as_ref(), &origin, &path);
        Self { path, _server: server, _folder: folder }
    }

    /// Starts the machine that it is plugged into, up to the release, which comes from `device` in private mode; nobody writes
    /// to the image.
    fn starts(&self, machine: &Machine, mode: Mode, device: &str) -> Outcome {
        let before = fs::read(&self.path).unwrap();
        let mut boot = Boot::start(machine);
        chooses(&mut boot, mode);
        let outcome = arrives(&mut boot, mode, device, &self.path);
        assert!(fs::read(&self.path).unwrap() == before, "the image was written");
        outcome
    }
}

/// Runs `phase image WHAT` with a release to carry and a place to look for one.
pub(super) fn make(what: &str, kernel: &Kernel, carried: Option<&Tree>, origin: &str, out: &Path) {
    let parameters = format!("{PARAMETERS} phase.on_failure=poweroff {origin}");
    let grub = grub();
    let mut options = vec!["--kernel", text(&kernel.image), "--initramfs", text(&kernel.boot), "--out", text(out)];
    options.extend(["--parameters", parameters.trim_end(), "--grub", &grub]);
    options.extend(carried.iter().flat_map(|tree| ["--release", text(tree.path())]));
    Lab::ready().phase(&[&["image", what], &options[..]].concat());
}

pub(super) fn disk(bus: Bus, mode: Mode) -> Outcome {
    let (image, firmware) = (Image::made("disk", mode), Firmware::new());
    let device = if bus == Bus::VirtioBlk { "/dev/vd" } else { "/dev/sd" };
    image.starts(&firmware.machine().disk_on(bus, &image.path), mode, device)
}

pub(super) fn disc(drive: Optical, mode: Mode) -> Outcome {
    let (image, firmware) = (Image::made("iso", mode), Firmware::new());
    image.starts(&firmware.machine().disc(drive, &image.path), mode, "/dev/sr")
}

/// What dd makes of a stick.
pub(super) fn stick() -> Outcome {
    let (mode, firmware) = (Mode::Private, Firmware::new());
    let image = Image::made("iso", mode);
    image.starts(&firmware.machine().disk_on(Bus::Usb, &image.path), mode, "/dev/sd")
}

pub(super) fn uki() -> Outcome {
    let (kernel, folder) = (Kernel::cloud(), tempfile::tempdir().unwrap());
    let server = Serve::tree(publish(None, "direct"));
    let (out, stub) = (folder.path().join("phase.efi"), "usr/lib/systemd/boot/efi/linuxaa64.efi.stub");
    let stub = of_package("systemd-boot-efi", stub);
    let parameters = format!("{PARAMETERS} phase.on_failure=poweroff {}", server.origin());
    let parts = ["--kernel", text(&kernel.image), "--initramfs", text(&kernel.boot), "--parameters", &parameters];
    let options = ["--mode", "local", "--stub", &stub, "--out", text(&out)];
    Lab::ready().phase(&[&["image", "uki"], &parts[..], &options].concat());
    let medium = Medium::uefi_called("BOOTAA64.EFI", &out);
    let firmware = Firmware::new();
    let arrival = Arrival { mode: Mode::Local, handoff: "direct", source: "http://10.0.2.2:", login: false };
    arrival.of(&mut Boot::start(&firmware.machine().disk(&medium.path())), &out)
}
