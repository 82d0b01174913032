//! Named sets of modules, so that a person says `net` and not sixty names. Each line says why it is there.
//!
//! Guarantees: a set that is `required` packs whole or not at all; one that is a wish packs what the kernel's tree has, and
//! says what it lacks.

/// A set of modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// What it is called; no kernel module has this name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether a kernel that lacks one of the modules is refused.
    pub required: bool,
    /// A set that is part of this one.
    pub includes: Option<&'static Self>,
    /// Module and reason.
    pub modules: &'static [(&'static str, &'static str)],
}

impl Set {
    /// Every module of this set, and of the one that is part of it.
    pub fn all_modules(&self) -> impl Iterator<Item = &'static str> + use<> {
        let own = self.modules.iter();
        own.chain(self.includes.into_iter().flat_map(|part| part.modules)).map(|(name, _)| *name)
    }
}

/// All sets.
pub const ALL: &[Set] = &[ROOT, QEMU_NET, NET, DISK, MEDIA, KEYBOARD, TPM, WATCHDOG];

/// The set of a name.
pub fn find(name: &str) -> Option<&'static Set> {
    ALL.iter().find(|set| set.name == name)
}

/// What stage two, or the hand-off `direct`, needs to put a root file system together.
pub const ROOT: Set = Set {
    name: "root",
    purpose: "squashfs on a loop device under an overlay",
    required: true,
    includes: None,
    modules: &[
        ("loop", "a block device over rootfs.squashfs"),
        ("squashfs", "the release's root"),
        ("overlay", "the writable layer over it"),
    ],
};

/// The network of QEMU's virtio cards.
pub const QEMU_NET: Set = Set {
    name: "qemu-net",
    purpose: "the network of a QEMU machine with a virtio card",
    required: true,
    includes: None,
    modules: &[("virtio_pci", "the bus of virtio devices on PCI"), ("virtio_net", "-device virtio-net-pci")],
};

/// Wired network of common machines. Drivers that need firmware files (bnx2x, liquidio) are left to people who add both.
pub const NET: Set = Set {
    name: "net",
    purpose: "the wired network of common PCs, servers, virtual machines and USB adapters",
    required: false,
    includes: None,
    modules: &[
        // What the command line may ask for (docs/network.md).
        ("8021q", "phase.vlan="),
        ("bonding", "phase.bond="),
        // Virtual machines.
        ("virtio_pci", "the bus of virtio devices on PCI"),
        ("virtio_mmio", "the bus of virtio devices of QEMU's microvm and of Firecracker"),
        ("virtio_net", "QEMU, KVM, most clouds"),
        ("vmxnet3", "VMware"),
        ("hv_vmbus", "the bus of Hyper-V and Azure"),
        ("hv_netvsc", "Hyper-V and Azure"),
        ("pci_hyperv", "Azure's accelerated network behind Hyper-V"),
        ("xen_netfront", "Xen"),
        ("ena", "Amazon EC2"),
        ("gve", "Google Cloud"),
        ("e1000", "VirtualBox and old QEMU; Intel 8254x"),
        ("pcnet32", "old VMware and VirtualBox"),
        ("8139cp", "QEMU's rtl8139"),
        // PCs and laptops.
        ("8139too", "Realtek 100 Mbit/s"),
        ("r8169", "Realtek 1 to 2.5 Gbit/s, most PC boards"),
        ("realtek", "the PHYs that r8169 needs"),
        ("e1000e", "Intel 1 Gbit/s on boards"),
        ("igb", "Intel 1 Gbit/s on cards and servers"),
        ("igc", "Intel 2.5 Gbit/s"),
        ("e100", "Intel 100 Mbit/s"),
        ("tg3", "Broadcom 1 Gbit/s"),
        ("broadcom", "the PHYs that tg3 may need"),
        ("b44", "Broadcom 100 Mbit/s in old laptops"),
        ("bnx2", "Broadcom 1 Gbit/s in old servers"),
        ("atl1c", "Atheros 1 Gbit/s"),
        ("atl1e", "Atheros 1 Gbit/s, older"),
        ("alx", "Killer and Atheros 1 Gbit/s"),
        ("atlantic", "Aquantia and Marvell 2.5 to 10 Gbit/s"),
        ("sky2", "Marvell Yukon 1 Gbit/s"),
        ("skge", "Marvell and SysKonnect 1 Gbit/s, older"),
        ("jme", "JMicron 1 Gbit/s"),
        ("forcedeth", "nForce boards"),
        ("via_rhine", "VIA 100 Mbit/s, thin clients"),
        ("via_velocity", "VIA 1 Gbit/s"),
        // Servers.
        ("ixgbe", "Intel 10 Gbit/s"),
        ("ixgbevf", "its virtual functions"),
        ("i40e", "Intel 10 to 40 Gbit/s"),
        ("iavf", "virtual functions of i40e and ice"),
        ("ice", "Intel 25 to 100 Gbit/s"),
        ("bnxt_en", "Broadcom 10 to 100 Gbit/s"),
        ("mlx4_en", "Mellanox ConnectX-3"),
        ("mlx5_core", "Mellanox ConnectX-4 and later"),
        ("be2net", "Emulex 10 Gbit/s"),
        ("enic", "Cisco UCS"),
        ("amd_xgbe", "AMD's own 10 Gbit/s"),
        // arm64, as far as UEFI starts it.
        ("genet", "Raspberry Pi 4"),
        ("hclge", "HiSilicon's servers, the hardware"),
        ("hns3", "the same, the interfaces"),
        ("nicvf", "Cavium ThunderX"),
        ("mvpp2", "Marvell Armada"),
        ("netsec", "Socionext SynQuacer"),
        ("xhci_plat_hcd", "USB 3 host controllers that are on no PCI"),
        // USB adapters, and the host controllers to reach them.
        ("xhci_pci", "USB 3 host controllers"),
        ("ehci_pci", "USB 2 host controllers"),
        ("r8152", "Realtek adapters and docks"),
        ("ax88179_178a", "ASIX 1 Gbit/s adapters"),
        ("asix", "ASIX 100 Mbit/s adapters"),
        ("cdc_ether", "adapters of the CDC standard"),
        ("cdc_ncm", "adapters of the CDC NCM standard, docks"),
        ("aqc111", "Aquantia 5 Gbit/s adapters"),
        ("smsc95xx", "SMSC adapters, the first Raspberry Pis"),
        ("lan78xx", "Microchip adapters, Raspberry Pi 3B+"),
    ],
};

