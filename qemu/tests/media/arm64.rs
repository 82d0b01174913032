//! arm64: the same program on QEMU's board virt, without a boot loader, and from every artefact of `phase image` under UEFI.
//! Debian's kernel for it cannot load another one, so that every release lists `direct`.
//!
//! They need `make build-arm64`, and for a Debian that this host runs programs of arm64 (qemu-user-static).

mod measured;
mod medium;
mod network;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use qemu::{Architecture, Bus, Event, Machine, Optical};
use tempfile::TempDir;

use crate::{
    arrival::{Arrival, bytes},
    row::{Outcome, Row},
    scene::Mode,
    support::{Boot, Lab, QuickStart, Serve, Tree, text},
};

/// The program for arm64, and what makes it.
const INIT: &str = "target/aarch64-unknown-linux-musl/release/init";
/// Its firmware: code, and variables as they are delivered, of package qemu-efi-aarch64.
const FIRMWARE: [&str; 2] = ["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"];
/// What the kernel is told, of the boot and of the release: like [`crate::support::KERNEL_PARAMETERS`], without what is x86's.
const PARAMETERS: &str = "quiet panic=-1";

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new("arm64-virt", "boots in internet mode, by direct once kexec is refused by name", virt),
        Row::new("arm64-debian", "boots in internet mode to Debian's login", debian),
        Row::new("arm64-uefi", "boots in private mode from a virtio disk", || {
            medium::disk(Bus::VirtioBlk, Mode::Private)
        }),
        Row::new("arm64-usb", "boots in local mode from a USB stick", || medium::disk(Bus::Usb, Mode::Local)),
        Row::new("arm64-ISO", "boots in private mode from a drive on virtio", || {
            medium::disc(Optical::VirtioScsi, Mode::Private)
        }),
        Row::new("arm64-ISO-USB", "boots in internet mode from a drive on USB", || {
            medium::disc(Optical::Usb, Mode::Internet)
        }),
        Row::new("arm64-ISO-stick", "boots in private mode from the stick", medium::stick),
        Row::new("arm64-PXE", "boots in local mode, from the place that DHCP names", network::pxe).isolated(),
        Row::new("arm64-HTTP", "docs/quick-start-uefi-http.md boots in private mode from a stick", network::http)
            .isolated(),
        Row::new("arm64-UKI", "boots in local mode, which is in it, by the firmware alone", medium::uki),
        Row::new(
            "arm64-TPM",
            "is measured in internet mode; private mode leaves TPM and variables alone",
            measured::row,
        ),
        Row::new("quick-start-arm64", "docs/quick-start-arm64.md boots as it stands, in private mode", quick_start),
    ]
}

/// A kernel of Debian's for arm64, and what is made for it.
struct Kernel {
    image: PathBuf,
    root: PathBuf,
    boot: PathBuf,
}

impl Kernel {
    /// That of this flavour, with the boot initramfs `name` around these modules.
    fn of(flavour: &str, name: &str, modules: &str) -> Self {
        let lab = Lab::ready();
        let root = PathBuf::from("build/kernel").join(flavour);
        if !checkout().join(&root).exists() {
            lab.phase(&["lab", "kernel", "--arch", "aarch64", "--flavour", flavour]);
        }
        let images = fs::read_dir(checkout().join(&root).join("boot")).unwrap().map(|entry| entry.unwrap().path());
        let image = images.into_iter().find(|path| text(path).contains("/vmlinuz-")).expect("a kernel");
        let boot = part(&format!("boot-{name}.cpio.zst"));
        let trust = lab.part("trust.json");
        let options = ["--stage", "boot", "--state", "none", "--modules", modules, "--trust", text(&trust)];
        initramfs(&boot, &root, &options);
        Self { image, root, boot }
    }

