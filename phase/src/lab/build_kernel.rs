//! `phase lab build-kernel`: a boot kernel of our own, from Debian's source package and the fragments of `kernel-configs/`.
//!
//! The kernel's own `allnoconfig` is asked for every option of the fragments, and a kernel in which one of them did not take is
//! refused before anything is compiled. The result is a kernel root as [`super::kernel`] has it, whose bytes depend on the
//! source package, the fragments and the compiler alone; it is made again only when one of the first two changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};
use verify::Arch;

use super::{
    apt::{self, Apt, Package, STAMP},
    build_directory, command,
    kernel::KernelRoot,
    kernel_config::Wanted,
};
use crate::output;

/// Debian's package with the kernel's source, patched as its own kernels are.
const SOURCE: &str = "linux-source-6.1";

/// What `uname -v` would say of this host and this minute.
const REPRODUCIBLE: [&str; 4] = [
    "KBUILD_BUILD_USER=phase",
    "KBUILD_BUILD_HOST=boot",
    "KBUILD_BUILD_VERSION=1",
    "KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00 UTC",
];

/// Builds a small boot kernel from Debian's kernel source and the fragments of kernel-configs/.
#[derive(clap::Args)]
#[command(after_help = "\
Takes 20 minutes to an hour, once; nothing is installed. docs/kernel.md says what is in it.

Examples:
  phase lab build-kernel
  phase lab build-kernel --fragment my-cards.config --jobs 8
  phase lab build-kernel --arch aarch64 --config-only
  phase image initramfs --kernel-root build/kernel/phase-x86_64 --modules net …")]
pub struct Args {
    /// What it runs on; for another than this machine's, Debian's cross compiler is needed
    #[arg(long, default_value_t = Arch::COMPILED)]
    arch: Arch,
    /// Options of your own, in lines `CONFIG_NAME=value # what for`
    #[arg(long, value_name = "FILE")]
    fragment: Vec<PathBuf>,
    /// Compilers at a time; as many as there are processors if not given
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Only ask the kernel for its configuration, and check it
    #[arg(long)]
    config_only: bool,
    /// Where source and objects are kept
    #[arg(long, value_name = "DIR", default_value_os_t = build_directory().join("linux"))]
    work: PathBuf,
    /// Where the kernel goes: DIR/phase-ARCH
    #[arg(long, value_name = "DIR", default_value_os_t = build_directory().join("kernel"))]
    out: PathBuf,
    /// Build it even if it is there
    #[arg(long)]
    force: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What the kernel's makefiles call an architecture, and the file that they make for it, below the folder of objects.
fn of_kbuild(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("x86_64", "arch/x86/boot/bzImage"),
        Arch::Aarch64 => ("arm64", "arch/arm64/boot/Image"),
    }
}

/// The compiler, its package, and the prefix that the makefiles put before its name on another machine.
fn compiler(arch: Arch) -> (&'static str, &'static str, &'static str) {
    if arch == Arch::COMPILED {
        return ("gcc", "gcc", "");
    }
    match arch {
        Arch::X86_64 => ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu", "x86_64-linux-gnu-"),
        Arch::Aarch64 => ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "aarch64-linux-gnu-"),
    }
}

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    /// The kernel root, if there is one.
    root: Option<PathBuf>,
    /// `uname -r` of the kernel.
    version: Option<String>,
    /// Its `.config`.
    config: PathBuf,
    /// Bytes of the kernel.
    size: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// A program or the source is missing, an option did not take, or the kernel does not compile.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = Wanted::of(args.arch, &args.fragment)?;
    // The source is the same for all: the host's own apt has it.
    let apt = Apt::of(Arch::COMPILED)?;
    let (package, _) = apt.candidate(SOURCE)?;
    let inputs = inputs(&package, &wanted);
    let root = args.out.join(format!("phase-{}", args.arch));
    let build = Build::prepare(args, &apt, &package, &wanted)?;
    let report = if args.config_only {
        Report { root: None, version: None, config: build.config(), size: None }
    } else {
        let is_made = fs::read_to_string(root.join(STAMP)).is_ok_and(|stamp| stamp == inputs);
        if args.force || !is_made {
            apt::refuse_other(&root)?;
            build.compile(args.jobs)?;
            build.install(&args.out, &root, &inputs)?;
        }
        let kernel = KernelRoot::open(&root)?;
        let (size, version) = (fs::metadata(kernel.kernel())?.len(), kernel.version().to_owned());
        Report { root: Some(root), version: Some(version), config: build.config(), size: Some(size) }
    };
    output::show(&report, args.json, print)?;
    Ok(ExitCode::SUCCESS)
}

/// What decides what is made.
fn inputs(package: &Package, wanted: &Wanted) -> String {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(wanted.config()));
    format!("{package}, options {digest}\n")
}

fn print(report: &Report) {
    println!("config   {}, with every option that was wanted", report.config.display());
    let (Some(root), Some(version), Some(size)) = (&report.root, &report.version, report.size) else { return };
    println!("kernel   {version}, {} KiB", size / 1024);
    println!("root     {} (--kernel-root)", root.display());
}

/// Source and folder of objects of one kernel, which has been configured.
struct Build {
    source: PathBuf,
    objects: PathBuf,
    arch: Arch,
}

