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
use serde_json::json;

use super::{build_directory, command};

/// Written last into a finished folder: the package and version that it was made from.
const STAMP: &str = ".phase-package";

/// Fetches a Debian kernel package by name and unpacks it.
#[derive(clap::Args)]
#[command(after_help = "\
The package comes from the host's own apt sources, as the user who asks. It is not installed.

Examples:
  phase lab kernel                                  # linux-image-cloud-amd64
  phase lab kernel --flavour amd64
  phase lab kernel --flavour 6.12-cloud-amd64 --json
  phase lab kernel --kernel-root /srv/my-kernel     # only looks at it")]
pub struct Args {
    /// What follows `linux-image-` in the package's name
    #[arg(long, value_name = "NAME", default_value = DEFAULT_FLAVOUR)]
    pub flavour: String,
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
pub const DEFAULT_FLAVOUR: &str = "cloud-amd64";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let kernel = match &args.kernel_root {
        Some(root) => KernelRoot::open(root)?,
        None => fetch(&args.flavour, &args.out)?,
    };
    if args.json {
        println!("{:#}", json!({"root": kernel.root, "version": kernel.version, "kernel": kernel.kernel()}));
    } else {
        println!("version  {}", kernel.version);
        println!("kernel   {}", kernel.kernel().display());
        println!("modules  {}", kernel.modules().display());
    }
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
        let missing = super::kernel_config::missing(&config);
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

    /// The bzImage.
    pub fn kernel(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.version))
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
pub fn fetch(flavour: &str, out: &Path) -> anyhow::Result<KernelRoot> {
    let package = Package::resolve(&format!("linux-image-{flavour}"))?;
    let root = out.join(flavour);
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|stamp| stamp.trim() == package.to_string()) {
        return KernelRoot::open(&root);
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let temporary = tempfile::Builder::new().prefix(".fetch-").tempdir_in(out)?;
    let unpacked = temporary.path().join("root");
    let file = package.download(temporary.path())?;
    command::output(command::find("dpkg", "dpkg")?.arg("-x").args([&file, &unpacked]))?;
    index(&unpacked)?;
    fs::write(unpacked.join(STAMP), format!("{package}\n"))?;
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot remove the old {}", root.display()))?;
    }
    fs::rename(&unpacked, &root).with_context(|| format!("cannot put {} in its place", root.display()))?;
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

/// A package in the one version that apt would install.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
}

impl Package {
    /// The package with the kernel itself: `name`, or what the metapackage `name` depends on.
    fn resolve(name: &str) -> anyhow::Result<Self> {
        let mut package = Self::candidate(name)?;
        // Metapackages may lead to metapackages; a chain longer than this is a mistake in the archive.
        for _ in 0..4 {
            let Some(next) = package.1 else { return Ok(package.0) };
            package = Self::candidate(&next)?;
        }
        anyhow::bail!("{name} leads through more than four metapackages")
    }

    /// The candidate of `name`, and the kernel package that it depends on.
    fn candidate(name: &str) -> anyhow::Result<(Self, Option<String>)> {
        let record = command::output(command::find("apt-cache", "apt")?.args(["show", "--no-all-versions", name]));
        let record = record.with_context(|| {
            format!("apt knows no package {name}: run `apt-get update` as root, or give a kernel with KERNEL_ROOT=DIR")
        })?;
        let version = field(&record, "Version").with_context(|| format!("apt-cache shows no version of {name}"))?;
        let image = field(&record, "Depends").and_then(kernel_dependency).map(str::to_owned);
        Ok((Self { name: name.to_owned(), version: version.to_owned() }, image))
    }

    /// Downloads into `directory` and returns the file.
    fn download(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let _step = command::step(&format!("downloading {} {}", self.name, self.version));
        let mut apt = command::find("apt-get", "apt")?;
        // The folder is the caller's: apt's own user cannot write there, and says so at length.
        apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).arg(format!("{}={}", self.name, self.version));
        command::output(apt.current_dir(directory))?;
        let mut files = fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path());
        files
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download left no .deb of {}", self.name))
    }
}

impl std::fmt::Display for Package {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// A one-line field of a package record (deb822).
fn field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
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
