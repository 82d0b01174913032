//! A tree of files as one deterministic newc archive.
//!
//! Guarantees: members stand in byte order of their paths (so a directory stands before what it holds), belong to root,
//! carry one given time and numbers counted from 1: the bytes depend on the tree alone. A path occurs once.

use crate::newc::{Member, NewcError, padding, trailer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A path is empty, or has `.`, `..` or an empty part.
    #[error("{path:?} is not a path inside an initramfs: wanted names separated by single slashes, without . and ..")]
    BadPath {
        /// The path as it was given.
        path: String,
    },
    /// Two things would stand at one path.
    #[error("there are two files for /{path} of the initramfs")]
    Twice {
        /// The path.
        path: String,
    },
    /// A file of the host cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The format cannot hold it.
    #[error(transparent)]
    Newc(#[from] NewcError),
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory,
    File { mode: u32, bytes: Vec<u8> },
    Symlink { target: String },
    CharDevice { mode: u32, rdev: (u32, u32) },
}

/// One member, for people who want to see what was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Path with its leading `/`.
    pub path: String,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Bytes of data.
    pub size: u64,
}

/// Files, directories, links and device nodes by path. Missing parent directories are made, with mode 0755.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory (0755); one that is there already is no error.
    pub fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        self.insert(path, Node::Directory)
    }

    /// Adds a file with the permission bits `mode`.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Result<(), ArchiveError> {
        self.insert(path, Node::File { mode, bytes: bytes.into() })
    }

    /// Adds a copy of the host's file `source` with the permission bits `mode`.
    pub fn file_from(&mut self, path: &str, mode: u32, source: &Path) -> Result<(), ArchiveError> {
        let bytes =
            std::fs::read(source).map_err(|error| ArchiveError::Read { path: source.to_owned(), source: error })?;
        self.file(path, mode, bytes)
    }

    /// Adds a symbolic link to `target`, which is not looked at.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), ArchiveError> {
        self.insert(path, Node::Symlink { target: target.to_owned() })
    }

    /// Adds a character device node with the permission bits `mode` and the numbers major and minor.
    pub fn char_device(&mut self, path: &str, mode: u32, rdev: (u32, u32)) -> Result<(), ArchiveError> {
        self.insert(path, Node::CharDevice { mode, rdev })
    }

    fn insert(&mut self, path: &str, node: Node) -> Result<(), ArchiveError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(ArchiveError::BadPath { path: path.to_owned() });
        }
        for (end, _) in path.match_indices('/') {
            self.put(&path[..end], Node::Directory)?;
        }
        self.put(path, node)
    }

    fn put(&mut self, path: &str, node: Node) -> Result<(), ArchiveError> {
        match self.nodes.entry(path.to_owned()) {
            Entry::Vacant(vacant) => {
                vacant.insert(node);
            }
            Entry::Occupied(there) if *there.get() == Node::Directory && node == Node::Directory => {}
            Entry::Occupied(_) => return Err(ArchiveError::Twice { path: path.to_owned() }),
        }
        Ok(())
    }

    /// The archive, uncompressed, with `mtime` (seconds since 1970) on every member.
    pub fn to_newc(&self, mtime: u32) -> Result<Vec<u8>, ArchiveError> {
        let mut out = Vec::new();
        for ((path, node), ino) in self.nodes.iter().zip(1..) {
            let (member, data) = member(path, node);
            out.extend(member.with_ino(ino).with_mtime(mtime).encode()?);
            out.extend_from_slice(data);
            out.resize(out.len() + padding(data.len() as u64), 0);
        }
        out.extend(trailer());
        Ok(out)
    }

    /// Every member in the order of the archive.
    pub fn listing(&self) -> Vec<Listed> {
        let listed = |(path, node): (&String, &Node)| {
            let (member, _) = member(path, node);
            Listed { path: format!("/{path}"), mode: member.mode, size: member.size }
        };
        self.nodes.iter().map(listed).collect()
    }
}

