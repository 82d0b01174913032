//! Releases as `phase publish` makes them, each in a tree of its own, and what a thief of the server could do to one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::lab::{KERNEL_PARAMETERS, Lab, run, text};

/// What is published; the default is a tiny release that boots.
pub(crate) struct Release {
    pub(crate) version: u64,
    /// The allowed hand-offs, best first.
    pub(crate) handoff: &'static str,
    /// Its PID 1.
    pub(crate) init: &'static str,
    /// The key that signs: `release`, its `successor` after a rotation, or that of a `stranger`.
    pub(crate) key: &'static str,
    /// When it was made, if not now; it is valid for a year.
    pub(crate) issued: Option<&'static str>,
    /// The kernel, if not the boot kernel of virtual machines.
    pub(crate) kernel: Option<PathBuf>,
    /// The root file system, if not the tiny one.
    pub(crate) rootfs: Option<PathBuf>,
    /// Whether it finds itself healthy and says so.
    pub(crate) acknowledges: bool,
    /// Whether it lets machines keep changes to its root; its initramfs has the drivers of disks then.
    pub(crate) keeps: bool,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            version: 1,
            handoff: "kexec",
            init: "/sbin/init",
            key: "release",
            issued: None,
            kernel: None,
            rootfs: None,
            acknowledges: false,
            keeps: false,
        }
    }
}

impl Release {
    /// Signs and publishes it.
    pub(crate) fn publish(self) -> Tree {
        let lab = Lab::ready();
        let version = self.version.to_string();
        let rootfs = self.rootfs.unwrap_or_else(|| lab.part("tiny.squashfs"));
        let kernel = self.kernel.unwrap_or_else(|| lab.kernel());
        let initramfs = if self.keeps { "release-disk.cpio.zst" } else { "release.cpio.zst" };
        let (key, initramfs) = (lab.part(self.key), lab.part(initramfs));
        let acknowledge = if self.acknowledges { " acknowledge" } else { "" };
        let cmdline = format!("{KERNEL_PARAMETERS} signed=yes{acknowledge}");
        let mut arguments = vec!["--version", &version, "--key", text(&key), "--cmdline", &cmdline];
        arguments.extend(["--handoff", self.handoff, "--init", self.init, "--rootfs", text(&rootfs)]);
        if self.handoff.contains("kexec") {
            arguments.extend(["--kernel", text(&kernel), "--initramfs", text(&initramfs)]);
        }
        if self.keeps {
            arguments.extend(["--upper", "persistent"]);
        }
        if let Some(issued) = self.issued {
            arguments.extend(["--issued", issued]);
        }
        Tree::publish(&arguments)
    }
}

/// The kernel of releases without its maker's signature, in `folder`.
pub(crate) fn unsigned_kernel(folder: &Path) -> PathBuf {
    let kernel = folder.join("unsigned");
    fs::copy(Lab::ready().kernel(), &kernel).unwrap();
    run(Command::new("sbattach").arg("--remove").arg(&kernel));
    kernel
}

/// The same with the signature of this key instead.
pub(crate) fn signed_kernel(key: &Path, certificate: &Path, folder: &Path) -> PathBuf {
    let kernel = folder.join("signed");
    let mut sbsign = Command::new("sbsign");
    sbsign.arg("--key").arg(key).arg("--cert").arg(certificate).arg("--output").arg(&kernel);
    run(sbsign.arg(unsigned_kernel(folder)));
    kernel
}

/// A published tree. What is changed in it is changed behind the signer's back.
pub(crate) struct Tree {
    directory: TempDir,
    published: Value,
}

