//! `phase lab rootfs`: a small Debian system as a reproducible zstd squashfs.
//!
//! mmdebstrap makes it from the host's own apt sources, a tar of our few files and the kernel's modules is put on top,
//! tar2sqfs packs it; every time in it is fixed, so that the same packages give the same bytes. It needs no root where
//! user namespaces work, and it is made anew only when an input changes. It is of the kernel's architecture; if that is not the
//! host's own, the packages' scripts run under QEMU (qemu-user-static).

mod overlay;
mod privilege;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};
use verify::Arch;

use super::{
    apt::{Apt, debian_name},
    build_directory, command,
    kernel::KernelRoot,
};
use crate::output::{self, Existing};
use sources::Sources;

/// No file is newer than this (2026-01-01): mmdebstrap and tar clamp to it.
const SOURCE_DATE_EPOCH: &str = "1767225600";

/// zstd's level: 19 takes three times as long for one per cent.
const ZSTD: &str = "level=15";

/// A system with a login, networking and the tools to look around.
const PACKAGES: [&str; 8] = ["systemd-sysv", "udev", "dbus", "login", "iproute2", "procps", "kmod", "less"];

/// Taken too if the distribution has it apart (Debian 12 and later); before, systemd itself had it.
const OPTIONAL_PACKAGES: [&str; 1] = ["systemd-resolved"];

