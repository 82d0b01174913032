//! Machines with little memory, and with much.

use crate::support::{Boot, Lab, Release, Serve, text};

/// A release with a root of so many MB.
fn server(megabytes: u64) -> Serve {
    let (lab, folder) = (Lab::ready(), tempfile::tempdir().unwrap());
    let root = folder.path().join("root.squashfs");
    lab.phase(&["lab", "tiny-root", "--size", &megabytes.to_string(), "--out", text(&root)]);
    Serve::tree(Release { rootfs: Some(root), ..Release::default() }.publish())
}

#[test]
#[ignore = "one row of `make test-media`"]
fn what_is_said_to_be_missing_is_enough() {
    const LITTLE: u32 = 224;
    let server = server(60);
    let machine = Lab::ready().machine().append(&server.origin());
    let mut boot = Boot::start(&machine.clone().memory_mib(LITTLE));
    boot.is_refused("fit", "memory", &["MiB are missing"]);
    let said = boot.lines_after("  [!]  attempt 1 failed: ").concat();
    boot.powers_off();
    let missing = said.strip_suffix(".0 MiB are missing").and_then(|said| said.rsplit(' ').next()?.parse::<u32>().ok());
    let memory = LITTLE + missing.expect("whole MiB");
    // The check is no more careful than it has to be: the kernel's OOM killer ends a boot of this release at 320 MiB.
    assert!((320..=360).contains(&memory), "{said}");
    Boot::start(&machine.memory_mib(memory)).reaches_the_release("kexec");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn of_more_than_4_gib_is_no_obstacle() {
    let server = server(60);
    let machine = Lab::ready().machine().append(&server.origin());
    Boot::start(&machine.memory_mib(6144)).reaches_the_release("kexec");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn holds_a_root_of_600_mb() {
    let server = server(600);
    let machine = Lab::ready().machine().append(&server.origin());
    let mut boot = Boot::start(&machine.memory_mib(2560));
    let receipt = boot.reaches_the_release("kexec");
    assert!(receipt["rootfs_size"].as_u64().is_some_and(|size| size > 600_000_000), "{receipt}");
}
