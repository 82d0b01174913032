//! `phase image write` on loop devices: what is refused stays as it was, byte for byte, and what is written is there.
//!
//! Loop devices and mounts need root: without it the tests run again under `sudo -n`, each in a mount namespace of its own.
//! They need `losetup`, `addpart`, `mount`, `unshare`, `script` (util-linux), `sgdisk` (gdisk) and `mke2fs` (e2fsprogs); without
//! them they fail and say so.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    common::{directory, fails, json, phase, program, succeeds, text},
    namespaces::inside_as_root,
};

const MIB: u64 = 1 << 20;

/// A folder with an image and a disk: `image`, 4 MiB with a GPT, and `disk`, whose bytes nobody may change unasked.
struct Bench {
    home: tempfile::TempDir,
    image: Vec<u8>,
    disk: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let home = directory();
        let bytes = |factor: u64, size: u64| (0..size).map(|at| (at * factor % 253) as u8).collect::<Vec<_>>();
        let bench = Self { image: bytes(7, 4 * MIB), disk: Vec::new(), home };
        fs::write(bench.path("image"), &bench.image).unwrap();
        fs::write(bench.path("disk"), bytes(11, 8 * MIB)).unwrap();
        for (file, name) in [("image", "PHASE"), ("disk", "HOLIDAY-PICTURES")] {
            let label = format!("1:{name}");
            program(bench.home(), "sgdisk", &["-Z", file]);
            program(bench.home(), "sgdisk", &["-n", "1:2048:6143", "-c", &label, file]);
        }
        // A file system without a journal to play back, where the partition of `disk` is.
        let ext4 = ["-q", "-t", "ext4", "-L", "PICTURES", "-E", "offset=1048576", "disk", "2048k"];
        program(bench.home(), "mke2fs", &ext4);
        Self {
            image: fs::read(bench.path("image")).unwrap(),
            disk: fs::read(bench.path("disk")).unwrap(),
            home: bench.home,
        }
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    fn plug(&self, options: &[&str]) -> Plugged {
        let said = program(self.home(), "losetup", &[&["-f", "--show"], options, &["disk"]].concat());
        Plugged { device: text(&said).trim().to_owned(), has_partition: false }
    }

    /// Everything goes as it should, but for `refusal`: then the disk is what it was.
    #[track_caller]
    fn refuses(&self, device: &str, more: &[&str], refusal: &str) {
        let name = device.trim_start_matches("/dev/");
        let usual = ["image", "write", "--image", "image", "--any-disk", "--yes-write-to", name, device];
        let arguments = if more.is_empty() { usual.to_vec() } else { [&["image", "write"], more, &[device]].concat() };
        let said = fails(self.home(), &arguments, 1);
        assert!(said.contains("nothing was written") && said.contains(refusal), "wanted {refusal:?}: {said}");
        self.is_untouched();
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert!(fs::read(self.path("disk")).unwrap() == self.disk, "the disk was changed");
    }

    /// The image, and behind it what was there before.
    #[track_caller]
    fn is_written(&self) {
        let now = fs::read(self.path("disk")).unwrap();
        let (written, behind) = now.split_at(self.image.len());
        assert!(written == self.image, "the disk does not hold the image");
        assert!(behind == &self.disk[self.image.len()..], "what is behind the image was changed");
    }
}

/// A loop device, until it is dropped.
struct Plugged {
    device: String,
    has_partition: bool,
}

impl Plugged {
    /// What a kernel that reads partition tables does by itself; not every kernel of a host does.
    fn partition(&mut self) -> String {
        // What a program that was killed may have left on this loop device.
        let _ = Command::new("delpart").args([&self.device, "1"]).output().unwrap();
        program(Path::new("/"), "addpart", &[&self.device, "1", "2048", "4096"]);
        self.has_partition = true;
        format!("{}p1", self.device)
    }

    fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }
}

impl Drop for Plugged {
    /// Does not panic: a test that failed with the disk mounted says so itself, and the mount ends with its namespace.
    fn drop(&mut self) {
        if self.has_partition {
            let partition = format!("{}p1", self.device);
            let _ = Command::new("umount").args(["-l", &partition]).output();
            let _ = Command::new("delpart").args([&self.device, "1"]).output();
        }
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
    }
}

#[test]
fn an_image_is_written_and_read_back() {
    if !inside_as_root("write::an_image_is_written_and_read_back") {
        return;
    }
    let bench = Bench::new();
    let plugged = bench.plug(&[]);
    let name = plugged.name();
    let arguments = ["image", "write", "--image", "image", "--any-disk", "--yes-write-to", name, &plugged.device];
    let said = succeeds(bench.home(), &arguments);
    bench.is_written();
    let digest = text(&program(bench.home(), "sha256sum", &["image"]));
    let digest = digest.split_whitespace().next().unwrap();
    assert!(said.contains(&format!("read back    the same: SHA-256 {digest}")), "{said}");
    assert!(said.contains("its backup stands at the end of the image"), "{said}");
    let report = json(bench.home(), &[&arguments[..], &["--json"]].concat());
    assert_eq!((&report["size"], &report["sha256"]), (&(4 * MIB).into(), &digest.into()));
    let listed = json(bench.home(), &["image", "write", "--list", "--any-disk", "--json"]);
    let listed = listed.as_array().unwrap().iter().find(|disk| disk["name"] == *name).unwrap().clone();
    assert_eq!((&listed["size"], &listed["contents"]["table"]), (&(8 * MIB).into(), &"gpt".into()));
    assert_eq!((&listed["transport"], &listed["refused"]), (&"loop".into(), &serde_json::Value::Null));
}

