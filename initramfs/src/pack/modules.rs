//! Which modules of a kernel are packed, and the indexes over just these.
//!
//! Guarantees: what is packed can be loaded, since every dependency is packed too; a name that the kernel does not know is
//! an error with the names that come near it; the indexes name exactly what is packed. Modules are stored decompressed:
//! zstd over the whole archive packs them better, and a kernel without `MODULE_DECOMPRESS` loads them too.

use super::archive::{ArchiveError, Tree};
use super::compress::{DecompressError, Format};
use super::sets;
use crate::kmod::{Index, KmodError, Limits, Sources, name_of_path};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Most bytes of one decompressed module; the largest of Debian's has 20 MB.
const MODULE_LIMIT: u64 = 256 << 20;

/// Why modules cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// The kernel's tree has no modules.
    #[error("there is no lib/modules/VERSION below {}: give the folder into which the kernel's package was unpacked", root.display())]
    NoVersion {
        /// The kernel's tree.
        root: PathBuf,
    },
    /// The kernel's tree has several kernels.
    #[error("there are several kernels below {}: {}; give a folder with one", root.display(), versions.join(", "))]
    ManyVersions {
        /// The kernel's tree.
        root: PathBuf,
        /// Their versions.
        versions: Vec<String>,
    },
    /// The package was unpacked but not installed, so that nobody ran depmod.
    #[error("{}/modules.dep is missing; `depmod -b {} {version}` writes it", directory.display(), root.display())]
    NoIndex {
        /// The folder of the modules.
        directory: PathBuf,
        /// The kernel's tree.
        root: PathBuf,
        /// The kernel's version.
        version: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An index is broken, or contradicts itself.
    #[error("the module indexes in {} cannot be used", directory.display())]
    Index {
        /// The folder of the modules.
        directory: PathBuf,
        /// Why.
        source: KmodError,
    },
    /// The kernel has no such module.
    #[error("kernel {version} has no module {name}{}", near_text(near))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The kernel's version.
        version: String,
        /// Names that come near it.
        near: Vec<String>,
    },
    /// A module cannot be decompressed.
    #[error("cannot decompress {}", path.display())]
    Decompress {
        /// The module.
        path: PathBuf,
        /// Why.
        source: DecompressError,
    },
    /// The archive refuses a file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it are {}", near.join(", ")) }
}

/// One kernel's modules on the host.
#[derive(Debug)]
pub struct KernelTree {
    directory: PathBuf,
    version: String,
    dep: String,
    alias: String,
    softdep: String,
    builtin: String,
}

impl KernelTree {
    /// Finds the one kernel below `root` (`lib/modules/VERSION`, or `usr/lib/modules/VERSION`) and reads its indexes.
    pub fn open(root: &Path) -> Result<Self, ModulesError> {
        let (directory, version) = only_version(root)?;
        if !directory.join("modules.dep").exists() {
            return Err(ModulesError::NoIndex { directory, root: root.to_owned(), version });
        }
        let index = |name: &str| {
            let path = directory.join(name);
            match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                other => other.map_err(|source| ModulesError::Read { path, source }),
            }
        };
        let (dep, alias) = (index("modules.dep")?, index("modules.alias")?);
        let (softdep, builtin) = (index("modules.softdep")?, index("modules.builtin")?);
        Ok(Self { directory, version, dep, alias, softdep, builtin })
    }

    /// The kernel's version (`uname -r`).
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Chooses modules by name, or by the name of a set ([`sets::ALL`]), with all that they need.
    pub fn select(&self, names: &[String]) -> Result<Selection<'_>, ModulesError> {
        let sources = Sources { dep: &self.dep, alias: &self.alias, softdep: &self.softdep, builtin: &self.builtin };
        let broken = |source| ModulesError::Index { directory: self.directory.clone(), source };
        let index = Index::parse(&sources, Limits::DEFAULT).map_err(broken)?;
        let mut selection =
            Selection { kernel: self, paths: BTreeSet::new(), builtin: BTreeSet::new(), absent: Vec::new() };
        for (name, required) in names.iter().flat_map(|name| expand(name)) {
            if index.path(name).is_some() {
                selection.paths.extend(index.load_order(name).map_err(broken)?);
            } else if index.is_builtin(name) {
                selection.builtin.insert(normal(name));
            } else if required {
                let near = near(name, &index);
                return Err(ModulesError::Unknown { name: name.to_owned(), version: self.version.clone(), near });
            } else {
                selection.absent.push(name.to_owned());
            }
        }
        Ok(selection)
    }
}

/// The modules of a set, or the one module; and whether it has to be there.
fn expand(name: &str) -> Vec<(&str, bool)> {
    match sets::find(name) {
        Some(set) => set.all_modules().map(|module| (module, set.required)).collect(),
        None => vec![(name, true)],
    }
}