/// The disks that a machine may be booted from, and the file systems that a state may be kept on.
pub const DISK: Set = Set {
    name: "disk",
    purpose: "common disks and USB sticks, ext4 and vfat: for --state disk:PARTUUID",
    required: false,
    includes: None,
    modules: &[
        // Virtual machines.
        ("virtio_pci", "the bus of virtio devices on PCI"),
        ("virtio_mmio", "the bus of virtio devices of QEMU's microvm and of Firecracker"),
        ("virtio_blk", "QEMU, KVM, many clouds"),
        ("virtio_scsi", "QEMU, KVM, Google Cloud"),
        ("vmw_pvscsi", "VMware"),
        ("hv_vmbus", "the bus of Hyper-V and Azure"),
        ("hv_storvsc", "Hyper-V and Azure"),
        ("xen_blkfront", "Xen"),
        // PCs and servers.
        ("ahci", "SATA"),
        ("ata_piix", "SATA and IDE of old Intel boards, old QEMU"),
        ("ahci_platform", "SATA of arm64 that is on no PCI"),
        ("nvme", "NVMe"),
        ("vmd", "NVMe behind Intel's VMD, the default of many laptops and servers"),
        ("sd_mod", "disks of SCSI, SATA and USB"),
        ("mmc_block", "SD cards and eMMC"),
        ("sdhci_pci", "SD card readers on PCI"),
        ("sdhci_acpi", "SD card readers and eMMC of tablets and laptops"),
        ("sdhci_iproc", "Raspberry Pi 4"),
        ("rtsx_pci_sdmmc", "Realtek's SD card readers on PCI, most laptops"),
        ("rtsx_usb_sdmmc", "the same on USB"),
        ("mpt3sas", "Broadcom's SAS controllers"),
        ("megaraid_sas", "Broadcom's MegaRAID and Dell's PERC"),
        ("hpsa", "HPE's Smart Array"),
        ("smartpqi", "HPE's and Microchip's newer SAS controllers"),
        ("aacraid", "Adaptec"),
        ("mptspi", "VMware's older default"),
        // USB sticks, and the host controllers to reach them.
        ("xhci_pci", "USB 3 host controllers"),
        ("ehci_pci", "USB 2 host controllers"),
        ("usb_storage", "USB sticks"),
        ("uas", "USB disks of the newer protocol"),
        // File systems.
        ("ext4", "what PHASE-DATA has"),
        ("vfat", "what a USB stick may have"),
        ("nls_cp437", "the short names of vfat"),
        ("nls_ascii", "the long names of vfat, Debian's default"),
        ("nls_iso8859_1", "the same, Linux's default"),
        ("nls_utf8", "the same, where it is the default"),
    ],
};

