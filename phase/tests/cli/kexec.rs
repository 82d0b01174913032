//! `phase kexec` on the machine of the tests, which it must never jump from: every call here is refused, or is `--dry-run`. What
//! it does where it is allowed to, and what it refuses there, is the row kexec-from-Debian of qemu/tests/media.

use std::fs;

use crate::common::{fails, home};

const FILES: [&str; 6] = ["kexec", "--kernel", "vmlinuz", "--initramfs", "boot.zst", "--dry-run"];

fn refusal(home: &tempfile::TempDir, options: &[&str], status: i32) -> String {
    fails(home.path(), &[&FILES[..], options].concat(), status)
}

#[test]
fn files_that_are_not_what_it_starts_are_named_before_the_system_is_asked() {
    let home = home("root\n");
    let message = refusal(&home, &[], 1);
    assert!(
        message.contains("boot.zst: this is no boot initramfs") && message.contains("wanted \"boot\""),
        "{message}"
    );
    fs::write(home.path().join("vmlinuz"), "#!/bin/sh\n").unwrap();
    let message = refusal(&home, &[], 1);
    assert!(message.contains("vmlinuz: not a kernel image"), "{message}");
    fs::remove_file(home.path().join("vmlinuz")).unwrap();
    let message = refusal(&home, &[], 1);
    assert!(message.contains("cannot read vmlinuz"), "{message}");
}

#[test]
fn a_command_line_that_cannot_be_is_a_usage_error() {
    let home = home("boot\n");
    let message = refusal(&home, &["--mode", "local", "--append", "phase.mode=private"], 2);
    assert!(message.contains("give one of them"), "{message}");
    let message = refusal(&home, &["--mode", "public"], 2);
    assert!(message.contains("wanted internet, local or private"), "{message}");
    let long = "x".repeat(2048);
    assert!(refusal(&home, &["--parameters", &long], 2).contains("a kernel takes 2047"));
    for other in ["--load-only", "--immediately"] {
        assert!(refusal(&home, &[other], 2).contains("cannot be used with"));
    }
}
