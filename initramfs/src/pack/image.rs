//! The initramfs around `init`: of the boot stage, with its trust; and of a release, with the modules of its kernel.
//!
//! Guarantees: `/init` is a static program; `/etc/phase/stage` agrees with what else is in `/etc/phase`; the same input
//! gives the same bytes.

use super::archive::{ArchiveError, Listed, Tree};
use super::compress;
use super::elf::{ElfError, check_static};
use super::modules::{KernelTree, ModulesError};
use super::size::{SizeError, unpacked_size};
use std::io;
use std::path::PathBuf;

/// Why an initramfs cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file of the host cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program for `/init` cannot be PID 1 here.
    #[error("{} cannot be /init", path.display())]
    Init {
        /// The program.
        path: PathBuf,
        /// Why.
        source: ElfError,
    },
    /// Modules were asked for, but no kernel was given.
    #[error("the modules {} were asked for, but no kernel root was given to take them from", modules.join(", "))]
    NoKernel {
        /// The modules, or sets of modules.
        modules: Vec<String>,
    },
    /// The modules cannot be packed.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// The tree cannot be packed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// zstd failed.
    #[error("cannot compress the archive")]
    Compress(#[source] io::Error),
    /// The result cannot be sized.
    #[error(transparent)]
    Size(#[from] SizeError),
}

/// Which stage the initramfs is for, with what only that stage has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Stage one: finds, proves and starts a release.
    Boot {
        /// Bytes of `/etc/phase/trust.json`; the caller has checked them.
        trust: Vec<u8>,
        /// Bytes of `/etc/phase/config.json`, if there is one.
        config: Option<Vec<u8>>,
        /// Bytes of `/etc/phase/tls-roots.pem`, if there is one: the only roots that https servers are believed by.
        tls_roots: Option<Vec<u8>>,
    },
    /// Stage two: puts the release's root together.
    Root,
}

/// A file of the host that goes along, readable for all, and executable if it is so on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Where it stands in the initramfs.
    pub path: String,
    /// The file on the host.
    pub source: PathBuf,
}

/// What goes into an initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootInitramfs {
    /// The program for `/init`: static.
    pub init: PathBuf,
    /// The stage that it is for.
    pub stage: Stage,
    /// The folder into which the kernel's package was unpacked; needed for modules.
    pub kernel_root: Option<PathBuf>,
    /// Names of modules, or of sets of them ([`super::sets::ALL`]).
    pub modules: Vec<String>,
    /// Whether modules stay compressed as they are.
    pub keep_compressed: bool,
    /// Further files.
    pub extra: Vec<ExtraFile>,
    /// Time of every member in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub mtime: u32,
}

/// An initramfs that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file: one zstd-compressed archive.
    pub bytes: Vec<u8>,
    /// Bytes that it takes in memory once it is unpacked, see [`unpacked_size`].
    pub unpacked_size: u64,
    /// What is in it, in the order of the archive.
    pub listing: Vec<Listed>,
    /// Modules that were asked for and are part of the kernel.
    pub builtin: Vec<String>,
    /// Modules that a set wished for and the kernel does not have.
    pub absent: Vec<String>,
}

/// Folders that `init` mounts on, or looks into.
const DIRECTORIES: [&str; 6] = ["dev", "proc", "sys", "run", "etc/phase", "lib/modules"];

impl BootInitramfs {
    /// Makes the initramfs.
    pub fn build(&self) -> Result<Built, ImageError> {
        let mut tree = Tree::new();
        for directory in DIRECTORIES {
            tree.directory(directory)?;
        }
        // The kernel opens /dev/console for init before init can mount anything.
        tree.char_device("dev/console", 0o600, (5, 1))?;
        tree.char_device("dev/null", 0o666, (1, 3))?;
        tree.file("init", 0o755, self.read_init()?)?;
        self.add_stage(&mut tree)?;
        let (builtin, absent) = self.add_modules(&mut tree)?;
        for extra in &self.extra {
            add_extra(&mut tree, extra)?;
        }
        let archive = tree.to_newc(self.mtime)?;
        Ok(Built {
            bytes: compress::zstd(&archive).map_err(ImageError::Compress)?,
            unpacked_size: unpacked_size(&archive)?,
            listing: tree.listing(),
            builtin,
            absent,
        })
    }

    fn read_init(&self) -> Result<Vec<u8>, ImageError> {
        let path = &self.init;
        let program = std::fs::read(path).map_err(|source| ImageError::Read { path: path.clone(), source })?;
        check_static(&program).map_err(|source| ImageError::Init { path: path.clone(), source })?;
        Ok(program)
    }

    fn add_stage(&self, tree: &mut Tree) -> Result<(), ArchiveError> {
        match &self.stage {
            Stage::Boot { trust, config, tls_roots } => {
                tree.file("etc/phase/stage", 0o644, *b"boot\n")?;
                tree.file("etc/phase/trust.json", 0o644, trust.as_slice())?;
                for (path, bytes) in [("etc/phase/config.json", config), ("etc/phase/tls-roots.pem", tls_roots)] {
                    bytes.as_ref().map_or(Ok(()), |bytes| tree.file(path, 0o644, bytes.as_slice()))?;
                }
                Ok(())
            }
            Stage::Root => tree.file("etc/phase/stage", 0o644, *b"root\n"),
        }
    }

    /// Answers which modules are built in, and which are absent.
    fn add_modules(&self, tree: &mut Tree) -> Result<(Vec<String>, Vec<String>), ImageError> {
        let Some(root) = self.kernel_root.as_ref().filter(|_| !self.modules.is_empty()) else {
            let nothing = self.modules.is_empty();
            return if nothing {
                Ok(Default::default())
            } else {
                Err(ImageError::NoKernel { modules: self.modules.clone() })
            };
        };
        let kernel = KernelTree::open(root)?;
        let selection = kernel.select(&self.modules)?;
        selection.add_to(tree, self.keep_compressed)?;
        Ok((selection.builtin().map(str::to_owned).collect(), selection.absent().to_vec()))
    }
}

fn add_extra(tree: &mut Tree, extra: &ExtraFile) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt as _;
    let read = |source| ImageError::Read { path: extra.source.clone(), source };
    let executable = std::fs::metadata(&extra.source).map_err(read)?.permissions().mode() & 0o111 != 0;
    tree.file_from(&extra.path, if executable { 0o755 } else { 0o644 }, &extra.source)?;
    Ok(())
}

#[cfg(test)]
mod tests;
