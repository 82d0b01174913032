//! A transparency log and its witnesses, for tests. It writes what Sigsum's `log.md` and `sigsum-proof.md` say, from
//! RFC 6962's recursive definitions, so that it has no line in common with what checks it.

#![allow(clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

/// A log that keeps its leaves in memory.
pub(crate) struct Log {
    key: SigningKey,
    witnesses: Vec<SigningKey>,
    leaves: Vec<Leaf>,
}

struct Leaf {
    checksum: [u8; 32],
    signature: [u8; 64],
    submitter: [u8; 32],
}

impl Log {
    /// An empty log, whose keys follow from `seed`; `witnesses` cosign.
    pub(crate) fn new(seed: u8, witnesses: u8) -> Self {
        let witnesses = (1..=witnesses).map(|n| SigningKey::from_bytes(&[seed.wrapping_add(n); 32])).collect();
        Self { key: SigningKey::from_bytes(&[seed; 32]), witnesses, leaves: Vec::new() }
    }

    /// The text of a Sigsum policy: this log, and `quorum` of its witnesses (`none` for 0).
    pub(crate) fn policy(&self, quorum: usize) -> String {
        use std::fmt::Write;
        let mut text = format!("log {}\n", hex(self.key.verifying_key().as_bytes()));
        let names: Vec<String> = (1..=self.witnesses.len()).map(|n| format!("w{n}")).collect();
        for (name, witness) in names.iter().zip(&self.witnesses) {
            writeln!(text, "witness {name} {}", hex(witness.verifying_key().as_bytes())).expect("a string takes it");
        }
        if quorum == 0 {
            return text + "quorum none\n";
        }
        text + &format!("group all {quorum} {}\nquorum all\n", names.join(" "))
    }

    /// Logs `bytes` as `sigsum-submit` logs a file, and returns the leaf's index.
    pub(crate) fn submit(&mut self, submitter: &SigningKey, bytes: &[u8]) -> usize {
        let checksum = sha256(&[&sha256(&[bytes])]);
        let signature = submitter.sign(&[b"sigsum.org/v1/tree-leaf\0".as_slice(), &checksum].concat()).to_bytes();
        self.leaves.push(Leaf { checksum, signature, submitter: sha256(&[submitter.verifying_key().as_bytes()]) });
        self.leaves.len() - 1
    }

    /// The proof of a leaf in the tree of now, cosigned by the first `cosigners` witnesses.
    pub(crate) fn proof(&self, index: usize, cosigners: usize) -> String {
        use std::fmt::Write;
        let hashes: Vec<[u8; 32]> = self.leaves.iter().map(Leaf::hash).collect();
        let (leaf, root, id) = (&self.leaves[index], root(&hashes), sha256(&[self.key.verifying_key().as_bytes()]));
        let head = format!("sigsum.org/v1/tree/{}\n{}\n{}\n", hex(&id), hashes.len(), BASE64.encode(&root));
        let mut proof = format!(
            "version=2\nlog={}\nleaf={} {}\n\nsize={}\nroot_hash={}\nsignature={}\n",
            hex(&id),
            hex(&leaf.submitter),
            hex(&leaf.signature),
            hashes.len(),
            hex(&root),
            hex(&self.key.sign(head.as_bytes()).to_bytes()),
        );
        for witness in &self.witnesses[..cosigners] {
            let signature = witness.sign(format!("cosignature/v1\ntime 1790000000\n{head}").as_bytes()).to_bytes();
            let id = sha256(&[witness.verifying_key().as_bytes()]);
            writeln!(proof, "cosignature={} 1790000000 {}", hex(&id), hex(&signature)).expect("a string takes it");
        }
        write!(proof, "\nleaf_index={index}\n").expect("a string takes it");
        for hash in path(index, &hashes) {
            writeln!(proof, "node_hash={}", hex(&hash)).expect("a string takes it");
        }
        proof
    }
}

impl Leaf {
    fn hash(&self) -> [u8; 32] {
        sha256(&[&[0], &self.checksum, &self.signature, &self.submitter])
    }
}

/// RFC 6962, section 2.1: the hash of a tree.
fn root(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len()));
            sha256(&[&[1], &root(left), &root(right)])
        }
    }
}

/// RFC 6962, section 2.1.1: the path from leaf `index` to the root.
fn path(index: usize, hashes: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if hashes.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = hashes.split_at(split(hashes.len()));
    if index < left.len() {
        [path(index, left), vec![root(right)]].concat()
    } else {
        [path(index - left.len(), right), vec![root(left)]].concat()
    }
}

/// The largest power of two below `count`.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
