//! The harness against a real QEMU: a busybox guest that prints markers, asks for a name and powers off.
//!
//! Needs what `make deps` installs, and a kernel: `KERNEL_ROOT`, else the one that `phase lab kernel` fetched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests too

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use initramfs::pack::archive::Tree;
use qemu::{Event, Machine, Network, profile::Part};
use tempfile::TempDir;

/// Long enough for a busy machine without KVM.
const BOOT: Duration = Duration::from_mins(2);

const INIT: &str = r#"#!/bin/busybox sh
echo "phase: start: begin t=1000000 stage=boot markers=1"
echo "phase: download: begin t=1100000"
echo "phase: download: end t=1300000 bytes=7"
printf 'guest login: '
read name
echo "hello $name"
echo "phase: switch: begin t=1500000 init=/sbin/init"
exec /bin/busybox poweroff -f
"#;

fn kernel() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/kernel/cloud-amd64");
    let root = env::var_os("KERNEL_ROOT").map_or(fetched, PathBuf::from);
    let boot = fs::read_dir(root.join("boot")).unwrap_or_else(|error| {
        panic!("{} has no kernel ({error}): run `phase lab kernel`, or set KERNEL_ROOT", root.display())
    });
    let mut files = boot.map(|entry| entry.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("vmlinuz-")).expect("no vmlinuz-VERSION")
}

fn machine(directory: &TempDir) -> Machine {
    let mut tree = Tree::new();
    tree.file_from("bin/busybox", 0o755, Path::new("/bin/busybox")).unwrap();
    tree.file("init", 0o755, INIT).unwrap();
    let initrd = directory.path().join("guest.cpio");
    fs::write(&initrd, tree.to_newc(0).unwrap()).unwrap();
    Machine::new(&kernel(), &initrd).memory_mib(256).network(Network::None).append("quiet panic=-1")
}

#[test]
fn a_guest_is_read_typed_at_and_profiled() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = machine(&directory).start().unwrap();
    let end = running.wait_for_marker("download", Event::End, BOOT).unwrap();
    assert_eq!(end.field("bytes"), Some("7"));

    running.wait_for_login(BOOT).unwrap();
    running.send("somebody\r").unwrap();
    running.wait_for_text("hello somebody", BOOT).unwrap();
    assert!(running.wait_exit(BOOT).unwrap().success());

    let profile = running.profile();
    assert_eq!(profile.row(Part::Boot, "download").unwrap().duration, Duration::from_millis(200));
    assert!(profile.row(Part::Kernel, "kernel").unwrap().duration > Duration::from_millis(100), "{profile}");
}

#[test]
fn the_control_connection_takes_pictures_and_pulls_the_plug() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = machine(&directory).start().unwrap();
    running.wait_for_login(BOOT).unwrap();
    let picture = directory.path().join("screen.png");
    let mut qmp = running.qmp().unwrap();
    qmp.screendump(&picture).unwrap();
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    qmp.send_key(&["ret"]).unwrap();
    let refused = qmp.send_key(&["no-such-key"]).unwrap_err().to_string();
    assert!(refused.contains("no-such-key"), "{refused}");
    qmp.quit().unwrap();
    assert!(running.wait_exit(BOOT).unwrap().success());
}

#[test]
fn qemus_own_complaint_is_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = machine(&directory).netdev("user", "no-such-card").start().unwrap();
    let error = running.wait_for_login(BOOT).unwrap_err().to_string();
    assert!(error.contains("a login prompt") && error.contains("no-such-card"), "{error}");
}
