//! `store` on real disks: images with a GPT and a real ext4, attached as loop devices, found and mounted by the code that
//! runs on a machine. (The boots of `qemu` have a vfat as well, which not every kernel of a host knows.)
//!
//! Loop devices need root: without it the tests run again under `sudo -n`. They need `losetup`, `addpart`, `mount`
//! (util-linux), `sgdisk` (gdisk), `mke2fs` and `tune2fs` (e2fsprogs); without them they fail and say so.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use init::file_system::Volume;
use init::store::{Access, Chain, Opened, Opening, StoreError};
use init::timeline::Kind;
use namespaces::inside_as_root;
use verify::{State, Store};

#[path = "../../discover/tests/support/namespaces.rs"]
mod namespaces;

/// Where the partition begins, and how long it is, in bytes.
const START: u64 = 1 << 20;
const SIZE: u64 = 6 << 20;

/// What a command that succeeds says, without the end of its line.
fn run(command: &mut Command) -> String {
    namespaces::run(command).trim().to_owned()
}

/// A disk image with one partition, an ext4 that holds `files`.
struct Image {
    directory: tempfile::TempDir,
    partuuid: String,
}

impl Image {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let content = directory.path().join("content");
        fs::create_dir(&content).unwrap();
        for (name, bytes) in files {
            let path = content.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let partuuid = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().to_owned();
        let image = Self { directory, partuuid };
        File::create(image.path()).unwrap().set_len(START + SIZE + (1 << 20)).unwrap();
        let last = (START + SIZE) / 512 - 1;
        let (new, guid) = (format!("1:2048:{last}"), format!("1:{}", image.partuuid));
        run(Command::new("sgdisk").args(["-n", &new, "-u", &guid, "-c", "1:PHASE-DATA"]).arg(image.path()));
        let offset = format!("offset={START}");
        let size = format!("{}k", SIZE / 1024);
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-E", &offset, "-d"])
            .arg(content)
            .arg(image.path())
            .arg(size));
        image
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// The bytes of the whole disk.
    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn store(&self) -> Store {
        Store::Disk { partuuid: self.partuuid.parse().unwrap() }
    }

    /// Does something with the store while the disk is plugged in.
    fn opened<T>(&self, access: Access, work: impl FnOnce(&Opened, &Path) -> T) -> T {
        let plugged = Plugged::new(&self.path());
        let opening = Opening { root: Path::new("/"), access, patience: Duration::from_secs(10), load: &modprobe };
        let opened = opening.open(&self.store()).unwrap().unwrap();
        work(&opened, &plugged.partition())
    }

    fn state(&self) -> Result<Option<State>, StoreError> {
        self.opened(Access::ReadWrite, |store, _| store.state())
    }
}

/// What the initramfs does by its own indexes.
fn modprobe(module: &str) {
    // Where it is built in, or there is no modprobe, mounting says whether it is there.
    _ = Command::new("modprobe").arg(module).output();
}

/// A loop device with its partitions, until it is dropped.
struct Plugged(PathBuf);

impl Plugged {
    fn new(image: &Path) -> Self {
        let plugged = Self(run(Command::new("losetup").args(["-f", "--show"]).arg(image)).into());
        // What a kernel that reads partition tables does by itself; not every kernel of a host does.
        let (start, sectors) = ((START / 512).to_string(), (SIZE / 512).to_string());
        run(Command::new("addpart").arg(&plugged.0).args(["1", &start, &sectors]));
        plugged
    }

    fn partition(&self) -> PathBuf {
        format!("{}p1", self.0.display()).into()
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        run(Command::new("delpart").arg(&self.0).arg("1"));
        run(Command::new("losetup").arg("-d").arg(&self.0));
    }
}

/// A mounted file system, until it is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(device: &Path, options: &[&str]) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        run(Command::new("mount").args(options).arg(device).arg(mounted.path()));
        mounted
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.path()));
    }
}