impl Tree {
    /// What `phase publish` makes of these options, beside the tree and the channel.
    pub(crate) fn publish(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["publish", "--json", "--tree", text(directory.path()), "--channel", "e2e"];
        let published = serde_json::from_str(&Lab::ready().phase(&[&arguments, options].concat())).unwrap();
        Self { directory, published }
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes `other` a copy of this tree.
    pub(crate) fn copy_to(&self, other: &Self) {
        fs::remove_dir_all(other.path()).unwrap();
        run(Command::new("cp").arg("-r").args([self.path(), other.path()]));
    }

    /// Publishes the second trust file beside the release, under which only the `successor` signs releases.
    pub(crate) fn with_rotation(self) -> Self {
        let lab = Lab::ready();
        let [trust, rotation] = ["trust.json", "2.dsse.json"].map(|name| lab.part(name));
        lab.phase(&["trust", "publish", "--tree", text(self.path()), "--from", text(&trust), text(&rotation)]);
        self
    }

    /// The same tree in another place.
    pub(crate) fn copy(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(self.path().join(".")).arg(directory.path()).status().unwrap();
        assert!(copied.success());
        Self { directory, published: self.published.clone() }
    }

    /// The digest of the artifact whose name begins with `name`, which is its blob's name.
    pub(crate) fn blob(&self, name: &str) -> String {
        let blobs = self.published["blobs"].as_array().unwrap();
        let blob = blobs.iter().find(|blob| blob["name"].as_str().unwrap().starts_with(name)).unwrap();
        blob["sha256"].as_str().unwrap().to_owned()
    }

    /// The same tree in another place, with only those blobs that hold artifacts whose names begin with one of these.
    pub(crate) fn copy_with(&self, names: &[&str]) -> Self {
        let copy = self.copy();
        let kept: Vec<String> = names.iter().map(|name| self.blob(name)).collect();
        for blob in fs::read_dir(copy.path().join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()) {
            if !kept.iter().any(|name| blob.ends_with(name)) {
                fs::remove_file(blob).unwrap();
            }
        }
        copy
    }

    /// Flips one bit in the middle of the blob that holds the artifact whose name begins with `name`.
    pub(crate) fn flip_bit_of_blob(&self, name: &str) {
        let path = self.path().join("blobs/sha256").join(self.blob(name));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Flips one bit in the middle of the manifest that is signed.
    pub(crate) fn flip_bit_of_manifest(&self) {
        self.change_envelope(|envelope| flip_bit(&mut envelope["payload"]));
    }

    /// Flips one bit in the middle of the signature.
    pub(crate) fn flip_bit_of_signature(&self) {
        self.change_envelope(|envelope| flip_bit(&mut envelope["signatures"][0]["sig"]));
    }

    fn change_envelope(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path().join("e2e/x86_64/manifest.dsse.json");
        let mut envelope = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut envelope);
        fs::write(path, envelope.to_string()).unwrap();
    }
}

/// Flips the lowest bit of the character in the middle of a base64 text, which is one bit of the bytes that it stands for.
fn flip_bit(base64: &mut Value) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = base64.as_str().unwrap().as_bytes().to_owned();
    let middle = text.len() / 2;
    let value = ALPHABET.iter().position(|letter| *letter == text[middle]).unwrap();
    text[middle] = ALPHABET[value ^ 1];
    *base64 = String::from_utf8(text).unwrap().into();
}

/// Makes a root in `folder` whose init is this script for busybox, as small as the tiny release's.
pub(crate) fn root_with(init: &str, folder: &Path) -> PathBuf {
    let [script, listing, root] = ["init", "listing", "root.squashfs"].map(|name| folder.join(name));
    fs::write(&script, init).unwrap();
    let directories = ["bin", "dev", "etc", "proc", "run", "sbin", "sys", "tmp", "var"];
    let mut lines = directories.map(|name| format!("dir /{name} 0755 0 0")).to_vec();
    lines.push("file /bin/busybox 0755 0 0 /bin/busybox".to_owned());
    lines.push(format!("file /sbin/init 0755 0 0 {}\n", text(&script)));
    fs::write(&listing, lines.join("\n")).unwrap();
    run(Command::new("gensquashfs").args(["--quiet", "--compressor", "zstd", "--pack-file"]).args([&listing, &root]));
    root
}
