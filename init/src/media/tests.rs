use std::fs;

use super::*;
use crate::timeline::Kind;

const ENVELOPE: &str = "demo/x86_64/manifest.dsse.json";

/// A machine whose initramfs carries these files.
fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join("phase/release").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// Plugs in a disk: a plain file with these bytes, of this length.
fn plug(root: &Path, name: &str, length: u64, parts: &[(usize, &[u8])]) {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    for (at, part) in parts {
        bytes[*at..*at + part.len()].copy_from_slice(part);
    }
    fs::create_dir_all(root.join("dev")).unwrap();
    fs::create_dir_all(root.join("sys/block").join(name)).unwrap();
    fs::write(root.join("sys/block").join(name).join("size"), format!("{}\n", length / 512)).unwrap();
    fs::write(root.join("dev").join(name), bytes).unwrap();
}

fn question(root: &Path) -> Question {
    Question {
        root: root.to_owned(),
        command_line: String::new(),
        channel: "demo".into(),
        arch: "x86_64".into(),
        epoch: 1,
        patience: Duration::from_secs(2),
        settle: Duration::from_millis(200),
    }
}

/// Takes what comes, at most so much at a time.
struct Kept {
    bytes: Vec<u8>,
    space: [u8; 3],
}

impl discover::Sink for Kept {
    fn space(&mut self) -> &mut [u8] {
        &mut self.space
    }
    fn filled(&mut self, count: usize) {
        self.bytes.extend_from_slice(&self.space[..count]);
    }
    fn position(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn kept() -> Kept {
    Kept { bytes: Vec::new(), space: [0; 3] }
}

#[test]
fn the_initramfs_may_carry_a_release_with_its_trust_files_and_its_proof() {
    let machine = machine(&[
        (ENVELOPE, "envelope"),
        ("demo/x86_64/manifest.sigsum-proof", "proof"),
        ("trust/2.dsse.json", "two"),
        ("trust/3.dsse.json", "three"),
        ("trust/5.dsse.json", "five"),
        ("blobs/sha256/abc", "0123456789"),
    ]);
    let found = search(question(machine.path()));
    assert_eq!(found.failures, []);
    let candidate = &found.gathered.candidates[0];
    assert_eq!(
        (candidate.source.as_str(), candidate.envelope.as_slice(), candidate.proof.as_deref()),
        (CARRIED, &b"envelope"[..], Some(&b"proof"[..]))
    );
    let rotations: Vec<&[u8]> = found.gathered.rotations.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(rotations, [&b"two"[..], b"three"], "one after the other, and none behind a gap");
    let (medium, mut sink, mut steps) = (&found.media[0], kept(), Vec::new());
    medium.blob("abc", 10, 7, &mut sink, &mut |position| steps.push(position)).unwrap();
    assert_eq!((sink.bytes.as_slice(), steps.as_slice()), (&b"0123456"[..], &[3, 6, 7][..]));
    medium.blob("abc", 10, 10, &mut sink, &mut |_| {}).unwrap();
    assert_eq!(sink.bytes, b"0123456789", "it goes on where it stood");
}

#[test]
fn a_tree_may_stand_in_a_directory_named_phase() {
    let machine = machine(&[(&format!("phase/{ENVELOPE}"), "envelope"), ("phase/blobs/sha256/abc", "x")]);
    let found = search(question(machine.path()));
    assert_eq!(found.gathered.candidates[0].envelope, b"envelope");
    assert_eq!(found.media[0].blob("abc", 1, 1, &mut kept(), &mut |_| {}), Ok(()));
}

#[test]
fn what_a_medium_lacks_is_named_with_the_medium() {
    let machine = machine(&[("blobs/sha256/abc", "0123")]);
    let found = search(question(machine.path()));
    let (name, error) = &found.failures[0];
    assert_eq!((name.as_str(), error.kind()), (CARRIED, "no-release"));
    let wanted = "/phase/release has no demo/x86_64/manifest.dsse.json, neither at its top nor in phase/";
    assert_eq!(error.to_string(), wanted);

    fs::create_dir_all(machine.path().join("phase/release/demo/x86_64")).unwrap();
    fs::write(machine.path().join("phase/release").join(ENVELOPE), "envelope").unwrap();
    let found = search(question(machine.path()));
    for (hex, size, says) in [
        ("abc", 5, "blobs/sha256/abc on /phase/release has 4 bytes, wanted 5"),
        ("def", 5, "/phase/release has no blobs/sha256/def, which its release needs"),
        ("../abc", 4, "/phase/release has no blobs/sha256/../abc"),
    ] {
        let mut sink = kept();
        let error = found.media[0].blob(hex, size, size, &mut sink, &mut |_| {}).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
        assert_eq!(sink.bytes, b"", "nothing was taken");
    }
}

#[test]
fn an_envelope_that_is_too_large_is_seen_to_be() {
    let machine = machine(&[(ENVELOPE, &"x".repeat(verify::LIMITS.envelope_bytes + 100))]);
    let found = search(question(machine.path()));
    assert_eq!(found.gathered.candidates[0].envelope.len(), verify::LIMITS.envelope_bytes + 1);
}

#[test]
fn without_a_medium_everything_that_is_there_is_named_in_bounded_time() {
    let machine = machine(&[]);
    plug(machine.path(), "vda", 64 << 10, &[(1080, &[0x53, 0xef]), (1144, b"DATA")]);
    plug(machine.path(), "vdb", 4096, &[]);
    plug(machine.path(), "vdc", 4096, &[(510, &[0x55, 0xaa]), (82, b"FAT32   "), (71, b"phase      ")]);
    plug(machine.path(), "loop0", 0, &[]);
    let begun = Instant::now();
    let found = search(question(machine.path()));
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&begun.elapsed()));
    assert_eq!(found.media.len() + found.failures.len(), 0);
    let error = NoMedium { waited: 2, others: found.others }.to_string();
    for words in ["/dev/vda (ext4 labelled \"DATA\")", "/dev/vdb (no file system", "/dev/vdc (FAT labelled \"phase\")"]
    {
        assert!(error.contains(words), "{error}");
    }
    assert!(!error.contains("loop0"), "{error}");
    assert!(error.find("/dev/vda") < error.find("/dev/vdb"), "in order: {error}");
}

#[test]
fn a_device_that_is_late_is_seen_and_one_that_cannot_be_mounted_is_named() {
    let machine = machine(&[]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            plug(machine.path(), "sda", 64 << 10, &[(1080, &[0x53, 0xef]), (1144, b"PHASE")]);
        });
        let found = search(question(machine.path()));
        let (name, error) = &found.failures[0];
        assert_eq!((name.as_str(), error.kind()), ("/dev/sda", "medium"));
        // It is a plain file, which has no block device behind it.
        assert!(error.to_string().starts_with("cannot mount the ext4 of /dev/sda: "), "{error}");
    });
}
