//! The parts of a boot: keys, trust files, initramfs, a tiny root. Made once, and again when `phase`, `init` or the
//! kernel changed; kept in build/e2e.
//!
//! Nothing is skipped: a part that is missing fails the test and names the command that makes it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::Duration,
};

use qemu::Machine;

use super::{
    Tree, medium,
    store::{PARTUUID, PhaseData, PoweredTpm},
};

/// Machines that run at a time: more would only make each other late.
const MACHINES: usize = 2;

/// What every kernel gets, the release's too: a panic ends QEMU, and a translated timer that a busy host makes late is
/// not taken for a broken one.
pub(crate) const KERNEL_PARAMETERS: &str = "quiet panic=-1 no_timer_check";

/// The laboratory.
pub(crate) struct Lab {
    phase: PathBuf,
    init: PathBuf,
    kernel_root: PathBuf,
    /// A kernel with the drivers of real machines, which that of virtual ones lacks.
    general_kernel_root: PathBuf,
    /// The checkout, which every command runs in.
    workspace: PathBuf,
    /// Where the parts are.
    parts: PathBuf,
}

impl Lab {
    /// The laboratory of this run, complete.
    pub(crate) fn ready() -> &'static Self {
        static LAB: OnceLock<Lab> = OnceLock::new();
        LAB.get_or_init(|| {
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
            let phase = required(&workspace, "PHASE_BIN", "target/host/phase", "cargo build --profile host -p phase");
            let init = required(
                &workspace,
                "PHASE_INIT",
                "target/x86_64-unknown-linux-musl/release/init",
                "cargo build --release -p init --target x86_64-unknown-linux-musl",
            );
            let parts = workspace.join("build/e2e");
            fs::create_dir_all(&parts).unwrap();
            let kernel_root = kernel_root_of(&workspace, &phase, "PHASE_KERNEL_ROOT", "cloud-amd64");
            let general_kernel_root = kernel_root_of(&workspace, &phase, "PHASE_GENERAL_KERNEL_ROOT", "amd64");
            let lab = Self { phase, init: init.clone(), kernel_root, general_kernel_root, workspace, parts };
            lab.make(&init);
            lab
        })
    }

    /// A machine with the boot kernel and the boot initramfs, which switches off after a failure.
    pub(crate) fn machine(&self) -> Machine {
        self.machine_with("boot.cpio.zst")
    }

    /// The same, with a trust file that wants releases to be logged.
    pub(crate) fn logged_machine(&self) -> Machine {
        self.machine_with("logged.cpio.zst")
    }

    /// The same as [`Self::machine`], with a trust file that forbids the rescue prompt, and without network drivers.
    pub(crate) fn locked_machine(&self) -> Machine {
        self.machine_with("locked.cpio.zst")
    }

    /// A machine that remembers on the PHASE-DATA partition of `disk`.
    pub(crate) fn disk_machine(&self, disk: &PhaseData) -> Machine {
        self.machine_with("disk.cpio.zst").disk(&disk.path())
    }

    /// The same, which does not boot without its memory; the disk may be left out.
    pub(crate) fn strict_machine(&self, disk: Option<&PhaseData>) -> Machine {
        let machine = self.machine_with("strict.cpio.zst");
        disk.map_or(machine.clone(), |disk| machine.disk(&disk.path()))
    }

    /// The same as [`Self::disk_machine`], whose owner wants changes to a release's root to be kept there, too; without a disk,
    /// it is gone. The initramfs is made in `folder`.
    pub(crate) fn keeping_machine(&self, disk: Option<&PhaseData>, folder: &Path) -> Machine {
        let state = format!("disk:{PARTUUID}");
        let options = ["--modules", "media", "--state", &state, "--upper", "persistent"];
        let machine = self.machine_of(&folder.join("keeping.cpio.zst"), &options);
        disk.map_or(machine.clone(), |disk| machine.disk(&disk.path()))
    }

    /// A machine that remembers in its TPM.
    pub(crate) fn tpm_machine(&self, tpm: &PoweredTpm) -> Machine {
        self.machine_with("tpm.cpio.zst").tpm(tpm.socket())
    }

    /// Like [`Self::disk_machine`], but nothing says its mode.
    pub(crate) fn asking_machine(&self, disk: &PhaseData) -> Machine {
        self.asking_machine_with(&self.part("disk.cpio.zst")).disk(&disk.path())
    }

    /// Like [`Self::tpm_machine`], but nothing says its mode.
    pub(crate) fn asking_tpm_machine(&self, tpm: &PoweredTpm) -> Machine {
        self.asking_machine_with(&self.part("tpm.cpio.zst")).tpm(tpm.socket())
    }

    /// A machine in private mode that has no memory, and whose initramfs carries `tree`; the initramfs is made at `initrd`.
    pub(crate) fn carrying_machine(&self, tree: &Tree, initrd: &Path) -> Machine {
        medium::carry(tree, &self.part("media.cpio.zst"), initrd);
        self.asking_machine_with(initrd).append("phase.mode=private")
    }

    /// The same with nothing in its initramfs.
    pub(crate) fn private_machine(&self) -> Machine {
        self.asking_machine_with(&self.part("media.cpio.zst")).append("phase.mode=private")
    }

    /// A machine that runs something else than Phase Boot.
    pub(crate) fn guest_machine(&self, initrd: &Path) -> Machine {
        self.asking_machine_with(initrd)
    }

    /// A machine without a memory and without a mode, whose kernel and initramfs have the drivers of real machines.
    pub(crate) fn general_machine(&self) -> Machine {
        let (kernel, initramfs) = self.general_kernel_and_initramfs();
        let machine = Machine::new(&kernel, &initramfs).memory_mib(512);
        machine.append(KERNEL_PARAMETERS).append("phase.on_failure=poweroff")
    }

    /// What [`Self::general_machine`] starts.
    pub(crate) fn general_kernel_and_initramfs(&self) -> (PathBuf, PathBuf) {
        (kernel_in(&self.general_kernel_root), self.part("general.cpio.zst"))
    }

    /// The same with drivers of one's choice; the initramfs is made in `folder`.
    pub(crate) fn general_kernel_and_initramfs_with(&self, modules: &str, folder: &Path) -> (PathBuf, PathBuf) {
        let (trust, initramfs) = (self.part("trust.json"), folder.join("general.cpio.zst"));
        let options = ["--stage", "boot", "--modules", modules, "--state", "none", "--trust", text(&trust)];
        self.image(text(&initramfs), &self.init, &[&options]);
        (kernel_in(&self.general_kernel_root), initramfs)
    }

    /// The same as [`Self::machine`], with an initramfs that is made at `initrd` with further options of
    /// `phase image initramfs`.
    pub(crate) fn machine_of(&self, initrd: &Path, options: &[&str]) -> Machine {
        let trust = self.part("trust.json");
        let boot = ["--stage", "boot", "--modules", "qemu-net,root", "--trust", text(&trust)];
        self.image(text(initrd), &self.init, &[&boot, options]);
        self.machine_with(text(initrd))
    }

    /// In internet mode, until something else is appended.
    fn machine_with(&self, initramfs: &str) -> Machine {
        self.asking_machine_with(&self.part(initramfs)).append("phase.mode=internet")
    }

    fn asking_machine_with(&self, initramfs: &Path) -> Machine {
        let machine = Machine::new(&self.kernel(), initramfs).memory_mib(512);
        machine.append(KERNEL_PARAMETERS).append("phase.on_failure=poweroff")
    }

    /// A file of build/e2e.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.parts.join(name)
    }

    /// The folder of the kernel and its modules.
    pub(crate) fn kernel_root(&self) -> &Path {
        &self.kernel_root
    }

    /// The kernel, for boot and release.
    pub(crate) fn kernel(&self) -> PathBuf {
        kernel_in(&self.kernel_root)
    }

    /// The root of a Debian system; made on its first use, which takes minutes.
    pub(crate) fn debian(&self) -> PathBuf {
        let root = self.workspace.join("build/rootfs.squashfs");
        self.phase(&["lab", "rootfs", "--kernel-root", text(&self.kernel_root), "--out", text(&root)]);
        root
    }

    /// Runs `phase` and returns what it printed.
    pub(crate) fn phase(&self, arguments: &[&str]) -> String {
        run(Command::new(&self.phase).args(arguments).current_dir(&self.workspace))
    }

    /// The program `phase`, to be started and ended.
    pub(crate) fn phase_program(&self) -> &Path {
        &self.phase
    }

    /// Waits for the turn of one more machine; the turn ends when the file is closed. Locks of files hold between
    /// threads as well as between processes, whichever the test runner uses.
    pub(crate) fn turn(&self) -> File {
        loop {
            for number in 0..MACHINES {
                let turn = File::create(self.part(&format!("turn-{number}"))).unwrap();
                match turn.try_lock() {
                    Ok(()) => return turn,
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => panic!("cannot lock in {}: {error}", self.parts.display()),
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Makes the parts, unless they were made of these very inputs.
    fn make(&self, init: &Path) {
        let lock = File::create(self.part("lock")).unwrap();
        lock.lock().unwrap();
        let kernels = [self.kernel(), kernel_in(&self.general_kernel_root)];
        // This file says how they are made.
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boots/support/lab.rs");
        let inputs = [&self.phase, init, &kernels[0], &kernels[1], &recipe];
        let inputs = inputs.into_iter().map(fingerprint).collect::<String>();
        let stamp = self.part("inputs");
        if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == inputs) {
            return;
        }
        for name in ["root", "release", "stranger", "successor"] {
            let key = self.part(name);
            if !key.exists() {
                self.phase(&["keygen", "--no-passphrase", "--out", text(&key)]);
            }
        }
        self.phase(&["lab", "tiny-root", "--out", text(&self.part("tiny.squashfs"))]);
        self.trust("trust.json", &["--rescue-prompt"]);
        self.trust("locked.json", &[]);
        self.logged(init);
        let with_drivers = ["--modules", "qemu-net,root,8021q,bonding", "--trust"];
        self.image(
            "boot.cpio.zst",
            init,
            &[&["--stage", "boot"], &with_drivers[..], &[text(&self.part("trust.json"))]],
        );
        self.image("locked.cpio.zst", init, &[&["--stage", "boot", "--trust", text(&self.part("locked.json"))]]);
        self.trust("strict.json", &["--state", "refuse"]);
        self.rotation();
        let disk = format!("disk:{PARTUUID}");
        let modules = "qemu-net,root,media,tpm_tis";
        for (name, trust, state) in [
            ("disk", "trust.json", disk.as_str()),
            ("strict", "strict.json", &disk),
            ("tpm", "trust.json", "tpm"),
            ("media", "trust.json", "none"),
        ] {
            let trust = self.part(trust);
            let options = ["--stage", "boot", "--modules", modules, "--trust", text(&trust), "--state", state];
            self.image(&format!("{name}.cpio.zst"), init, &[&options]);
        }
        let options = ["--stage", "boot", "--modules", "qemu-net,media,keyboard,root", "--state", "none", "--trust"];
        self.image("general.cpio.zst", init, &[&options, &[text(&self.part("trust.json"))]]);
        self.image("release.cpio.zst", init, &[&["--stage", "root", "--modules", "root"]]);
        self.image("release-disk.cpio.zst", init, &[&["--stage", "root", "--modules", "root,disk"]]);
        fs::write(stamp, inputs).unwrap();
    }

    /// The trust file that wants releases to be logged, and an initramfs around it.
    fn logged(&self, init: &Path) {
        let [policy, submitter, trust] = ["log.policy", "submitter.pub", "logged.json"].map(|name| self.part(name));
        fs::write(&policy, super::logged::policy()).unwrap();
        fs::write(&submitter, super::logged::submitter_file()).unwrap();
        self.trust("logged.json", &["--sigsum-policy", text(&policy), "--sigsum-submitter", text(&submitter)]);
        let options = ["--stage", "boot", "--modules", "qemu-net,root", "--trust", text(&trust)];
        self.image("logged.cpio.zst", init, &[&options]);
    }

    fn trust(&self, name: &str, options: &[&str]) {
        let [root, release, out] = ["root.pub", "release.pub", name].map(|name| self.part(name));
        let keys = ["--channel", "e2e", "--root-key", text(&root), "--release-key", text(&release)];
        self.phase(&[&["trust", "init"], &keys[..], options, &["--force", "--out", text(&out)]].concat());
    }

    /// The second trust file, under which the key `release`, say it was stolen, no longer counts.
    fn rotation(&self) {
        let [trust, successor, root, out] =
            ["trust.json", "successor.pub", "root", "2.dsse.json"].map(|name| self.part(name));
        let keys = ["--remove-release", "release", "--add-release", text(&successor), "--key", text(&root)];
        let rotate = ["trust", "rotate", "--from", text(&trust), "--force", "--out", text(&out)];
        self.phase(&[&rotate[..], &keys].concat());
    }

    fn image(&self, name: &str, init: &Path, options: &[&[&str]]) {
        let out = self.part(name);
        let general = out.file_name().is_some_and(|name| text(Path::new(name)).starts_with("general"));
        let root = if general { &self.general_kernel_root } else { &self.kernel_root };
        let kernel = ["--kernel-root", text(root)];
        let common = ["image", "initramfs", "--force", "--init", text(init), "--out", text(&out)];
        let options = options.concat();
        let drivers: &[&str] = if options.contains(&"--modules") { &kernel } else { &[] };
        self.phase(&[&common, drivers, &options].concat());
    }
}

/// A path that `variable` names, or the default one; `make` is the command that makes it.
fn required(workspace: &Path, variable: &str, default: &str, make: &str) -> PathBuf {
    let path = workspace.join(std::env::var(variable).as_deref().unwrap_or(default));
    assert!(path.is_file(), "{} is missing: run `{make}`, or name another with {variable}=", path.display());
    path
}

/// The unpacked kernel that `variable` names, or Debian's of this flavour, fetched on its first use.
fn kernel_root_of(workspace: &Path, phase: &Path, variable: &str, flavour: &str) -> PathBuf {
    if let Ok(given) = std::env::var(variable) {
        return workspace.join(given);
    }
    let root = workspace.join("build/kernel").join(flavour);
    if kernel_of(&root).is_none() {
        run(Command::new(phase).args(["lab", "kernel", "--flavour", flavour]).current_dir(workspace));
    }
    root
}

fn kernel_in(root: &Path) -> PathBuf {
    kernel_of(root).unwrap_or_else(|| panic!("no boot/vmlinuz-* in {}", root.display()))
}

fn kernel_of(root: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(root.join("boot")).ok()?;
    let mut kernels = entries.map(|entry| entry.unwrap().path()).filter(|path| text(path).contains("/vmlinuz-"));
    kernels.next()
}

/// Runs a command that has to succeed, and returns its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}):\n{messages}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn fingerprint(path: &Path) -> String {
    let metadata = fs::metadata(path).unwrap();
    format!("{} {} {:?}\n", path.display(), metadata.len(), metadata.modified().unwrap())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the checkout are UTF-8")
}