#[test]
fn a_person_types_the_name_of_the_disk() {
    if !inside_as_root("write::a_person_types_the_name_of_the_disk") {
        return;
    }
    let bench = Bench::new();
    let mut plugged = bench.plug(&[]);
    plugged.partition();
    // `script` gives the command a terminal, and types what it reads.
    let typed = |typed: &str| {
        let line = format!("{} image write --image image --any-disk {}", env!("CARGO_BIN_EXE_phase"), plugged.device);
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(bench.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    for wrong in ["yes\n", "\n", "sda\n"] {
        let (status, said) = typed(wrong);
        assert!(
            status == Some(1) && said.contains("nothing was written") && said.contains("was typed, and this disk is"),
            "{said}"
        );
        assert!(
            said.contains("All that is on this disk will be lost") && said.contains(r#"ext4 "PICTURES""#),
            "{said}"
        );
        bench.is_untouched();
    }
    let (status, said) = typed(&format!("{}\n", plugged.name()));
    assert_eq!(status, Some(0), "{said}");
    bench.is_written();
}

#[test]
fn what_does_not_fit_or_was_not_meant_is_refused() {
    if !inside_as_root("write::what_does_not_fit_or_was_not_meant_is_refused") {
        return;
    }
    let bench = Bench::new();
    let mut plugged = bench.plug(&[]);
    let (device, name) = (plugged.device.clone(), plugged.name().to_owned());
    bench.refuses(&device, &["--image", "image", "--any-disk"], &format!("a script says --yes-write-to {name}"));
    let wrong = ["--image", "image", "--any-disk", "--yes-write-to", "sda"];
    bench.refuses(&device, &wrong, &format!("--yes-write-to says sda, and this disk is {name}"));
    bench.refuses(
        &device,
        &["--image", "image", "--yes-write-to", &name],
        "is neither removable nor a USB disk nor an SD card",
    );
    fs::File::create(bench.path("large")).unwrap().set_len(8 * MIB + 512).unwrap();
    let large = ["--image", "large", "--any-disk", "--yes-write-to", &name];
    bench.refuses(&device, &large, "has 8388608 bytes (8.00 MiB) and the image needs 8389120");
    let partition = plugged.partition();
    bench.refuses(
        &partition,
        &[],
        &format!("{partition} is partition 1 of {device}; an image is written to a whole disk"),
    );
    drop(plugged);

    let read_only = bench.plug(&["-r"]);
    bench.refuses(&read_only.device, &[], "is read-only");
    drop(read_only);
    let sectors = bench.plug(&["--sector-size", "4096"]);
    bench.refuses(&sectors.device, &[], "has sectors of 4096 bytes and the image is made for sectors of 512");
    drop(sectors);

    bench.refuses("/dev/none", &[], "there is no /dev/none");
    bench.refuses("/dev/null", &[], "/dev/null is not a disk");
    fs::write(bench.path("packed"), b"\xfd7zXZ\0").unwrap();
    let packed = fails(bench.home(), &["image", "write", "--image", "packed", "/dev/null"], 1);
    assert!(packed.contains("packed is not written: it is compressed with xz; `unxz` unpacks it"), "{packed}");
    let usage = fails(bench.home(), &["image", "write", "/dev/null"], 2);
    assert!(usage.contains("--image <FILE>"), "{usage}");
}

#[test]
fn a_mounted_disk_is_refused() {
    if !inside_as_root("write::a_mounted_disk_is_refused") {
        return;
    }
    let bench = Bench::new();
    let mut plugged = bench.plug(&[]);
    let partition = plugged.partition();
    fs::create_dir(bench.path("mnt")).unwrap();
    program(bench.home(), "mount", &["-o", "ro,noload", &partition, "mnt"]);
    let point = bench.path("mnt").canonicalize().unwrap();
    bench.refuses(&plugged.device, &[], &format!("p1 is mounted at {}; `umount", point.display()));
    program(bench.home(), "umount", &["mnt"]);

    // In a namespace that /proc/self/mountinfo knows nothing of, the kernel's own check is left.
    let script = format!("mount -o ro,noload {partition} mnt && echo mounted && read line");
    let mut elsewhere = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir(bench.home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(elsewhere.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "mounted\n");
    bench.refuses(
        &plugged.device,
        &[],
        "is in use, says the kernel: something has it mounted, in another mount namespace",
    );
    drop(elsewhere.stdin.take());
    elsewhere.wait().unwrap();
    // Positive control: nothing else was in the way.
    let name = plugged.name();
    succeeds(
        bench.home(),
        &["image", "write", "--image", "image", "--any-disk", "--yes-write-to", name, &plugged.device],
    );
}

#[test]
fn the_disk_of_the_running_system_is_refused() {
    if !inside_as_root("write::the_disk_of_the_running_system_is_refused") {
        return;
    }
    // A root file system on the disk, with the folders of this system in it, so that `phase` runs there.
    let mut bench = Bench::new();
    let mut plugged = bench.plug(&[]);
    let partition = plugged.partition();
    fs::create_dir(bench.path("root")).unwrap();
    program(bench.home(), "mount", &[&partition, "root"]);
    let mut folders = Vec::new();
    for entry in fs::read_dir("/").unwrap() {
        let (path, name) = {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name())
        };
        let inside = bench.path("root").join(&name);
        if path.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path).unwrap(), inside).unwrap();
        } else if path.is_dir() && name != "lost+found" {
            fs::create_dir(inside).unwrap();
            folders.push(name.into_string().unwrap());
        }
    }
    program(bench.home(), "umount", &["root"]);
    bench.disk = fs::read(bench.path("disk")).unwrap();
    program(bench.home(), "mount", &["-o", "ro,noload", &partition, "root"]);
    for folder in &folders {
        program(bench.home(), "mount", &["--rbind", &format!("/{folder}"), &format!("root/{folder}")]);
    }
    let root = bench.path("root").display().to_string();
    let image = bench.path("image").display().to_string();
    let write = ["image", "write", "--image", &image, "--any-disk", "--yes-write-to", plugged.name(), &plugged.device];
    let output = Command::new("chroot").args([&root, env!("CARGO_BIN_EXE_phase")]).args(write).output().unwrap();
    let said = text(&output.stderr);
    let expected = format!("nothing was written: {0} carries / of this system (mounted from {0}p1)", plugged.name());
    assert!(output.status.code() == Some(1) && said.contains(&expected), "{said}");
    bench.is_untouched();
    let _ = Command::new("umount").args(["-R", "-l", &root]).status().unwrap();
}

