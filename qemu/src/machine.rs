//! Describes a machine; [`Machine::start`] makes it run.
//!
//! The description is plain data, and [`Machine::arguments`] turns it into QEMU's command line without touching the
//! host, so that what a machine is can be tested without starting one.

mod architecture;
mod drive;
mod network;

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};

use self::drive::{Drive, Kind};
pub use self::{
    architecture::Architecture,
    drive::{Bus, Optical},
    network::{Network, NetworkBoot},
};
use crate::{Error, Running, program};

/// Under TCG a busy host makes timer interrupts late, which the kernel's own test of them takes for a broken machine
/// ("IO-APIC + timer doesn't work!"): this parameter leaves the test out.
pub const NO_TIMER_CHECK: &str = "no_timer_check";

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU's own translator: slow, and works everywhere.
    #[default]
    Tcg,
    /// The host's KVM. Never chosen by itself: in nested machines the device opens and guests then die.
    Kvm,
}

/// A kernel that QEMU starts without a boot loader.
#[derive(Debug, Clone)]
struct DirectKernel {
    kernel: PathBuf,
    initrd: PathBuf,
}

/// The two flash chips of a UEFI firmware.
#[derive(Debug, Clone)]
struct Flash {
    code: PathBuf,
    variables: PathBuf,
    /// Whether only system management mode may write the variables.
    guarded: bool,
}

/// A machine: the board of its architecture, one serial console, virtio devices.
#[derive(Debug, Clone)]
pub struct Machine {
    architecture: Architecture,
    accelerator: Accelerator,
    memory_mib: u32,
    cpus: u32,
    kernel: Option<DirectKernel>,
    flash: Option<Flash>,
    append: Vec<String>,
    network: Network,
    network_boot: Option<NetworkBoot>,
    card: String,
    netdevs: Vec<(String, String)>,
    backends: Vec<String>,
    drives: Vec<Drive>,
    usb_keyboard: bool,
    tpm: Option<PathBuf>,
    watchdog: bool,
    clock: Option<String>,
    captures: Vec<PathBuf>,
}

impl Machine {
    /// A machine that boots `kernel` with `initrd` directly: TCG, 1024 MiB, one CPU, user network.
    pub fn new(kernel: &Path, initrd: &Path) -> Self {
        let kernel = DirectKernel { kernel: kernel.to_owned(), initrd: initrd.to_owned() };
        Self { kernel: Some(kernel), ..Self::from_firmware() }
    }

    /// A machine whose firmware boots the first drive that it gets; what its kernel is told is up to the boot loader there.
    pub fn from_firmware() -> Self {
        Self {
            architecture: Architecture::default(),
            accelerator: Accelerator::default(),
            memory_mib: 1024,
            cpus: 1,
            kernel: None,
            flash: None,
            append: Vec::new(),
            network: Network::default(),
            network_boot: None,
            card: "virtio-net-pci".to_owned(),
            netdevs: Vec::new(),
            backends: Vec::new(),
            drives: Vec::new(),
            usb_keyboard: false,
            tpm: None,
            watchdog: false,
            clock: None,
            captures: Vec::new(),
        }
    }

    /// What the guest's processor speaks; without it, `x86_64`.
    #[must_use]
    pub fn architecture(mut self, architecture: Architecture) -> Self {
        self.architecture = architecture;
        self
    }

    /// Who executes the guest.
    #[must_use]
    pub fn accelerator(mut self, accelerator: Accelerator) -> Self {
        self.accelerator = accelerator;
        self
    }

    /// The guest's memory in MiB.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// The number of virtual CPUs.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Adds to the kernel command line, which starts with `console=ttyS0`, or what the architecture's serial line is called.
    #[must_use]
    pub fn append(mut self, parameters: &str) -> Self {
        self.append.push(parameters.to_owned());
        self
    }

    /// What the first network card is plugged into.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The model of the first network card, as QEMU calls it: `virtio-net-pci`, `e1000`.
    #[must_use]
    pub fn card(mut self, model: &str) -> Self {
        model.clone_into(&mut self.card);
        self
    }

    /// One more network card `model` on a `-netdev` backend such as `socket,mcast=230.0.0.1:1234`.
    #[must_use]
    pub fn netdev(mut self, backend: &str, model: &str) -> Self {
        self.netdevs.push((backend.to_owned(), model.to_owned()));
        self
    }

