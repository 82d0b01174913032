//! What most rows share: a release and who has it, a firmware, and the artefact that starts a machine.

use std::path::{Path, PathBuf};

use qemu::Machine;
use tempfile::TempDir;

use crate::{
    arrival::Arrival,
    row::Outcome,
    support::{Boot, KERNEL_PARAMETERS, Lab, Release, Serve, Tree, Uefi, text},
};

/// What the entry of the menu chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The release is at an origin.
    Internet,
    /// The release is at an origin of the machine's own link.
    Local,
    /// The artefact carries the release.
    Private,
}

impl Mode {
    /// Its word on the kernel command line and in receipts.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Internet => "internet",
            Self::Local => "local",
            Self::Private => "private",
        }
    }

    /// The key of its entry in grub/phase.cfg.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Internet => "i",
            Self::Local => "l",
            Self::Private => "p",
        }
    }
}

/// What starts the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// `SeaBIOS`.
    Bios,
    /// OVMF of 64 bits.
    X64,
    /// OVMF of 32 bits, as Macs of 2006 to 2009 have it.
    Ia32,
}

impl Firmware {
    /// A machine that starts the first drive that it gets, and the flash chips of its UEFI, which have to be kept while it runs.
    pub(crate) fn machine(self) -> (Machine, Option<Uefi>) {
        let chips = match self {
            Self::Bios => None,
            Self::X64 => Some(Uefi::new()),
            Self::Ia32 => Some(Uefi::of_32_bits()),
        };
        let machine = Machine::from_firmware();
        (chips.iter().fold(machine, |machine, chips| chips.plug(machine)), chips)
    }
}

/// Who has the release.
enum Holder {
    /// The artefact carries it: private mode.
    Artefact(Tree),
    Server(Serve),
}

/// A release, who has it, and a folder for what is made.
pub(crate) struct Scene {
    mode: Mode,
    holder: Holder,
    /// Whether it is a whole Debian, which is asked at its login, and not the tiny release.
    debian: bool,
    folder: TempDir,
}

impl Scene {
    /// With the tiny release, which says that it was reached and switches off.
    pub(crate) fn tiny(mode: Mode) -> Self {
        Self::of(mode, Release::default(), false)
    }

    /// With a Debian, up to its login.
    pub(crate) fn debian(mode: Mode) -> Self {
        let rootfs = Some(Lab::ready().debian());
        Self::of(mode, Release { rootfs, ..Release::default() }, true)
    }

    /// With the tiny release in a form of its own.
    pub(crate) fn with(mode: Mode, release: Release) -> Self {
        Self::of(mode, release, false)
    }

    fn of(mode: Mode, release: Release, debian: bool) -> Self {
        let tree = release.publish();
        let holder = match mode {
            Mode::Private => Holder::Artefact(tree),
            Mode::Internet | Mode::Local => Holder::Server(Serve::tree(tree)),
        };
        Self { mode, holder, debian, folder: tempfile::tempdir().unwrap() }
    }

    /// What the kernel is told beside its console and the mode.
    pub(crate) fn parameters(&self) -> String {
        let origin = match &self.holder {
            Holder::Artefact(_) => String::new(),
            Holder::Server(server) => server.origin(),
        };
        format!("{KERNEL_PARAMETERS} phase.on_failure=poweroff {origin}").trim_end().to_owned()
    }

    /// What its artefact sets.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A place for something that the row makes.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `phase image WHAT` with kernel, initramfs, parameters and these options, and returns what it made: `name` of the
    /// row's folder.
    pub(crate) fn image(&self, what: &str, options: &[&str], name: &str) -> PathBuf {
        let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
        let (parameters, out) = (format!("console=ttyS0 {}", self.parameters()), self.place(name));
        let parts = ["--kernel", text(&kernel), "--initramfs", text(&initramfs), "--parameters", &parameters];
        Lab::ready().phase(&[&["image", what, "--out", text(&out)], &parts[..], options].concat());
        out
    }

    /// The option that puts the release into an artefact, in private mode.
    pub(crate) fn carries(&self) -> Vec<&str> {
        match &self.holder {
            Holder::Artefact(tree) => vec!["--release", text(tree.path())],
            Holder::Server(_) => Vec::new(),
        }
    }

    /// Starts the machine with the memory that the release wants, presses the key of the mode once GRUB's menu is there, and
    /// follows the boot to the release, which was entered by kexec. In private mode the release comes from `device`: what its
    /// name begins with.
    #[track_caller]
    pub(crate) fn boots_by_the_menu(&self, machine: Machine, artefact: &Path, device: &str) -> Outcome {
        let mut boot = Boot::start(&self.with_memory(machine));
        boot.shows("Phase Boot: Private");
        boot.types(self.mode.key());
        let outcome = self.arrival(device).of(&mut boot, artefact);
        assert!(!boot.says("Press any key"), "the boot loader complains, and waits for somebody");
        outcome
    }

    /// The same where something else than the menu says the mode.
    #[track_caller]
    pub(crate) fn boots(&self, machine: Machine, artefact: &Path, device: &str) -> Outcome {
        self.arrival(device).of(&mut Boot::start(&self.with_memory(machine)), artefact)
    }

    /// The machine with the memory that the release wants.
    pub(crate) fn with_memory(&self, machine: Machine) -> Machine {
        machine.memory_mib(if self.debian { 1024 } else { 512 })
    }

    /// What has to become of it, for rows that start the machine by themselves.
    pub(crate) fn arrival<'a>(&self, device: &'a str) -> Arrival<'a> {
        let source = if self.mode == Mode::Private { device } else { "http://10.0.2.2:" };
        Arrival { mode: self.mode, handoff: "kexec", source, login: self.debian }
    }
}