fn member<'a>(path: &'a str, node: &'a Node) -> (Member<'a>, &'a [u8]) {
    match node {
        Node::Directory => (Member::directory(path, 0o755), &[]),
        Node::File { mode, bytes } => (Member::file(path, *mode, bytes.len() as u64), bytes),
        Node::Symlink { target } => (Member::symlink(path, target.len() as u64), target.as_bytes()),
        Node::CharDevice { mode, rdev } => (Member::char_device(path, *mode, *rdev), &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::newc::Archive;
    use std::process::{Command, Stdio};

    fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.file("/init", 0o755, *b"#!/bin/true\n").unwrap();
        tree.file("lib/modules/6.1/a-b.ko", 0o644, vec![7; 5001]).unwrap();
        tree.symlink("bin", "usr/bin").unwrap();
        tree.char_device("dev/console", 0o600, (5, 1)).unwrap();
        tree.directory("lib/modules").unwrap();
        tree.directory("lib-empty").unwrap();
        tree
    }

    #[test]
    fn parents_stand_before_what_they_hold() {
        let bytes = tree().to_newc(0).unwrap();
        let names: Vec<_> = Archive::new(&bytes).map(|entry| entry.unwrap().name.escape_ascii().to_string()).collect();
        let want = [
            "bin",
            "dev",
            "dev/console",
            "init",
            "lib",
            "lib-empty",
            "lib/modules",
            "lib/modules/6.1",
            "lib/modules/6.1/a-b.ko",
        ];
        assert_eq!(names, want);
    }

    #[test]
    fn order_of_adding_does_not_show() {
        let mut other = Tree::new();
        other.directory("lib-empty").unwrap();
        other.char_device("dev/console", 0o600, (5, 1)).unwrap();
        other.file("lib/modules/6.1/a-b.ko", 0o644, vec![7; 5001]).unwrap();
        other.symlink("bin", "usr/bin").unwrap();
        other.file("init", 0o755, *b"#!/bin/true\n").unwrap();
        assert_eq!(other.to_newc(9).unwrap(), tree().to_newc(9).unwrap());
        assert_ne!(other.to_newc(9).unwrap(), tree().to_newc(8).unwrap());
    }

    #[test]
    fn a_path_stays_inside_and_occurs_once() {
        let mut tree = tree();
        for path in ["", "/", "a//b", "../a", "a/.", "a/"] {
            assert!(matches!(tree.file(path, 0o644, []), Err(ArchiveError::BadPath { .. })), "{path:?}");
        }
        assert!(matches!(tree.file("init", 0o755, []), Err(ArchiveError::Twice { path }) if path == "init"));
        assert!(matches!(tree.file("init/x", 0o755, []), Err(ArchiveError::Twice { path }) if path == "init"));
    }

    /// The real reader: package cpio.
    fn cpio(arguments: &[&str], archive: &Path, directory: &Path) -> String {
        let out = Command::new("cpio")
            .args(arguments)
            .arg("--quiet")
            .stdin(std::fs::File::open(archive).unwrap())
            .stderr(Stdio::inherit())
            .current_dir(directory)
            .output()
            .expect("these tests need the package cpio");
        assert!(out.status.success(), "cpio {arguments:?}: {}", out.status);
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn cpio_extracts_the_same_files() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("archive");
        std::fs::write(&archive, tree().to_newc(1_700_000_000).unwrap()).unwrap();
        let listed = cpio(&["-t"], &archive, directory.path());
        assert_eq!(listed.lines().count(), tree().listing().len());
        let verbose = cpio(&["-tv", "--numeric-uid-gid"], &archive, directory.path());
        let console = verbose.lines().find(|line| line.ends_with("dev/console")).unwrap();
        assert!(console.starts_with("crw-------   1 0        0          5,   1"), "{console}");

        let out = directory.path().join("out");
        std::fs::create_dir(&out).unwrap();
        // The device node would need root.
        cpio(&["-idm", "--no-absolute-filenames", "-f", "dev/*"], &archive, &out);
        assert_eq!(std::fs::read(out.join("init")).unwrap(), b"#!/bin/true\n");
        assert_eq!(std::fs::read(out.join("lib/modules/6.1/a-b.ko")).unwrap(), vec![7; 5001]);
        assert_eq!(std::fs::read_link(out.join("bin")).unwrap(), Path::new("usr/bin"));
        let mtime = std::fs::metadata(out.join("init")).unwrap().modified().unwrap();
        assert_eq!(mtime.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_700_000_000);
    }
}