fn state(version: u64) -> State {
    State { channel: "demo".parse().unwrap(), epoch: 1, version, issued: "2026-11-20T12:00:00Z".parse().unwrap() }
}

fn json(version: u64) -> Vec<u8> {
    state(version).to_json().unwrap().into_bytes()
}

#[test]
fn what_is_written_is_read_again() {
    if !inside_as_root("what_is_written_is_read_again") {
        return;
    }
    let image = Image::new(&[]);
    assert_eq!(image.state().unwrap(), None);
    let chain = [(2, b"two".to_vec()), (3, b"three".to_vec()), (5, b"five".to_vec())];
    image.opened(Access::ReadWrite, |store, partition| {
        store.set_state(&state(7)).unwrap();
        store.set_state(&state(8)).unwrap();
        assert!(store.keep(&chain).unwrap());
        // Nothing stays mounted: O_EXCL on a block device is for who is alone with it.
        let alone = rustix::fs::OFlags::EXCL.bits().cast_signed();
        let exclusive = File::options().read(true).custom_flags(alone).open(partition);
        exclusive.expect("the partition is mounted still");
    });
    assert_eq!(image.state().unwrap(), Some(state(8)));
    let kept = image.opened(Access::ReadWrite, |store, _| [2, 3, 4, 5].map(|epoch| store.chain(epoch).envelopes.len()));
    assert_eq!(kept, [2, 1, 0, 1], "up to the first gap");
    let plugged = Plugged::new(&image.path());
    let mounted = Mounted::new(&plugged.partition(), &["-o", "ro"]);
    let names: Vec<_> = fs::read_dir(mounted.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == ".phase-new"), "{names:?}");
}

/// A disk as it is found after the power failed: with a journal that was not replayed.
fn unclean() -> Image {
    let image = Image::new(&[("state.json", &json(7))]);
    let copy = image.directory.path().join("copy");
    {
        let plugged = Plugged::new(&image.path());
        let mounted = Mounted::new(&plugged.partition(), &[]);
        let file = File::create(mounted.path().join("just written")).unwrap();
        file.sync_all().unwrap();
        fs::copy(image.path(), &copy).unwrap();
    }
    fs::rename(copy, image.path()).unwrap();
    image
}

#[test]
fn read_only_means_that_not_one_byte_changes() {
    if !inside_as_root("read_only_means_that_not_one_byte_changes") {
        return;
    }
    let image = unclean();
    let before = image.bytes();
    image.opened(Access::ReadOnly, |store, partition| {
        assert_eq!(store.state().unwrap(), Some(state(7)));
        let Chain { envelopes, broken } = store.chain(2);
        assert!(envelopes.is_empty() && broken.is_none(), "{broken:?}");
        let keep = [store.keep(&[(2, Vec::new())]).map(drop), store.keep_receipt(9, b"{}")];
        for refused in keep.into_iter().chain([store.set_state(&state(9))]) {
            assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
        }
        // Nor does anybody else change it while this boot lasts.
        let mut device = File::options().write(true).open(partition);
        let written = device
            .as_mut()
            .map_err(|_| ())
            .and_then(|device| device.write_all(&[0; 4096]).and_then(|()| device.sync_all()).map_err(|_| ()));
        assert!(written.is_err(), "the kernel lets somebody write to the partition");
    });
    assert!(image.bytes() == before, "reading changed the disk");

    // The positive control: the same disk is one that reading changes, if it may be written.
    image.opened(Access::ReadWrite, |store, _| assert_eq!(store.state().unwrap(), Some(state(7))));
    assert!(image.bytes() != before, "the journal was clean, so that this test shows nothing");
}