/// What nobody reads in a machine that is made to look around; copyright files stay.
const EXCLUDED: [&str; 7] = [
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/bash-completion/*",
];

/// Run in the new root at the end. The name service link comes last: mmdebstrap's own apt needs the host's.
const HOOKS: [&str; 3] = [
    "sed -i 's/^root:[^:]*:/root::/' \"$1/etc/shadow\"",
    "chroot \"$1\" systemctl --quiet enable systemd-networkd systemd-resolved",
    "ln -sf /run/systemd/resolve/stub-resolv.conf \"$1/etc/resolv.conf\"",
];

/// Makes a Debian root file system: systemd, a login on the serial console, the kernel's modules.
#[derive(clap::Args)]
#[command(after_help = "\
Needs mmdebstrap and squashfs-tools-ng. Made once and kept; --force makes it anew, with the packages of today.

Examples:
  phase lab rootfs --kernel-root build/kernel/cloud-amd64
  phase lab rootfs --kernel-root build/kernel/amd64 --suite trixie --out build/trixie.squashfs
  phase lab rootfs --kernel-root build/kernel/cloud-arm64 --out build/arm64.squashfs

Another architecture than this host's takes qemu-user-static.")]
pub struct Args {
    /// The kernel root whose modules go into the system; see `phase lab kernel`
    #[arg(long, value_name = "DIR", env = "KERNEL_ROOT")]
    pub kernel_root: PathBuf,
    /// The distribution's release; the host's own if not given
    #[arg(long, value_name = "NAME")]
    pub suite: Option<String>,
    /// Where the squashfs goes
    #[arg(long, value_name = "FILE", default_value_os_t = default_out())]
    pub out: PathBuf,
    /// Make it even if it is there
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the squashfs goes if nothing else is said.
pub fn default_out() -> PathBuf {
    build_directory().join("rootfs.squashfs")
}

/// What is there; `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    rootfs: &'a Path,
    /// In bytes.
    size: u64,
    /// What `uname -r` says under the kernel whose modules are in it.
    kernel: &'a str,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let kernel = KernelRoot::open(&args.kernel_root)?;
    make(&kernel, args.suite.as_deref(), &args.out, args.force)?;
    let report = Report { rootfs: &args.out, size: fs::metadata(&args.out)?.len(), kernel: kernel.version() };
    output::show(&report, args.json, |Report { rootfs, size, kernel }| {
        println!("{}  {size} bytes, modules of {kernel}", rootfs.display());
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the squashfs at `out`, unless it is there and was made from the same inputs.
pub fn make(kernel: &KernelRoot, suite: Option<&str>, out: &Path, force: bool) -> anyhow::Result<()> {
    let sources = Sources::of_host(suite)?;
    let recipe = Recipe::new(sources, kernel.arch()?)?;
    let inputs = recipe.digest(kernel);
    let stamp = stamp_path(out);
    if !force && out.is_file() && fs::read_to_string(&stamp).is_ok_and(|known| known.trim() == inputs) {
        return Ok(());
    }
    runs_here(recipe.arch)?;
    let directory = output_directory(out)?;
    // World-readable: in unshare mode mmdebstrap's hooks are another user.
    let work = tempfile::Builder::new().prefix(".rootfs-").tempdir_in(&directory)?;
    let overlay = work.path().join("overlay.tar");
    overlay::write(kernel, work.path(), &overlay, SOURCE_DATE_EPOCH)?;
    let image = work.path().join("rootfs.squashfs");
    build(&recipe, &overlay, &image)?;
    let mut file = output::temporary_beside(out)?;
    std::io::copy(&mut fs::File::open(&image)?, &mut file)?;
    output::persist(file, out, 0o644, Existing::Replace)?;
    output::write(&stamp, format!("{inputs}\n").as_bytes(), 0o644, Existing::Replace)
}

/// Everything that decides what mmdebstrap makes.
struct Recipe {
    arch: Arch,
    sources: Sources,
    packages: String,
}

impl Recipe {
    fn new(sources: Sources, arch: Arch) -> anyhow::Result<Self> {
        let mut packages = PACKAGES.to_vec();
        // The host's own lists tell for every architecture: none of these packages is of one alone.
        let apt = Apt::of(Arch::COMPILED)?;
        packages.extend(OPTIONAL_PACKAGES.into_iter().filter(|name| apt.candidate(name).is_ok()));
        Ok(Self { arch, sources, packages: packages.join(",") })
    }

    /// The name of the result: it changes when an input does.
    fn digest(&self, kernel: &KernelRoot) -> String {
        let mut digest = Sha256::new();
        let mut add = |part: &str| {
            digest.update(part.as_bytes());
            digest.update([0]);
        };
        let sources = &self.sources;
        for part in [SOURCE_DATE_EPOCH, ZSTD, &sources.suite, &sources.list, &self.packages, &kernel.identity()] {
            add(part);
        }
        if self.arch != Arch::COMPILED {
            add(self.arch.as_str());
        }
        EXCLUDED.into_iter().chain(HOOKS).chain(overlay::inputs()).for_each(&mut add);
        data_encoding::HEXLOWER.encode(&digest.finalize())
    }

    fn mmdebstrap(&self, overlay: &Path) -> anyhow::Result<Command> {
        let mut command = command::find("mmdebstrap", "mmdebstrap")?;
        command.env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
        command.arg(format!("--mode={}", privilege::mode()?));
        command.args(["--variant=minbase", "--format=tar", &format!("--include={}", self.packages)]);
        if self.arch != Arch::COMPILED {
            command.arg(format!("--architectures={}", debian_name(self.arch)));
        }
        command.args(EXCLUDED.map(|option| format!("--dpkgopt={option}")));
        command.arg(format!("--customize-hook=tar-in {} /", overlay.display()));
        command.args(HOOKS.map(|hook| format!("--customize-hook={hook}")));
        // Target: standard output. Sources: standard input.
        command.args([&self.sources.suite, "-", "-"]);
        Ok(command)
    }
}

/// mmdebstrap into tar2sqfs; the tar itself is never on disk.
fn build(recipe: &Recipe, overlay: &Path, image: &Path) -> anyhow::Result<()> {
    let step = command::step(&format!("making a {} root: ", recipe.sources.suite));
    let mut mmdebstrap = recipe.mmdebstrap(overlay)?;
    let mut tar2sqfs = command::find("tar2sqfs", "squashfs-tools-ng")?;
    tar2sqfs.args(["--force", "--quiet", "--compressor", "zstd", "--comp-extra", ZSTD]).arg(image);

    let sources = fs::File::open(recipe.sources.write_beside(image)?)?;
    let mut maker = spawn(mmdebstrap.stdin(sources).stdout(Stdio::piped()))?;
    let tar = maker.stdout.take().context("mmdebstrap has no output")?;
    let messages = maker.stderr.take().map(|stderr| command::Messages::collect(stderr, step.clone()));
    let mut packer = spawn(tar2sqfs.stdin(tar).stdout(Stdio::null()))?;
    let packing = packer.stderr.take().map(|stderr| command::Messages::collect(stderr, step.clone()));

    let (made, image_made) = (maker.wait()?, packer.wait()?);
    let said = |thread: Option<std::thread::JoinHandle<command::Messages>>| {
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    let (messages, packing) = (said(messages), said(packing));
    step.finish_and_clear();
    // A packer that gave up breaks mmdebstrap's pipe: its words are the cause then.
    anyhow::ensure!(image_made.success() || !made.success(), "tar2sqfs failed ({image_made}):\n{packing}");
    anyhow::ensure!(made.success(), "mmdebstrap failed ({made}):\n{messages}\n{packing}");
    Ok(())
}

/// Whether programs of `arch` run on this host, as the scripts of its packages have to.
fn runs_here(arch: Arch) -> anyhow::Result<()> {
    if arch == Arch::COMPILED {
        return Ok(());
    }
    // mmdebstrap wants it, too.
    let ran = command::output(command::find("arch-test", "arch-test")?.arg(debian_name(arch)));
    ran.map(drop).with_context(|| {
        format!(
            "programs of {arch} do not run on this host, and so would no package's script: `apt-get install qemu-user-static` \
             as root; in a container, where nobody does it, also `mount -t binfmt_misc none /proc/sys/fs/binfmt_misc` and \
             `cat /usr/lib/binfmt.d/qemu-{arch}.conf >/proc/sys/fs/binfmt_misc/register`"
        )
    })
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    let shown = command::show(command);
    command.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot run {shown}"))
}

fn stamp_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".inputs");
    name.into()
}

fn output_directory(out: &Path) -> anyhow::Result<PathBuf> {
    let directory = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    // Absolute: mmdebstrap's hooks run in a folder of their own.
    directory.canonicalize().with_context(|| format!("cannot find {}", directory.display()))
}