fn only_version(root: &Path) -> Result<(PathBuf, String), ModulesError> {
    for below in ["lib/modules", "usr/lib/modules"] {
        let directory = root.join(below);
        let read = |source| ModulesError::Read { path: directory.clone(), source };
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(read)?,
        };
        let mut versions = Vec::new();
        for entry in entries {
            let entry = entry.map_err(read)?;
            if entry.path().is_dir() {
                versions.extend(entry.file_name().into_string());
            }
        }
        versions.sort();
        match versions.as_slice() {
            [] => {}
            [version] => return Ok((directory.join(version), version.clone())),
            _ => return Err(ModulesError::ManyVersions { root: root.to_owned(), versions }),
        }
    }
    Err(ModulesError::NoVersion { root: root.to_owned() })
}

/// Modules to pack, closed over what they need.
#[derive(Debug)]
pub struct Selection<'a> {
    kernel: &'a KernelTree,
    paths: BTreeSet<&'a str>,
    builtin: BTreeSet<String>,
    absent: Vec<String>,
}

impl Selection<'_> {
    /// Paths of the modules below `lib/modules/VERSION/`, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().copied()
    }

    /// What was asked for and is part of the kernel itself, sorted.
    pub fn builtin(&self) -> impl Iterator<Item = &str> {
        self.builtin.iter().map(String::as_str)
    }

    /// What was wished for (a set that is not required) and this kernel does not have.
    pub fn absent(&self) -> &[String] {
        &self.absent
    }

    /// Puts the modules and the indexes over them into an initramfs. With `keep_compressed` they stay as the kernel's
    /// package has them, which only a kernel with `MODULE_DECOMPRESS` can load.
    pub fn add_to(&self, tree: &mut Tree, keep_compressed: bool) -> Result<(), ModulesError> {
        let below = format!("lib/modules/{}", self.kernel.version);
        for path in &self.paths {
            let source = self.kernel.directory.join(path);
            let bytes = read_module(&source, keep_compressed)?;
            tree.file(&format!("{below}/{}", stored(path, keep_compressed)), 0o644, bytes)?;
        }
        let names: BTreeSet<_> = self.paths.iter().map(|path| normal(name_of_path(path))).collect();
        let packed = |name: Option<&str>| name.is_some_and(|name| names.contains(&normal(name)));
        let alias = keep_lines(&self.kernel.alias, |line| packed(line.split_ascii_whitespace().nth(2)));
        let softdep = keep_lines(&self.kernel.softdep, |line| packed(line.split_ascii_whitespace().nth(1)));
        let builtin = keep_lines(&self.kernel.builtin, |line| self.builtin.contains(&normal(name_of_path(line))));
        tree.file(&format!("{below}/modules.dep"), 0o644, self.dep(keep_compressed))?;
        tree.file(&format!("{below}/modules.alias"), 0o644, alias)?;
        tree.file(&format!("{below}/modules.softdep"), 0o644, softdep)?;
        tree.file(&format!("{below}/modules.builtin"), 0o644, builtin)?;
        Ok(())
    }

    /// `modules.dep` over what is packed, with the names under which it is stored.
    fn dep(&self, keep_compressed: bool) -> String {
        let mut out = String::new();
        for (path, needs) in self.kernel.dep.lines().filter_map(|line| line.split_once(':')) {
            if self.paths.contains(path) {
                out += stored(path, keep_compressed);
                out.push(':');
                for need in needs.split_ascii_whitespace() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, " {}", stored(need, keep_compressed));
                }
                out.push('\n');
            }
        }
        out
    }
}

fn keep_lines(text: &str, keep: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| keep(line)).flat_map(|line| [line, "\n"]).collect()
}

/// A module's name with `_` only.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

const COMPRESSIONS: [&str; 3] = [".xz", ".zst", ".gz"];

/// The path under which a module is stored.
fn stored(path: &str, keep_compressed: bool) -> &str {
    let plain = COMPRESSIONS.iter().find_map(|suffix| path.strip_suffix(suffix));
    plain.filter(|_| !keep_compressed).unwrap_or(path)
}

fn read_module(path: &Path, keep_compressed: bool) -> Result<Vec<u8>, ModulesError> {
    let bytes = std::fs::read(path).map_err(|source| ModulesError::Read { path: path.to_owned(), source })?;
    let compressed = path.to_str().is_some_and(|path| stored(path, false) != path);
    if keep_compressed || !compressed {
        return Ok(bytes);
    }
    Format::of(&bytes)
        .and_then(|format| format.decompress(&mut &bytes[..], MODULE_LIMIT))
        .map_err(|source| ModulesError::Decompress { path: path.to_owned(), source })
}

/// At most five names that a person may have meant, the nearest first.
fn near(name: &str, index: &Index<'_>) -> Vec<String> {
    let wanted = normal(name);
    let distance = |candidate: &str| {
        let candidate = normal(candidate);
        let part = wanted.len() > 2 && (candidate.contains(&wanted) || wanted.contains(&candidate));
        let edits = edits(wanted.as_bytes(), candidate.as_bytes());
        (edits <= 2 || part).then_some(edits)
    };
    let mut found: Vec<_> = index.names().filter_map(|name| Some((distance(name)?, name))).collect();
    found.sort_unstable();
    found.into_iter().take(5).map(|(_, name)| name.to_owned()).collect()
}

/// Levenshtein's distance.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