#[test]
fn what_is_no_state_is_said_to_be_damaged() {
    if !inside_as_root("what_is_no_state_is_said_to_be_damaged") {
        return;
    }
    let whole = json(7);
    let large = vec![b' '; 1 << 20];
    let damaged: [(&str, &[u8]); 5] = [
        ("garbage", b"\0\xff\x1b[2J{"),
        ("cut", &whole[..whole.len() / 2]),
        ("empty", b""),
        ("large", &large),
        ("other", br#"{"schema": "phase.state/9"}"#),
    ];
    for (name, bytes) in damaged {
        let image = Image::new(&[("state.json", bytes)]);
        let error = image.state().unwrap_err();
        assert_eq!(error.kind(), "state-damaged", "{name}: {error}");
        assert!(error.to_string().contains("docs/freshness.md"), "{error}");
        assert!(!error.to_string().contains('\x1b'), "{error}");
        // An acknowledgement mends it.
        image.opened(Access::ReadWrite, |store, _| store.set_state(&state(8)).unwrap());
        assert_eq!(image.state().unwrap(), Some(state(8)), "{name}");
    }
}

/// Runs a script at the top of the file system.
fn changed(image: &Image, script: &str) -> String {
    let plugged = Plugged::new(&image.path());
    let mounted = Mounted::new(&plugged.partition(), &[]);
    run(Command::new("sh").args(["-c", script]).current_dir(mounted.path()))
}

#[test]
fn nothing_but_a_plain_file_is_read() {
    if !inside_as_root("nothing_but_a_plain_file_is_read") {
        return;
    }
    let large = vec![b'x'; 200 << 10];
    let image = Image::new(&[("real", &json(7)), ("trust/2.dsse.json", &large)]);
    for make in ["ln -s real", "mkfifo", "mkdir", "mknod state.json c 1 3; true"] {
        changed(&image, &format!("rm -rf state.json; {make} state.json"));
        let error = image.state().unwrap_err();
        assert_eq!(error.kind(), "state-damaged", "{make}: {error}");
        assert!(error.to_string().contains("state.json on /dev/loop"), "{error}");
        assert!(error.to_string().contains("is no plain file; docs/freshness.md"), "{error}");
        // An acknowledgement mends it, and follows no link.
        image.opened(Access::ReadWrite, |store, _| store.set_state(&state(8)).unwrap());
        assert_eq!(image.state().unwrap(), Some(state(8)), "{make}");
        assert_eq!(changed(&image, "cat real").as_bytes(), json(7).trim_ascii());
    }
    let chain = image.opened(Access::ReadWrite, |store, _| store.chain(2));
    assert_eq!(chain.envelopes[0].len(), verify::LIMITS.envelope_bytes, "as much as an envelope may have, and no more");
}

#[test]
fn a_directory_that_holds_something_is_not_replaced() {
    if !inside_as_root("a_directory_that_holds_something_is_not_replaced") {
        return;
    }
    let image = Image::new(&[("state.json/precious", b"data")]);
    let error = image.opened(Access::ReadWrite, |store, _| store.set_state(&state(8)).unwrap_err()).to_string();
    assert!(error.contains("cannot write state.json") && error.contains("Directory not empty"), "{error}");
    assert_eq!(changed(&image, "cat state.json/precious"), "data");
}

#[test]
fn the_program_that_acknowledges_mends_what_is_no_state() {
    if !inside_as_root("the_program_that_acknowledges_mends_what_is_no_state") {
        return;
    }
    let image = Image::new(&[]);
    booted_from(&image);
    for make in ["ln -s nowhere state.json", "mkdir state.json", "echo garbage >state.json"] {
        changed(&image, &format!("rm -rf state.json; {make}"));
        acknowledges(&image, make);
    }
}

/// Makes this namespace's /run that of a system whose receipt, which is returned, names this disk.
fn booted_from(image: &Image) -> String {
    run(Command::new("mount").args(["-t", "tmpfs", "run", "/run"]));
    fs::create_dir("/run/phase").unwrap();
    let receipt = format!(
        r#"{{"schema": "phase.receipt/1", "channel": "demo", "version": 8, "epoch": 1, "floor_epoch": 0,
            "issued": "2026-11-20T12:00:00Z",
            "state": {{"store": "disk", "partuuid": "{}", "access": "read-write"}}}}"#,
        image.partuuid
    );
    fs::write("/run/phase/receipt.json", &receipt).unwrap();
    receipt
}