#[test]
fn a_disk_that_fails_is_not_called_written() {
    if !inside_as_root("write::a_disk_that_fails_is_not_called_written") {
        return;
    }
    // A disk that says that it has 8 MiB and keeps one: its file is in a memory that is full then.
    let bench = Bench::new();
    fs::create_dir(bench.path("small")).unwrap();
    program(bench.home(), "mount", &["-t", "tmpfs", "-o", "size=1m", "none", "small"]);
    fs::File::create(bench.path("small/disk")).unwrap().set_len(8 * MIB).unwrap();
    let device = text(&program(bench.home(), "losetup", &["-f", "--show", "small/disk"])).trim().to_owned();
    let plugged = Plugged { device, has_partition: false };
    let write = ["image", "write", "--image", "image", "--any-disk", "--yes-write-to", plugged.name(), &plugged.device];
    let said = fails(bench.home(), &write, 3);
    assert!(said.contains("the image was not written as a whole"), "{said}");
    assert!(said.contains("does not hold the image now") && !said.contains("nothing was written"), "{said}");
    drop(plugged);
    program(bench.home(), "umount", &["small"]);
}

#[test]
fn a_plain_user_is_told_who_may_write() {
    if !inside_as_root("write::a_plain_user_is_told_who_may_write") {
        return;
    }
    let bench = Bench::new();
    let plugged = bench.plug(&[]);
    // Somewhere that everybody may run it from.
    let everybody = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_phase"), bench.path("phase")).unwrap();
    everybody(bench.home(), 0o755);
    everybody(&bench.path("phase"), 0o755);
    everybody(&bench.path("image"), 0o644);
    let user = |arguments: &[&str]| {
        let who = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "./phase", "image", "write"];
        Command::new("setpriv").args(who).args(arguments).current_dir(bench.home()).output().unwrap()
    };
    let output = user(&["--image", "image", "--any-disk", "--yes-write-to", plugged.name(), &plugged.device]);
    let said = text(&output.stderr);
    let expected =
        format!("nothing was written: {} may be written only by root (and the group `disk`)", plugged.device);
    assert!(output.status.code() == Some(1) && said.contains(&expected), "{said}");
    bench.is_untouched();
    // The list needs no rights.
    let output = user(&["--any-disk"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains(&plugged.device), "{said}");
}

#[test]
fn the_list_needs_no_disk() {
    let home = directory();
    let output = phase(home.path(), &["image", "write"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!output.stdout.is_empty());
    assert!(json(home.path(), &["image", "write", "--json"]).is_array());
    let usage = fails(home.path(), &["image", "write", "--list", "--image", "x", "/dev/null"], 2);
    assert!(usage.contains("cannot be used with"), "{usage}");
}