/// What private mode looks at.
pub const MEDIA: Set = Set {
    name: "media",
    purpose: "what `disk` has, optical drives and ISO 9660: all media of private mode",
    required: false,
    includes: Some(&DISK),
    modules: &[
        ("cdrom", "what optical drives have in common"),
        ("sr_mod", "optical drives of SATA, SCSI and USB"),
        ("isofs", "the file system of discs and of their images on a stick"),
    ],
};

/// Keyboards that a person at the screen types on. Those of PS/2, which most kernels have built in, are most laptops' own.
pub const KEYBOARD: Set = Set {
    name: "keyboard",
    purpose: "keyboards of PS/2, USB and virtual machines: for the menu and the rescue prompt",
    required: false,
    includes: None,
    modules: &[
        ("i8042", "the PS/2 port, of most laptops too"),
        ("atkbd", "PS/2 keyboards"),
        ("xhci_pci", "USB 3 host controllers"),
        ("ehci_pci", "USB 2 host controllers"),
        ("uhci_hcd", "their companions for keyboards, of Intel and VIA"),
        ("ohci_pci", "the same, of all others"),
        ("usbhid", "USB keyboards"),
        ("hid_generic", "all that keep to the standard"),
        ("hid_apple", "Apple's"),
        ("hid_microsoft", "Microsoft's"),
        ("hid_logitech_dj", "wireless ones of Logitech"),
        ("hid_cherry", "Cherry's"),
        ("hid_lenovo", "Lenovo's"),
        ("hyperv_keyboard", "Hyper-V and Azure"),
        ("virtio_input", "QEMU's virtio-keyboard"),
    ],
};

/// TPM 2.0 chips, where their drivers are not built in.
pub const TPM: Set = Set {
    name: "tpm",
    purpose: "TPM 2.0: for --state tpm",
    required: false,
    includes: None,
    modules: &[
        ("tpm_tis", "TPM chips, and QEMU's tpm-tis"),
        ("tpm_crb", "TPMs in firmware, and QEMU's tpm-crb"),
        ("tpm_tis_spi", "TPM chips on SPI"),
        ("tpm_ftpm_tee", "TPMs in Arm's TrustZone"),
    ],
};

/// Watchdogs of boards, which some firmware starts before it starts a kernel. With its driver, the kernel feeds one that runs, or
/// stops it, and stops it before it jumps into another kernel. Those behind a Super-I/O chip or a BMC are found by no driver by
/// itself, and are left to people who name them.
pub const WATCHDOG: Set = Set {
    name: "watchdog",
    purpose: "watchdogs that the firmware may have started: without a driver, they restart the machine in the middle of the boot",
    required: false,
    includes: None,
    modules: &[
        ("iTCO_wdt", "Intel's chipsets, QEMU's q35"),
        ("lpc_ich", "the way to it on chipsets up to 2014"),
        ("i2c_i801", "the same on later ones"),
        ("sp5100_tco", "AMD's chipsets"),
        ("wdat_wdt", "what a board describes by ACPI's WDAT"),
        ("hpwdt", "HPE's servers"),
        ("i6300esb", "QEMU's -device i6300esb"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_line_is_one_module_with_a_reason() {
        for set in ALL {
            assert_eq!(find(set.name), Some(set));
            let names: BTreeSet<_> = set.all_modules().collect();
            assert_eq!(names.len(), set.all_modules().count(), "{} names a module twice", set.name);
            assert!(set.includes.is_none_or(|part| part.includes.is_none() && part.required == set.required));
            for (name, reason) in set.modules {
                assert!(!reason.is_empty() && !name.contains('-'), "{name}");
                assert!(find(name).is_none(), "{name} is a set and a module");
            }
        }
    }
}
