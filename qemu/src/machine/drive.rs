//! Disks and discs, and the buses that they are plugged into.
//!
//! Every controller is one that drivers of real machines serve: an AHCI of Intel's, xHCI, `NVMe`, an SDHCI on PCI, virtio.

use std::path::{Path, PathBuf};

/// What a disk is plugged into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk: `/dev/vda`.
    #[default]
    VirtioBlk,
    /// virtio-scsi: `/dev/sda`.
    VirtioScsi,
    /// `NVMe`: `/dev/nvme0n1`.
    Nvme,
    /// A port of the board's AHCI, which has six: `/dev/sda`.
    Sata,
    /// A USB stick of the bulk-only protocol on xHCI: `/dev/sda`.
    Usb,
    /// A USB disk of the newer protocol, USB Attached SCSI, on xHCI: `/dev/sda`.
    UsbAttachedScsi,
    /// An SD card in a reader of its own: `/dev/mmcblk0`. Its size has to be a power of two.
    Sd,
}

/// What a drive for optical discs is plugged into: `/dev/sr0` on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optical {
    /// A port of the board's AHCI.
    Sata,
    /// virtio-scsi.
    VirtioScsi,
    /// USB, on xHCI.
    Usb,
}

/// A drive, and the image in it: raw, or qcow2 if its name says so. (QEMU is not left to find out: of a raw image the
/// guest writes the first bytes.)
#[derive(Debug, Clone)]
pub(super) struct Drive {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What kind of drive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Disk { bus: Bus, read_only: bool },
    Disc(Optical),
}

impl Kind {
    /// What follows the file `path` in `-drive`.
    pub(super) fn backend(self, path: &Path, number: usize) -> String {
        let format = if path.extension().is_some_and(|extension| extension == "qcow2") { "qcow2" } else { "raw" };
        let suffix = match self {
            Self::Disk { read_only: false, .. } => "",
            Self::Disk { read_only: true, .. } => ",readonly=on",
            Self::Disc(_) => ",readonly=on,media=cdrom",
        };
        format!(",format={format},if=none,id=disk{number}{suffix}")
    }

    /// The values of `-device`, in order. `sata` is the port that is free, and `suffix` stands behind the drive itself.
    pub(super) fn devices(self, number: usize, sata: usize, suffix: &str) -> Vec<String> {
        let drive = format!("drive=disk{number}{suffix}");
        match self {
            Self::Disk { bus, .. } => match bus {
                Bus::VirtioBlk => vec![format!("virtio-blk-pci,{drive}")],
                Bus::VirtioScsi => vec![format!("scsi-hd,bus=virtio.0,{drive}")],
                Bus::Nvme => vec![format!("nvme,serial=disk{number},{drive}")],
                Bus::Sata => vec![format!("ide-hd,bus=ide.{sata},{drive}")],
                Bus::Usb => vec![format!("usb-storage,bus=usb.0,{drive}")],
                Bus::UsbAttachedScsi => {
                    vec![format!("usb-uas,id=uas{number},bus=usb.0"), format!("scsi-hd,bus=uas{number}.0,{drive}")]
                }
                Bus::Sd => vec!["sdhci-pci".to_owned(), format!("sd-card,{drive}")],
            },
            Self::Disc(Optical::Sata) => vec![format!("ide-cd,bus=ide.{sata},{drive}")],
            Self::Disc(Optical::VirtioScsi) => vec![format!("scsi-cd,bus=virtio.0,{drive}")],
            Self::Disc(Optical::Usb) => vec![format!("usb-storage,bus=usb.0,{drive}")],
        }
    }

    pub(super) fn on_sata(self) -> bool {
        matches!(self, Self::Disk { bus: Bus::Sata, .. } | Self::Disc(Optical::Sata))
    }

    pub(super) fn on_virtio_scsi(self) -> bool {
        matches!(self, Self::Disk { bus: Bus::VirtioScsi, .. } | Self::Disc(Optical::VirtioScsi))
    }

    pub(super) fn on_usb(self) -> bool {
        matches!(self, Self::Disk { bus: Bus::Usb | Bus::UsbAttachedScsi, .. } | Self::Disc(Optical::Usb))
    }
}