/// The program of the booted system succeeds, and the disk remembers its release.
#[track_caller]
fn acknowledges(image: &Image, why: &str) {
    {
        let _plugged = Plugged::new(&image.path());
        assert_eq!(init::acknowledge::run(&[]), std::process::ExitCode::SUCCESS, "{why}");
    }
    assert_eq!(image.state().unwrap(), Some(state(8)), "{why}");
}

#[test]
fn an_acknowledged_boot_leaves_its_receipt_and_then_nothing_changes() {
    if !inside_as_root("an_acknowledged_boot_leaves_its_receipt_and_then_nothing_changes") {
        return;
    }
    let image = Image::new(&[("state.json", &json(8)), ("receipts/8.json", b"of an earlier boot")]);
    let receipt = booted_from(&image);
    acknowledges(&image, "what it remembers already");
    assert_eq!(changed(&image, "cat receipts/8.json"), receipt);
    let before = image.bytes();
    acknowledges(&image, "again");
    assert!(image.bytes() == before, "the same receipt was written again");
}

#[test]
fn sixteen_receipts_are_kept_and_what_is_none_stays() {
    if !inside_as_root("sixteen_receipts_are_kept_and_what_is_none_stays") {
        return;
    }
    let strangers = ["0.json/precious", "01.json", "1.json.old", "notes"];
    let names: Vec<_> = (2..=19).map(|version| format!("{version}.json")).chain(strangers.map(str::to_owned)).collect();
    let names: Vec<_> = names.iter().map(|name| format!("receipts/{name}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"old"[..])).collect();
    let image = Image::new(&files);
    changed(&image, "ln -s notes receipts/1.json");
    let receipts = "cd receipts && ls | sort -n | grep -E '^[2-9]|^1[0-9]' | tr '\\n' ' '";
    // Of a release from before the floors were taken back, say: the newest boot is kept, whatever its version.
    for (version, kept) in [(20, 5..=20), (3, 6..=20)] {
        image.opened(Access::ReadWrite, |store, _| store.keep_receipt(version, b"new").unwrap());
        let lowest = (version < 5).then_some(version);
        let wanted: Vec<_> = lowest.into_iter().chain(kept).map(|version| format!("{version}.json")).collect();
        assert_eq!(changed(&image, receipts), wanted.join(" "));
        assert_eq!(changed(&image, &format!("cat receipts/{version}.json")), "new");
    }
    let stay = "cd receipts && cat 0.json/precious 01.json 1.json.old notes && readlink 1.json";
    assert_eq!(changed(&image, stay), "oldoldoldoldnotes");
}

#[test]
fn a_receipt_that_cannot_be_kept_hides_no_acknowledgement() {
    if !inside_as_root("a_receipt_that_cannot_be_kept_hides_no_acknowledgement") {
        return;
    }
    let image = Image::new(&[("elsewhere/8.json", b"precious")]);
    let receipt = booted_from(&image);
    for (make, said) in [
        ("ln -s elsewhere receipts", "cannot write receipts/8.json on /dev/loop"),
        ("echo a file >receipts", "Not a directory"),
        ("mkdir -p receipts/8.json/precious", "Directory not empty"),
        (
            "mkdir receipts; dd if=/dev/zero of=full bs=64k; truncate -s -65536 full",
            "there is no room for receipts/8.json",
        ),
    ] {
        changed(&image, &format!("rm -rf receipts state.json; {make}"));
        acknowledges(&image, make);
        let kept = image.opened(Access::ReadWrite, |store, _| store.keep_receipt(8, receipt.as_bytes()));
        let error = kept.unwrap_err().to_string();
        assert!(error.contains(said), "{make}: {error}");
        assert_eq!(
            changed(&image, "ls elsewhere; cat elsewhere/8.json; find receipts -type f -name '*.json'"),
            "8.json\nprecious"
        );
    }
    // The positive control; and a link in a receipt's own place is replaced itself.
    changed(&image, "rm -rf receipts full; mkdir receipts; ln -s ../elsewhere/8.json receipts/8.json");
    acknowledges(&image, "a link");
    assert_eq!(changed(&image, "cat receipts/8.json elsewhere/8.json"), format!("{receipt}precious"));
}

#[test]
fn a_trust_file_that_cannot_be_read_hides_nothing_else() {
    if !inside_as_root("a_trust_file_that_cannot_be_read_hides_nothing_else") {
        return;
    }
    let image = Image::new(&[("state.json", &json(7)), ("trust/2.dsse.json", b"two"), ("trust/3.dsse.json/in", b"")]);
    image.opened(Access::ReadWrite, |store, _| {
        let Chain { envelopes, broken } = store.chain(2);
        assert_eq!(envelopes, [b"two"]);
        let error = broken.unwrap().to_string();
        assert!(error.contains("cannot read trust/3.dsse.json on /dev/loop"), "{error}");
        assert_eq!(store.state().unwrap(), Some(state(7)));
    });
}

#[test]
fn a_disk_cannot_ask_for_a_panic_of_the_kernel() {
    if !inside_as_root("a_disk_cannot_ask_for_a_panic_of_the_kernel") {
        return;
    }
    let image = Image::new(&[]);
    let plugged = Plugged::new(&image.path());
    let partition = plugged.partition();
    run(Command::new("tune2fs").args(["-e", "panic"]).arg(&partition));
    let options = Path::new("/proc/fs/ext4").join(partition.file_name().unwrap()).join("options");
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let volume = Volume::look(partition.clone(), access).unwrap().unwrap();
        volume.load_modules(&modprobe);
        let _mounted = volume.mount(access).unwrap();
        let options = fs::read_to_string(&options).unwrap();
        assert!(options.lines().any(|option| option == "errors=remount-ro"), "{access:?}: {options}");
    }
}

#[test]
fn a_partition_that_the_system_has_mounted_takes_an_acknowledgement() {
    if !inside_as_root("a_partition_that_the_system_has_mounted_takes_an_acknowledgement") {
        return;
    }
    let image = Image::new(&[("state.json", &json(7))]);
    image.opened(Access::ReadWrite, |store, partition| {
        let mounted = Mounted::new(partition, &[]);
        assert_eq!(store.state().unwrap(), Some(state(7)));
        store.set_state(&state(8)).unwrap();
        assert_eq!(store.state().unwrap(), Some(state(8)));
        assert_eq!(fs::read(mounted.path().join("state.json")).unwrap(), json(8));
    });
    image.opened(Access::ReadWrite, |store, partition| {
        let _mounted = Mounted::new(partition, &["-o", "ro"]);
        let error = store.set_state(&state(9)).unwrap_err().to_string();
        assert!(error.contains("it is mounted read-only somewhere"), "{error}");
    });
    assert_eq!(image.state().unwrap(), Some(state(8)));
}

#[test]
fn a_partition_without_a_file_system_is_named() {
    if !inside_as_root("a_partition_without_a_file_system_is_named") {
        return;
    }
    let image = Image::new(&[]);
    let mut disk = File::options().write(true).open(image.path()).unwrap();
    disk.seek(SeekFrom::Start(START)).unwrap();
    disk.write_all(&vec![0; 1 << 20]).unwrap();
    drop(disk);
    let plugged = Plugged::new(&image.path());
    let opening =
        Opening { root: Path::new("/"), access: Access::ReadWrite, patience: Duration::ZERO, load: &modprobe };
    let error = opening.open(&image.store()).unwrap_err().to_string();
    assert!(error.contains(&format!("{}", plugged.partition().display())) && error.contains("ext4 or vfat"), "{error}");
    let mut start = [0; 8];
    File::open(plugged.partition()).unwrap().read_exact(&mut start).unwrap();
    assert_eq!(start, [0; 8], "it was left as it is");
}
