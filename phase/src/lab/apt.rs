//! Debian packages of this host's architecture or of another one: found by apt, unpacked, never installed.
//!
//! For another architecture apt gets lists and a cache of its own inside the output folder, with the host's sources and keys:
//! what the host's dpkg counts as its architectures stays as it is, and no root is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use verify::Arch;

use super::{build_directory, command};

/// Lists of our own that are older are fetched again: an archive drops what was replaced.
const FRESH: Duration = Duration::from_hours(24);

/// Written last into a finished folder: the package and version that it was made from.
pub(super) const STAMP: &str = ".phase-package";

/// Debian's name of an architecture.
pub(super) fn debian_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}

/// apt for one architecture.
#[derive(Debug, Clone)]
pub(super) struct Apt {
    arch: Arch,
    /// What `APT_CONFIG` names; the host's own apt has none.
    configuration: Option<PathBuf>,
}

impl Apt {
    /// The host's own apt for the host's architecture; else one whose lists are fetched if they are not there or are old.
    ///
    /// # Errors
    /// apt is missing, or the lists cannot be fetched.
    pub(super) fn of(arch: Arch) -> anyhow::Result<Self> {
        let apt = match arch {
            Arch::COMPILED => Self { arch, configuration: None },
            other => Self::with_state(other, &build_directory().join("apt").join(debian_name(other)))?,
        };
        Ok(apt)
    }

    fn with_state(arch: Arch, folder: &Path) -> anyhow::Result<Self> {
        for name in ["lists/partial", "cache/archives/partial"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        let [path, status, updated] = ["apt.conf", "status", "updated"].map(|name| folder.join(name));
        let write =
            |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
        write(&path, &configuration(arch, &folder))?;
        // No package is installed.
        write(&status, "")?;
        let apt = Self { arch, configuration: Some(path) };
        let age =
            fs::metadata(&updated).and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_none_or(|age| age > FRESH) {
            let _step = command::step(&format!("fetching apt's lists of {}", debian_name(arch)));
            match command::output(apt.command("apt-get")?.args(["-q", "update"])) {
                Ok(_) => write(&updated, "")?,
                // Without a network, what is known does.
                Err(error) if updated.exists() => {
                    eprintln!("phase: apt's lists of {} stay old: {error:#}", debian_name(arch));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(apt)
    }

    /// One of apt's programs.
    pub(super) fn command(&self, program: &'static str) -> anyhow::Result<Command> {
        let mut command = command::find(program, "apt")?;
        if let Some(path) = &self.configuration {
            command.env("APT_CONFIG", path);
        }
        Ok(command)
    }

    /// The candidate of the package `name`, and its record.
    pub(super) fn candidate(&self, name: &str) -> anyhow::Result<(Package, String)> {
        let record = command::output(self.command("apt-cache")?.args(["show", "--no-all-versions", name]));
        let record = record.with_context(|| match self.configuration {
            None => format!("apt knows no package {name}: run `apt-get update` as root"),
            Some(_) => format!("the host's apt sources have no package {name} for {}", debian_name(self.arch)),
        })?;
        let version = field(&record, "Version").with_context(|| format!("apt-cache shows no version of {name}"))?;
        let package = Package { name: name.to_owned(), version: version.to_owned(), arch: self.arch };
        Ok((package, record))
    }

    /// Unpacks `package` into `root` unless it is there already; `finish` completes the folder before it gets its name.
    pub(super) fn unpack(
        &self,
        package: &Package,
        root: &Path,
        finish: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if fs::read_to_string(root.join(STAMP)).is_ok_and(|stamp| stamp.trim() == package.to_string()) {
            return Ok(());
        }
        refuse_other(root)?;
        let out = root.parent().context("the folder for a package has no parent")?;
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let temporary = tempfile::Builder::new().prefix(".fetch-").tempdir_in(out)?;
        let unpacked = temporary.path().join("root");
        let file = self.download(package, temporary.path())?;
        command::output(command::find("dpkg", "dpkg")?.arg("-x").args([&file, &unpacked]))?;
        finish(&unpacked)?;
        fs::write(unpacked.join(STAMP), format!("{package}\n"))?;
        replace(root, &unpacked)
    }

    /// Downloads into `directory` and returns the file.
    fn download(&self, package: &Package, directory: &Path) -> anyhow::Result<PathBuf> {
        let Package { name, version, .. } = package;
        let _step = command::step(&format!("downloading {package}"));
        let mut apt = self.command("apt-get")?;
        // The folder is the caller's: apt's own user cannot write there, and says so at length.
        apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).arg(format!("{name}={version}"));
        command::output(apt.current_dir(directory))?;
        let mut files = fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path());
        files
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download left no .deb of {name}"))
    }
}

/// Puts the folder `finished` in the place of `root`, where there may be an older one of ours.
///
/// # Errors
/// Those of [`refuse_other`], or the file system refuses.
pub(super) fn replace(root: &Path, finished: &Path) -> anyhow::Result<()> {
    refuse_other(root)?;
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove the old {}", root.display()))?;
    }
    fs::rename(finished, root).with_context(|| format!("cannot put {} in its place", root.display()))
}

/// Fails if there is something at `root` that was not made here.
pub(super) fn refuse_other(root: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !root.exists() || root.join(STAMP).is_file(),
        "{} exists already and is nothing that `phase lab` made (it has no {STAMP}): remove it, or say another folder",
        root.display()
    );
    Ok(())
}

