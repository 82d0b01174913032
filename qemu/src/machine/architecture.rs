//! What differs between the machines of two architectures, as data: QEMU's program, the board, the console's name.

use super::{Accelerator, NO_TIMER_CHECK};

/// What the guest's processor speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`: the board q35, `ttyS0`, a VGA framebuffer.
    #[default]
    X86_64,
    /// `aarch64`: the board virt, `ttyAMA0`, no screen. The kernel gets a device tree from QEMU, or ACPI's tables from UEFI.
    Aarch64,
}

impl Architecture {
    /// QEMU's program, and the package that has it.
    pub(super) fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Self::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
        }
    }

    /// QEMU's `-machine`.
    pub(super) fn board(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt",
        }
    }

    /// The value of `-vga`. Of virt's a guest can only use what is no VGA, and tests look at its serial line.
    pub(super) fn screen(self) -> &'static str {
        match self {
            Self::X86_64 => "std",
            Self::Aarch64 => "none",
        }
    }

    /// The device that joins `-tpmdev tpm0` with the guest.
    pub(super) fn tpm(self) -> &'static str {
        match self {
            Self::X86_64 => "tpm-tis,tpmdev=tpm0",
            Self::Aarch64 => "tpm-tis-device,tpmdev=tpm0",
        }
    }

    /// The AHCI whose ports are `ide.0` to `ide.5`, where the board does not bring one.
    pub(super) fn ahci(self) -> Option<&'static str> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some("ich9-ahci,id=ide"),
        }
    }

    /// The words that every kernel command line begins with.
    pub(super) fn parameters(self, accelerator: Accelerator) -> &'static [&'static str] {
        match (self, accelerator) {
            (Self::X86_64, Accelerator::Tcg) => &["console=ttyS0", NO_TIMER_CHECK],
            (Self::X86_64, Accelerator::Kvm) => &["console=ttyS0"],
            (Self::Aarch64, _) => &["console=ttyAMA0"],
        }
    }
}