    /// One more `-netdev` backend without a card, with an `id` of its own: something for others to be joined with, such
    /// as `hubport,id=a,hubid=0,netdev=b`.
    #[must_use]
    pub fn backend(mut self, backend: &str) -> Self {
        self.backends.push(backend.to_owned());
        self
    }

    /// UEFI instead of the BIOS: its code, which is only read, and its variables, which the machine keeps in this very file
    /// (of OVMF, a copy of `OVMF_VARS_4M.fd`).
    #[must_use]
    pub fn uefi(mut self, code: &Path, variables: &Path) -> Self {
        self.flash = Some(Flash { code: code.to_owned(), variables: variables.to_owned(), guarded: false });
        self
    }

    /// The same for a firmware that keeps its variables by system management mode: OVMF of 32 bits, and those that are made for
    /// Secure Boot.
    #[must_use]
    pub fn guarded_uefi(mut self, code: &Path, variables: &Path) -> Self {
        self.flash = Some(Flash { code: code.to_owned(), variables: variables.to_owned(), guarded: true });
        self
    }

    /// A virtio disk with the raw image at `path`.
    #[must_use]
    pub fn disk(self, path: &Path) -> Self {
        self.disk_on(Bus::default(), path)
    }

    /// A disk with the image at `path`, plugged in there: qcow2 if its name ends so, else raw.
    #[must_use]
    pub fn disk_on(mut self, bus: Bus, path: &Path) -> Self {
        self.drives.push(Drive { path: path.to_owned(), kind: Kind::Disk { bus, read_only: false } });
        self
    }

    /// A virtio disk that the guest cannot write.
    #[must_use]
    pub fn read_only_disk(mut self, path: &Path) -> Self {
        self.drives.push(Drive { path: path.to_owned(), kind: Kind::Disk { bus: Bus::default(), read_only: true } });
        self
    }

    /// An optical drive with the disc whose image is at `path`.
    #[must_use]
    pub fn disc(mut self, drive: Optical, path: &Path) -> Self {
        self.drives.push(Drive { path: path.to_owned(), kind: Kind::Disc(drive) });
        self
    }

    /// A keyboard on xHCI, which takes QMP's keys instead of the board's own (PS/2).
    #[must_use]
    pub fn usb_keyboard(mut self) -> Self {
        self.usb_keyboard = true;
        self
    }

    /// A TPM 2.0: the control socket of a running `swtpm socket --tpm2`, which keeps its memory.
    #[must_use]
    pub fn tpm(mut self, socket: &Path) -> Self {
        self.tpm = Some(socket.to_owned());
        self
    }

    /// A watchdog on PCI, an Intel 6300ESB, which stands still until somebody starts it. When its time is over, the machine is
    /// reset, which ends QEMU here.
    #[must_use]
    pub fn watchdog(mut self) -> Self {
        self.watchdog = true;
        self
    }

    /// What the real-time clock says at the start, in UTC: `1970-01-01T00:00:00`. Without it, the host's time.
    #[must_use]
    pub fn clock(mut self, time: &str) -> Self {
        self.clock = Some(time.to_owned());
        self
    }

    /// Writes every frame that a network card sends or gets to `path`, in libpcap's format: of the first card, when it is
    /// called once more of the second one, and so on.
    #[must_use]
    pub fn capture(mut self, path: &Path) -> Self {
        self.captures.push(path.to_owned());
        self
    }

    /// The kernel command line.
    pub fn command_line(&self) -> String {
        let given = self.append.iter().map(String::as_str);
        let words = self.architecture.parameters(self.accelerator).iter().copied().chain(given);
        words.collect::<Vec<_>>().join(" ")
    }