/// A package in the one version that apt would install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    arch: Arch,
}

impl std::fmt::Display for Package {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.arch {
            Arch::COMPILED => write!(formatter, "{} {}", self.name, self.version),
            other => write!(formatter, "{}:{} {}", self.name, debian_name(other), self.version),
        }
    }
}

/// A one-line field of a package record (deb822).
pub(super) fn field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// apt.conf(5): everything that apt writes is below `folder`, what it reads of sources and keys is the host's.
fn configuration(arch: Arch, folder: &Path) -> String {
    let (name, folder) = (debian_name(arch), folder.display());
    format!(
        "APT::Architecture \"{name}\";\n\
         #clear APT::Architectures;\n\
         APT::Architectures {{ \"{name}\"; }};\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Dir::State \"{folder}\";\n\
         Dir::State::lists \"{folder}/lists\";\n\
         Dir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/cache\";\n\
         #clear APT::Update::Post-Invoke;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_for_another_architecture_writes_nothing_of_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apt.conf");
        fs::write(&path, configuration(Arch::Aarch64, folder.path())).unwrap();
        let dump = command::find("apt-config", "apt").unwrap().env("APT_CONFIG", &path).arg("dump").output().unwrap();
        let dump = String::from_utf8(dump.stdout).unwrap();
        let value = |key: &str| {
            let lines = dump.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(" \""));
            lines.map(|line| line.trim_end_matches("\";").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (value("APT::Architecture"), value("APT::Architectures::")),
            (vec!["arm64".into()], vec!["arm64".into()])
        );
        for written in ["Dir::State", "Dir::State::lists", "Dir::State::status", "Dir::Cache"] {
            let value = value(written).concat();
            assert!(value.starts_with(folder.path().to_str().unwrap()), "{written} is {value}");
        }
        assert_eq!(value("Dir::Etc"), ["etc/apt"], "the host's sources and keys");
    }

    #[test]
    fn a_folder_of_ours_is_replaced_and_no_other() {
        let home = tempfile::tempdir().unwrap();
        let [root, finished] = ["root", "finished"].map(|name| home.path().join(name));
        for folder in [&root, &finished] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(root.join("mine"), "mine").unwrap();
        fs::write(finished.join(STAMP), "a 2").unwrap();
        let error = replace(&root, &finished).unwrap_err().to_string();
        assert!(error.contains("is nothing that `phase lab` made"), "{error}");
        assert_eq!(fs::read(root.join("mine")).unwrap(), b"mine");
        fs::write(root.join(STAMP), "a 1").unwrap();
        replace(&root, &finished).unwrap();
        assert_eq!(fs::read(root.join(STAMP)).unwrap(), b"a 2");
        assert!(!root.join("mine").exists() && !finished.exists());
    }

    #[test]
    fn a_package_of_another_architecture_names_it() {
        let package = |arch| Package { name: "busybox-static".into(), version: "1".into(), arch }.to_string();
        assert_eq!(package(Arch::COMPILED), "busybox-static 1");
        let other = if Arch::COMPILED == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 };
        assert_eq!(package(other), format!("busybox-static:{} 1", debian_name(other)));
    }
}