    /// For virtual machines.
    fn cloud() -> &'static Self {
        static CLOUD: OnceLock<Kernel> = OnceLock::new();
        CLOUD.get_or_init(|| Self::of("cloud-arm64", "cloud", "qemu-net,root"))
    }

    /// For real machines.
    fn general() -> &'static Self {
        static GENERAL: OnceLock<Kernel> = OnceLock::new();
        GENERAL.get_or_init(|| Self::of("arm64", "general", "net,disk,media,keyboard,root"))
    }
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A place for what all rows use; made anew by each run.
fn part(name: &str) -> PathBuf {
    let folder = Lab::ready().part("arm64");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn initramfs(out: &Path, kernel_root: &Path, options: &[&str]) {
    assert!(checkout().join(INIT).exists(), "{INIT} is missing: run `make build-arm64`");
    let common =
        ["image", "initramfs", "--force", "--init", INIT, "--out", text(out), "--kernel-root", text(kernel_root)];
    Lab::ready().phase(&[&common, options].concat());
}

/// Publishes a release for arm64: with the root that says that it was reached, if there is no other.
fn publish(rootfs: Option<&str>, handoff: &str) -> Tree {
    // Two rows must not write the same file at once.
    static MAKING: Mutex<()> = Mutex::new(());
    let lab = Lab::ready();
    let [key, tiny, release] = [lab.part("release"), part("tiny.squashfs"), part("release.cpio.zst")];
    let making = MAKING.lock().unwrap();
    if rootfs.is_none() {
        lab.phase(&["lab", "tiny-root", "--arch", "aarch64", "--out", text(&tiny)]);
    }
    let cmdline = format!("{PARAMETERS} signed=yes");
    let mut options = vec!["--arch", "aarch64", "--version", "1", "--key", text(&key), "--cmdline", &cmdline];
    options.extend(["--handoff", handoff, "--rootfs", rootfs.unwrap_or(text(&tiny))]);
    if handoff.contains("kexec") {
        let kernel = Kernel::cloud();
        initramfs(&release, &kernel.root, &["--stage", "root", "--modules", "root"]);
        options.extend(["--kernel", text(&kernel.image), "--initramfs", text(&release)]);
    }
    let tree = Tree::publish(&options);
    drop(making);
    tree
}

/// A machine that starts this kernel by itself, and leads to `server`.
fn machine(kernel: &Kernel, server: &Serve) -> Machine {
    let machine = Machine::new(&kernel.image, &kernel.boot).architecture(Architecture::Aarch64).memory_mib(512);
    machine.append(PARAMETERS).append("phase.on_failure=poweroff phase.mode=internet").append(&server.origin())
}

/// Bytes of what starts it.
fn size(kernel: &Kernel) -> u64 {
    bytes(&kernel.image) + bytes(&kernel.boot)
}

fn virt() -> Outcome {
    let server = Serve::tree(publish(None, "kexec,direct"));
    let mut boot = Boot::start(&machine(Kernel::cloud(), &server));
    // Before a byte is downloaded that only another kernel could use.
    boot.shows("this boot kernel has no CONFIG_KEXEC_FILE");
    boot.shows("the manifest allows the hand-off direct: it is tried");
    let downloaded = boot.reaches("download", Event::End);
    assert_eq!(downloaded.field("bytes"), Some(bytes(&part("tiny.squashfs")).to_string().as_str()));
    let arrival = Arrival { mode: Mode::Internet, handoff: "direct", source: "http://10.0.2.2:", login: false };
    let outcome = arrival.of(&mut boot, &Kernel::cloud().boot);
    assert!(!boot.began("load"), "a kernel was given to kexec_file_load");
    assert_eq!(boot.count("start", Event::Begin), 1, "another kernel was started");
    Outcome { artefact: size(Kernel::cloud()), ..outcome }
}

fn debian() -> Outcome {
    let kernel = Kernel::cloud();
    let rootfs = "build/rootfs-arm64.squashfs";
    Lab::ready().phase(&["lab", "rootfs", "--kernel-root", text(&kernel.root), "--out", rootfs]);
    let server = Serve::tree(publish(Some(rootfs), "direct"));
    let mut boot = Boot::start(&machine(kernel, &server).memory_mib(1024));
    let arrival = Arrival { mode: Mode::Internet, handoff: "direct", source: "http://10.0.2.2:", login: true };
    Outcome { artefact: size(kernel), ..arrival.of(&mut boot, &kernel.boot) }
}

/// AAVMF, with variables as they are delivered, which have to be kept while its machine runs.
struct Firmware(TempDir);

impl Firmware {
    fn new() -> Self {
        let [code, delivered] = FIRMWARE.map(Path::new);
        assert!(code.exists(), "{} is not there: apt-get install qemu-efi-aarch64", code.display());
        let firmware = Self(tempfile::tempdir().unwrap());
        fs::copy(delivered, firmware.path()).unwrap();
        firmware
    }

    /// A machine that starts what is on its first drive.
    fn machine(&self) -> Machine {
        let machine = Machine::from_firmware().architecture(Architecture::Aarch64).memory_mib(1024);
        machine.uefi(Path::new(FIRMWARE[0]), &self.path())
    }

    /// Every byte of the flash chip that has the variables, also while the machine runs.
    fn variables(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("variables")
    }
}

/// The folder of GRUB's platforms with that of arm64.
fn grub() -> String {
    of_package("grub-efi-arm64-bin", "usr/lib/grub")
}

/// A path of a package of Debian's for arm64, which is unpacked if it is not.
fn of_package(name: &str, path: &str) -> String {
    let path = format!("build/package/aarch64/{name}/{path}");
    if !checkout().join(&path).exists() {
        Lab::ready().phase(&["lab", "package", name, "--arch", "aarch64"]);
    }
    path
}

/// Presses the key of the mode once GRUB's menu is there.
fn chooses(boot: &mut Boot, mode: Mode) {
    boot.shows("Phase Boot: Private");
    boot.types(mode.key());
}

/// Follows the boot to the tiny release, which comes from `device` in private mode.
fn arrives(boot: &mut Boot, mode: Mode, device: &str, image: &Path) -> Outcome {
    let source = if mode == Mode::Private { device } else { "http://10.0.2.2:" };
    let outcome = Arrival { mode, handoff: "direct", source, login: false }.of(boot, image);
    assert!(!boot.says("Press any key"), "the boot loader complains, and waits for somebody");
    outcome
}

fn quick_start() -> Outcome {
    let followed = QuickStart::follow("docs/quick-start-arm64.md");
    let (image, firmware, mode) = (followed.file("build/arm64/disk.img"), Firmware::new(), Mode::Private);
    let mut boot = Boot::start(&firmware.machine().disk_on(Bus::Usb, &image));
    chooses(&mut boot, mode);
    arrives(&mut boot, mode, "/dev/sd", &image)
}
