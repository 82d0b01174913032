//! A published tree in a temporary directory, and the command run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::release::{MANIFEST_TYPE, envelope, manifest, trust};

/// The time at which [`manifest`] is valid.
pub(crate) const NOW: &str = "2027-01-15T08:00:00Z";
pub(crate) const TRUST_TYPE: &str = "application/vnd.phase.boot.trust.v1+json";

/// Channel `demo` for both architectures, and `trust.json` beside it.
pub(crate) struct Tree {
    pub(crate) root: tempfile::TempDir,
}

/// What the command did.
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// The digest of `bytes` in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The kernel is one piece, the initramfs has two whose digests stand in the manifest, the root four in a list.
pub(crate) fn files() -> [(&'static str, Vec<u8>); 4] {
    let bytes = |seed: u8, count: usize| (0..=250).map(|n: u8| n ^ seed).cycle().take(count).collect::<Vec<u8>>();
    let rootfs = bytes(3, 3 * (1 << 20) + 12_345);
    let list = rootfs.chunks(1 << 20).flat_map(|piece| Sha256::digest(piece).to_vec()).collect();
    [("kernel", bytes(1, 5000)), ("initramfs", bytes(2, 100_000)), ("list", list), ("rootfs", rootfs)]
}

/// The manifest of [`files`].
pub(crate) fn filled(arch: &str) -> Value {
    let mut manifest = manifest();
    let [kernel, initramfs, list, rootfs] = files().map(|(_, bytes)| bytes);
    manifest["arch"] = arch.into();
    for (name, bytes) in [("kernel", &kernel), ("initramfs", &initramfs), ("rootfs", &rootfs)] {
        manifest[name]["size"] = bytes.len().into();
        manifest[name]["sha256"] = sha256(bytes).into();
    }
    manifest["initramfs"]["chunk_size"] = 65536.into();
    manifest["initramfs"]["chunks"] = initramfs.chunks(65536).map(sha256).collect();
    manifest["rootfs"]["chunks"] = json!({"list_sha256": sha256(&list)});
    manifest
}

impl Tree {
    /// A tree in which everything is good.
    pub(crate) fn new() -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        fs::write(tree.path("trust.json"), trust().to_string()).unwrap();
        for arch in ["x86_64", "aarch64"] {
            tree.publish(arch, &filled(arch), &[1]);
        }
        for (_, bytes) in files() {
            tree.write(&format!("blobs/sha256/{}", sha256(&bytes)), &bytes);
        }
        tree
    }

    /// A path below the directory that holds the tree, which is `tree`, and the trust file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Where a file of [`files`] stands.
    pub(crate) fn blob(&self, name: &str) -> PathBuf {
        let (_, bytes) = files().into_iter().find(|(other, _)| *other == name).unwrap();
        self.path(&format!("tree/blobs/sha256/{}", sha256(&bytes)))
    }

    /// Writes a file of the tree.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path("tree").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Signs a manifest and puts it where machines look.
    pub(crate) fn publish(&self, arch: &str, manifest: &Value, keys: &[u8]) {
        let envelope = envelope(MANIFEST_TYPE, manifest.to_string().as_bytes(), keys);
        self.write(&format!("demo/{arch}/manifest.dsse.json"), &envelope);
    }

    /// Signs a trust file and puts it where machines look.
    pub(crate) fn rotate(&self, trust: &Value, keys: &[u8]) {
        let envelope = envelope(TRUST_TYPE, trust.to_string().as_bytes(), keys);
        self.write(&format!("trust/{}.dsse.json", trust["epoch"]), &envelope);
    }

    /// The command with these arguments, in the directory that holds the tree.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        run_in(self.root.path(), arguments)
    }

    /// An audit of the whole tree at [`NOW`].
    pub(crate) fn audit(&self) -> Outcome {
        self.run(&["--trust", "trust.json", "--tree", "tree", "--now", NOW])
    }

    /// The same as JSON, which has to agree with the exit status.
    pub(crate) fn report(&self) -> Value {
        let outcome = self.run(&["--trust", "trust.json", "--tree", "tree", "--now", NOW, "--json"]);
        let report: Value = serde_json::from_str(&outcome.out).unwrap();
        assert_eq!((report["schema"].as_str(), outcome.out.lines().count()), (Some("phase.audit/1"), 1));
        assert_eq!(report["good"], json!(outcome.status == 0), "{report}");
        report
    }
}

pub(crate) fn run_in(directory: &Path, arguments: &[&str]) -> Outcome {
    let program = env!("CARGO_BIN_EXE_phase-verify");
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { status: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

impl Outcome {
    /// Asserts the status and that a line of the output contains each of `says`.
    #[track_caller]
    pub(crate) fn says(&self, status: i32, says: &[&str]) {
        assert_eq!(self.status, status, "{}{}", self.out, self.error);
        for text in says {
            assert!(self.out.contains(text), "{text:?} is not in:\n{}", self.out);
        }
    }
}
