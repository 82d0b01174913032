//! `phase lab kernel`: a Debian kernel, fetched by its package's name and unpacked, never installed.
//!
//! The result is a *kernel root*: a folder with `boot/vmlinuz-VERSION` and `lib/modules/VERSION`, the latter with
//! depmod's indexes. Any other folder of that shape will do in its place (`--kernel-root`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use initramfs::pack::kernel::{self, KernelInfo};
use serde::Serialize;
use verify::Arch;

use super::{
    apt::{Apt, Package, STAMP, debian_name, field},
    build_directory, command,
};
use crate::output;

/// Fetches a Debian kernel package by name and unpacks it.
#[derive(clap::Args)]
#[command(after_help = "\
The package comes from the host's own apt sources, as the user who asks. It is not installed.

Examples:
  phase lab kernel                                  # linux-image-cloud-amd64
  phase lab kernel --flavour amd64
  phase lab kernel --flavour 6.12-cloud-amd64 --json
  phase lab kernel --arch aarch64                   # linux-image-cloud-arm64
  phase lab kernel --kernel-root /srv/my-kernel     # only looks at it")]
pub struct Args {
    /// What follows `linux-image-` in the package's name; cloud-amd64 or cloud-arm64 if not given
    #[arg(long, value_name = "NAME")]
    pub flavour: Option<String>,
    /// The architecture: `x86_64` or `aarch64`; the host's own if not given
    #[arg(long, default_value_t = Arch::COMPILED)]
    pub arch: Arch,
    /// Use this folder with boot/vmlinuz-* and lib/modules/* instead of a package
    #[arg(long, value_name = "DIR", env = "KERNEL_ROOT")]
    pub kernel_root: Option<PathBuf>,
    /// Where the kernel goes: DIR/FLAVOUR
    #[arg(long, value_name = "DIR", default_value_os_t = build_directory().join("kernel"))]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Small, quick to start, and has what a virtual machine needs.
pub fn default_flavour(arch: Arch) -> String {
    format!("cloud-{}", debian_name(arch))
}

/// What is there; `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    root: &'a Path,
    version: &'a str,
    kernel: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let kernel = if let Some(root) = &args.kernel_root {
        KernelRoot::open(root)?
    } else {
        let flavour = args.flavour.clone().unwrap_or_else(|| default_flavour(args.arch));
        fetch(args.arch, &flavour, &args.out)?
    };
    let report = Report { root: &kernel.root, version: &kernel.version, kernel: kernel.kernel() };
    output::show(&report, args.json, |report| {
        println!("version  {}", report.version);
        println!("kernel   {}", report.kernel.display());
        println!("modules  {}", kernel.modules().display());
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A folder with one kernel and its indexed modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRoot {
    root: PathBuf,
    version: String,
}

impl KernelRoot {
    /// Looks at `root`.
    ///
    /// # Errors
    /// There is no kernel in it, or more than one, or no modules for it, or depmod has not seen them.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let kernel = Self::find(root)?;
        let index = kernel.modules().join("modules.dep");
        anyhow::ensure!(
            index.is_file(),
            "{} is missing: depmod -b {} {}",
            index.display(),
            root.display(),
            kernel.version
        );
        kernel.has_what_init_needs()?;
        Ok(kernel)
    }

    /// Compares the configuration beside the kernel, where there is one, with `kernel-configs/required.config`.
    fn has_what_init_needs(&self) -> anyhow::Result<()> {
        let path = self.root.join("boot").join(format!("config-{}", self.version));
        let Ok(config) = fs::read_to_string(&path) else { return Ok(()) };
        let mut missing = super::kernel_config::missing(&config);
        // Debian's kernels for arm64 have it not, and are good for `direct`.
        let arm64 = config.lines().any(|line| line == "CONFIG_ARM64=y");
        missing.retain(|option| !(arm64 && option.starts_with("CONFIG_KEXEC_FILE ")));
        anyhow::ensure!(missing.is_empty(), "{}: this kernel lacks {}", path.display(), missing.join(", "));
        Ok(())
    }

    fn find(root: &Path) -> anyhow::Result<Self> {
        let mut versions = kernel_versions(&root.join("boot"))?;
        let version = match (versions.pop(), versions.is_empty()) {
            (Some(version), true) => version,
            (Some(last), false) => {
                anyhow::bail!("{} has several kernels: {}, {last}; one is wanted", root.display(), versions.join(", "))
            }
            (None, _) => anyhow::bail!("{}/boot has no vmlinuz-VERSION", root.display()),
        };
        let kernel = Self { root: root.to_owned(), version };
        anyhow::ensure!(kernel.modules().is_dir(), "{} is missing", kernel.modules().display());
        Ok(kernel)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `uname -r` says under this kernel.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it was made from: the package and its version, or for a folder of somebody else's its place and version.
    pub fn identity(&self) -> String {
        let place = || format!("{} {}", self.root.display(), self.version);
        fs::read_to_string(self.root.join(STAMP)).unwrap_or_else(|_| place())
    }

    /// The kernel's image.
    pub fn kernel(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    /// What it runs on, as its image says.
    ///
    /// # Errors
    /// The image cannot be read, or is of no kernel that is known here.
    pub fn arch(&self) -> anyhow::Result<Arch> {
        let path = self.kernel();
        let image = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let info = KernelInfo::parse(&image).with_context(|| format!("{} is no kernel to boot", path.display()))?;
        Ok(match info.arch {
            kernel::Arch::X86_64 => Arch::X86_64,
            kernel::Arch::Aarch64 => Arch::Aarch64,
        })
    }

    /// The folder of its modules: `lib/modules/VERSION`, or under `usr` where only that exists.
    pub fn modules(&self) -> PathBuf {
        let modules = Path::new("lib/modules").join(&self.version);
        let plain = self.root.join(&modules);
        if plain.is_dir() { plain } else { self.root.join("usr").join(modules) }
    }
}

fn kernel_versions(boot: &Path) -> anyhow::Result<Vec<String>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(boot).with_context(|| format!("cannot read {}", boot.display()))? {
        let name = entry?.file_name();
        versions.extend(name.to_str().and_then(|name| name.strip_prefix("vmlinuz-")).map(str::to_owned));
    }
    versions.sort();
    Ok(versions)
}

/// Unpacks the newest `linux-image-FLAVOUR` that apt knows into `out/FLAVOUR`, unless that is there already.
pub fn fetch(arch: Arch, flavour: &str, out: &Path) -> anyhow::Result<KernelRoot> {
    let apt = Apt::of(arch)?;
    let package = resolve(&apt, &format!("linux-image-{flavour}"))?;
    let root = out.join(flavour);
    apt.unpack(&package, &root, index)?;
    KernelRoot::open(&root)
}

/// What the package's own installation script would do: depmod, here inside the folder.
fn index(root: &Path) -> anyhow::Result<()> {
    // Packages for a merged /usr have usr/lib/modules only, and depmod looks into lib.
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    }
    let kernel = KernelRoot::find(root)?;
    command::output(command::find("depmod", "kmod")?.arg("-b").arg(root).arg(kernel.version()))?;
    Ok(())
}

/// The package with the kernel itself: `name`, or what the metapackage `name` depends on.
fn resolve(apt: &Apt, name: &str) -> anyhow::Result<Package> {
    let candidate = |name: &str| {
        let found = apt.candidate(name);
        let (package, record) =
            found.with_context(|| format!("{name} cannot be had; a kernel may be given with KERNEL_ROOT=DIR"))?;
        let image = field(&record, "Depends").and_then(kernel_dependency).map(str::to_owned);
        anyhow::Ok((package, image))
    };
    let mut package = candidate(name)?;
    // Metapackages may lead to metapackages; a chain longer than this is a mistake in the archive.
    for _ in 0..4 {
        let Some(next) = package.1 else { return Ok(package.0) };
        package = candidate(&next)?;
    }
    anyhow::bail!("{name} leads through more than four metapackages")
}

/// The first `linux-image-…` of a `Depends` field; a real kernel package depends on none.
fn kernel_dependency(depends: &str) -> Option<&str> {
    let names = depends.split([',', '|']).filter_map(|dependency| dependency.split_whitespace().next());
    names.into_iter().find(|name| name.starts_with("linux-image-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        directory
    }

    #[test]
    fn a_metapackage_leads_to_its_kernel() {
        let record = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n";
        assert_eq!(field(record, "Version"), Some("6.1.192-2"));
        assert_eq!(kernel_dependency(field(record, "Depends").unwrap()), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(kernel_dependency("kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool"), None);
    }

    #[test]
    fn a_kernel_whose_configuration_lacks_something_is_refused_with_its_reason() {
        let root = tree(&["boot/vmlinuz-6.1.0", "boot/config-6.1.0", "lib/modules/6.1.0/modules.dep"]);
        fs::write(root.path().join("boot/config-6.1.0"), "# CONFIG_PACKET is not set\n").unwrap();
        let error = KernelRoot::open(root.path()).unwrap_err().to_string();
        assert!(error.contains("CONFIG_PACKET (DHCP before there is an address)"), "{error}");
    }

    #[test]
    fn a_kernel_for_arm64_may_lack_what_loads_the_next_one() {
        let root = tree(&["boot/vmlinuz-6.1.0", "boot/config-6.1.0", "lib/modules/6.1.0/modules.dep"]);
        fs::write(root.path().join("boot/config-6.1.0"), "CONFIG_ARM64=y\n").unwrap();
        let error = KernelRoot::open(root.path()).unwrap_err().to_string();
        assert!(error.contains("CONFIG_PACKET (") && !error.contains("CONFIG_KEXEC_FILE ("), "{error}");
    }

    #[test]
    fn both_places_of_modules_are_found() {
        for modules in ["lib/modules/6.1.0", "usr/lib/modules/6.1.0"] {
            let root = tree(&["boot/vmlinuz-6.1.0", "boot/System.map-6.1.0", &format!("{modules}/modules.dep")]);
            let kernel = KernelRoot::open(root.path()).unwrap();
            assert_eq!(kernel.version(), "6.1.0");
            assert_eq!(kernel.modules(), root.path().join(modules));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = |files: &[&str]| KernelRoot::open(tree(files).path()).unwrap_err().to_string();
        assert!(message(&["boot/config-6"]).contains("no vmlinuz-VERSION"));
        assert!(message(&["boot/vmlinuz-6"]).contains("lib/modules/6 is missing"));
        assert!(message(&["boot/vmlinuz-6", "lib/modules/6/kernel/a.ko"]).contains("depmod -b"));
        assert!(message(&["boot/vmlinuz-6", "boot/vmlinuz-7"]).contains("several kernels: 6, 7"));
    }
}