    /// QEMU's arguments; its control socket will be made at `qmp`.
    pub fn arguments(&self, qmp: &Path) -> Result<Vec<OsString>, Error> {
        let mut arguments = Arguments::default();
        arguments.add(["-nodefaults", "-no-reboot", "-display", "none", "-vga", self.architecture.screen()]);
        arguments.add([
            "-machine",
            self.architecture.board(),
            "-accel",
            self.accelerator.name(),
            "-cpu",
            self.accelerator.cpu(),
        ]);
        arguments.add(["-m", &self.memory_mib.to_string(), "-smp", &self.cpus.to_string()]);
        // signal=off: Ctrl-C belongs to the guest.
        arguments.add(["-chardev", "stdio,id=serial0,signal=off", "-serial", "chardev:serial0"]);
        arguments.add_with_path("-qmp", "unix:", qmp, ",server=on,wait=off")?;
        if let Some(DirectKernel { kernel, initrd }) = &self.kernel {
            arguments.add_path("-kernel", kernel);
            arguments.add_path("-initrd", initrd);
            arguments.add(["-append", &self.command_line()]);
        }
        if let Some(Flash { code, variables, guarded }) = &self.flash {
            if *guarded {
                arguments.add(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            }
            arguments.add_with_path("-drive", "if=pflash,unit=0,format=raw,readonly=on,file=", code, "")?;
            arguments.add_with_path("-drive", "if=pflash,unit=1,format=raw,file=", variables, "")?;
        }
        if let Some(time) = &self.clock {
            arguments.add(["-rtc", &format!("base={time}")]);
        }
        self.add_network(&mut arguments);
        for (number, path) in self.captures.iter().enumerate() {
            let filter = format!("filter-dump,id=capture{number},netdev=net{number},file=");
            arguments.add_with_path("-object", &filter, path, "")?;
        }
        self.add_drives(&mut arguments)?;
        if self.watchdog {
            arguments.add(["-device", "i6300esb", "-action", "watchdog=reset"]);
        }
        if let Some(socket) = &self.tpm {
            arguments.add_with_path("-chardev", "socket,id=swtpm,path=", socket, "")?;
            arguments.add(["-tpmdev", "emulator,id=tpm0,chardev=swtpm", "-device", self.architecture.tpm()]);
        }
        Ok(arguments.0)
    }

    fn add_drives(&self, arguments: &mut Arguments) -> Result<(), Error> {
        if self.drives.iter().any(|drive| drive.kind.on_virtio_scsi()) {
            arguments.add(["-device", "virtio-scsi-pci,id=virtio"]);
        }
        if let Some(ahci) = self.architecture.ahci().filter(|_| self.drives.iter().any(|drive| drive.kind.on_sata())) {
            arguments.add(["-device", ahci]);
        }
        if self.usb_keyboard || self.drives.iter().any(|drive| drive.kind.on_usb()) {
            arguments.add(["-device", "qemu-xhci,id=usb"]);
        }
        if self.usb_keyboard {
            arguments.add(["-device", "usb-kbd,bus=usb.0"]);
        }
        let mut sata = 0;
        for (number, Drive { path, kind }) in self.drives.iter().enumerate() {
            arguments.add_with_path("-drive", "file=", path, &kind.backend(path, number))?;
            let boots =
                if self.kernel.is_none() && self.network_boot.is_none() && number == 0 { ",bootindex=0" } else { "" };
            for device in kind.devices(number, sata, boots) {
                arguments.add(["-device", &device]);
            }
            sata += usize::from(kind.on_sata());
        }
        Ok(())
    }

    /// Starts the machine.
    ///
    /// The files are looked at first: QEMU's own words for a missing one do not say what it was for.
    pub fn start(&self) -> Result<Running, Error> {
        if let Some(DirectKernel { kernel, initrd }) = &self.kernel {
            readable("kernel", kernel)?;
            readable("initramfs", initrd)?;
        }
        if let Some(Flash { code, variables, .. }) = &self.flash {
            readable("firmware", code)?;
            readable("firmware variables", variables)?;
        }
        for drive in &self.drives {
            readable("disk", &drive.path)?;
        }
        let (name, package) = self.architecture.program();
        let qemu = program::find(name, package)?;
        Running::start(&qemu, |qmp| self.arguments(qmp))
    }
}

impl Accelerator {
    fn name(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }

    fn cpu(self) -> &'static str {
        match self {
            Self::Tcg => "max",
            Self::Kvm => "host",
        }
    }
}

fn readable(what: &'static str, path: &Path) -> Result<(), Error> {
    File::open(path).map(drop).map_err(|source| Error::Unreadable { what, path: path.to_owned(), source })
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    fn add_path(&mut self, option: &str, path: &Path) {
        self.0.extend([option.into(), path.into()]);
    }

    /// A path inside an option list, where QEMU writes a comma as two.
    fn add_with_path(&mut self, option: &str, prefix: &str, path: &Path, suffix: &str) -> Result<(), Error> {
        let text = path.to_str().ok_or_else(|| Error::Unusable {
            what: "path",
            value: path.display().to_string(),
            reason: "it is not UTF-8",
        })?;
        self.add([option, &format!("{prefix}{}{suffix}", text.replace(',', ",,"))]);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