impl Build {
    /// Unpacks the source unless it is there, and configures it.
    fn prepare(args: &Args, apt: &Apt, package: &Package, wanted: &Wanted) -> anyhow::Result<Self> {
        for (program, package) in [("flex", "flex"), ("bison", "bison"), ("bc", "bc"), ("make", "make")] {
            command::find(program, package)?;
        }
        let (program, from, _) = compiler(args.arch);
        command::find(program, from)?;
        fs::create_dir_all(&args.work).with_context(|| format!("cannot make {}", args.work.display()))?;
        // Absolute: make is run in the source's folder.
        let work = args.work.canonicalize()?;
        let source = work.join(SOURCE);
        apt.unpack(package, &source, unpack)?;
        let build = Self { source, objects: work.join(args.arch.as_str()), arch: args.arch };
        build.configure(wanted)?;
        Ok(build)
    }

    fn config(&self) -> PathBuf {
        self.objects.join(".config")
    }

    /// Asks the kernel for the wanted options over `allnoconfig`, and checks that it has them.
    fn configure(&self, wanted: &Wanted) -> anyhow::Result<()> {
        fs::create_dir_all(&self.objects).with_context(|| format!("cannot make {}", self.objects.display()))?;
        let asked = self.objects.join("wanted.config");
        fs::write(&asked, wanted.config()).with_context(|| format!("cannot write {}", asked.display()))?;
        let mut make = self.make()?;
        command::output(make.arg(format!("KCONFIG_ALLCONFIG={}", asked.display())).arg("allnoconfig"))?;
        let config = fs::read_to_string(self.config())?;
        wanted.check(&config).with_context(|| self.config().display().to_string())
    }

    /// The long part.
    fn compile(&self, jobs: Option<usize>) -> anyhow::Result<()> {
        let jobs = jobs.or_else(|| std::thread::available_parallelism().map(usize::from).ok()).unwrap_or(1);
        let image = Path::new(of_kbuild(self.arch).1).file_name().context("the image has a name")?;
        let step = command::step("compiling the kernel (20 minutes to an hour): ");
        let mut make = self.make()?;
        make.arg(format!("-j{jobs}")).arg(image).arg("modules");
        let shown = command::show(&make);
        let (messages, writer) = std::io::pipe()?;
        make.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = make.spawn().with_context(|| format!("cannot run {shown}"))?;
        // It holds the pipe's other end, which would never close.
        drop(make);
        let messages = command::Messages::collect(messages, step.clone());
        let status = child.wait()?;
        let messages = messages.join().unwrap_or_default();
        step.finish_and_clear();
        ensure!(status.success(), "{shown} failed ({status}):\n{messages}");
        Ok(())
    }

    /// Puts kernel, configuration and modules into `root`, whole or not at all.
    fn install(&self, out: &Path, root: &Path, inputs: &str) -> anyhow::Result<()> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let temporary = tempfile::Builder::new().prefix(".build-").tempdir_in(out)?;
        let finished = temporary.path().canonicalize()?.join("root");
        let boot = finished.join("boot");
        fs::create_dir_all(&boot)?;
        let release = fs::read_to_string(self.objects.join("include/config/kernel.release"))?;
        let release = release.trim();
        fs::copy(self.objects.join(of_kbuild(self.arch).1), boot.join(format!("vmlinuz-{release}")))?;
        fs::copy(self.config(), boot.join(format!("config-{release}")))?;
        let mut make = self.make()?;
        make.arg(format!("INSTALL_MOD_PATH={}", finished.display())).args(["INSTALL_MOD_STRIP=1", "modules_install"]);
        command::output(&mut make)?;
        // They lead into this checkout.
        for link in ["build", "source"] {
            fs::remove_file(finished.join("lib/modules").join(release).join(link))?;
        }
        command::output(command::find("depmod", "kmod")?.arg("-b").arg(&finished).arg(release))?;
        fs::write(finished.join(STAMP), inputs)?;
        apt::replace(root, &finished)
    }

    fn make(&self) -> anyhow::Result<Command> {
        let mut make = command::find("make", "make")?;
        make.arg("-C").arg(&self.source).arg(format!("O={}", self.objects.display()));
        make.arg(format!("ARCH={}", of_kbuild(self.arch).0)).args(REPRODUCIBLE);
        let (_, _, prefix) = compiler(self.arch);
        if !prefix.is_empty() {
            make.arg(format!("CROSS_COMPILE={prefix}"));
        }
        Ok(make)
    }
}

/// Puts the source in place of the archive that the package has, in `root`.
fn unpack(root: &Path) -> anyhow::Result<()> {
    let step = command::step("unpacking the kernel's source (1.5 GB)");
    // The source has a folder usr of its own.
    let package = root.join(".package");
    fs::rename(root.join("usr"), &package)?;
    let archive = package.join("src").join(format!("{SOURCE}.tar.xz"));
    command::find("xz", "xz-utils")?;
    let mut tar = command::find("tar", "tar")?;
    command::output(tar.arg("-C").arg(root).args(["--strip-components=1", "-xJf"]).arg(&archive))?;
    fs::remove_dir_all(&package).with_context(|| format!("cannot remove {}", package.display()))?;
    step.finish_and_clear();
    Ok(())
}
