use super::*;
use crate::testing::{MANIFEST, altered, replaced};

fn refused(text: &str) -> String {
    match Manifest::parse(text.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(manifest) => panic!("accepted: {manifest:?}"),
    }
}

#[test]
fn the_documented_manifest_is_read_and_written_byte_for_byte() {
    let manifest = Manifest::parse(MANIFEST.as_bytes()).unwrap();
    assert_eq!(manifest.to_json().unwrap(), MANIFEST);
    assert_eq!((manifest.version, manifest.arch), (7, Arch::X86_64));
    assert_eq!(manifest.handoff, [Handoff::Kexec, Handoff::Direct]);
    let names: Vec<&str> = manifest.artifacts().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["vmlinuz", "initramfs.zst", "rootfs.squashfs"]);
    let files = manifest.boot_files.unwrap();
    assert_eq!((files.kernel.init_size, files.initramfs.unpacked_size), (45_000_000, 2_500_000));
}

/// The manifest without the kernel and the initramfs.
fn without_boot_files(handoff: &str) -> String {
    let (start, end) = (MANIFEST.find("  \"kernel\"").unwrap(), MANIFEST.find("  \"rootfs\"").unwrap());
    let text = format!("{}{}", &MANIFEST[..start], &MANIFEST[end..]);
    replaced(&text, "\"kexec\",\n    \"direct\"", handoff)
}

/// The manifest without the root.
fn without_rootfs(handoff: &str) -> String {
    let text = format!("{}\n}}\n", &MANIFEST[..MANIFEST.find(",\n  \"rootfs\"").unwrap()]);
    replaced(&text, "\"kexec\",\n    \"direct\"", handoff)
}

#[test]
fn a_handoff_has_the_files_that_it_needs() {
    let direct = Manifest::parse(without_boot_files("\"direct\"").as_bytes()).unwrap();
    assert_eq!(direct.to_json().unwrap(), without_boot_files("\"direct\""));
    let foreign = Manifest::parse(without_rootfs("\"foreign\"").as_bytes()).unwrap();
    assert_eq!(foreign.to_json().unwrap(), without_rootfs("\"foreign\""));

    for handoff in ["kexec", "foreign"] {
        assert_eq!(
            refused(&without_boot_files(&format!("\"{handoff}\""))),
            format!("manifest.kernel is absent, wanted a kernel and an initramfs for handoff {handoff}")
        );
    }
    for handoff in ["kexec", "direct"] {
        assert_eq!(
            refused(&without_rootfs(&format!("\"{handoff}\""))),
            format!("manifest.rootfs is absent, wanted a root for handoff {handoff}")
        );
    }
}

#[test]
fn changes_may_be_kept_if_the_manifest_says_so_and_there_is_a_root_to_change() {
    assert_eq!(Manifest::parse(MANIFEST.as_bytes()).unwrap().upper, None);
    let kept = altered("  \"kernel\": {", "  \"upper\": \"persistent\",\n  \"kernel\": {");
    let manifest = Manifest::parse(kept.as_bytes()).unwrap();
    assert_eq!(manifest.upper, Some(Upper::Persistent));
    assert_eq!(manifest.to_json().unwrap(), kept, "the field's place");
    for (value, seen) in [("\"tmpfs\"", "\"tmpfs\""), ("\"\"", "\"\""), ("\"Persistent\"", "\"Persistent\"")] {
        assert_eq!(
            refused(&replaced(&kept, "\"persistent\"", value)),
            format!("manifest.upper is {seen}, wanted persistent, or no such field for a tmpfs")
        );
    }
    for value in ["true", "[\"persistent\"]", "{}"] {
        assert!(refused(&replaced(&kept, "\"persistent\"", value)).contains("wanted a string"), "{value}");
    }
    let rootless =
        replaced(&without_rootfs("\"foreign\""), "  \"kernel\": {", "  \"upper\": \"persistent\",\n  \"kernel\": {");
    assert_eq!(refused(&rootless), "manifest.rootfs is absent, wanted a root for upper persistent");
}

#[test]
fn kernel_and_initramfs_stand_together() {
    assert_eq!(
        refused(&altered("\"initramfs\": {", "\"x-initramfs\": {")),
        "manifest.initramfs is absent, wanted an initramfs beside the kernel"
    );
    assert_eq!(
        refused(&altered("\"kernel\": {", "\"x-kernel\": {")),
        "manifest.kernel is absent, wanted a kernel beside the initramfs"
    );
}

#[test]
fn every_field_but_the_files_is_required() {
    for name in ["schema", "channel", "arch", "version", "min_epoch", "issued", "expires", "cmdline", "init", "handoff"]
    {
        let text = altered(&format!("\"{name}\":"), &format!("\"x-{name}\":"));
        assert_eq!(refused(&text), format!("manifest.{name} is missing"));
    }
    for (file, field) in [("kernel", "init_size"), ("initramfs", "unpacked_size")] {
        let text = altered(&format!("\"{field}\":"), &format!("\"x-{field}\":"));
        assert_eq!(refused(&text), format!("manifest.{file}.{field} is missing"));
    }
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    for (from, path) in [("\"version\"", "manifest."), ("\"init_size\"", "manifest.kernel.")] {
        let text = altered(from, &format!("\"extra\": 1, {from}"));
        assert!(refused(&text).starts_with(&format!("{path}\"extra\" is not a field")), "{}", refused(&text));
        let text = altered(from, &format!("\"x-extra\": 1, {from}"));
        assert!(Manifest::parse(text.as_bytes()).is_ok());
    }
}

#[test]
fn values_out_of_range_are_refused_with_both_values() {
    for (from, to, wanted) in [
        ("phase.boot/1", "phase.boot/2", r#"schema is "phase.boot/2", wanted "phase.boot/1""#),
        ("\"demo\"", "\"../demo\"", r#"channel is "../demo", wanted 1 to 32 of"#),
        ("x86_64", "riscv64", r#"arch is "riscv64", wanted x86_64 or aarch64"#),
        ("\"version\": 7", "\"version\": \"7\"", r#"version is "7", wanted an integer"#),
        ("2026-11-20T12:00:00Z", "2026-11-20", r#"issued is "2026-11-20", wanted a time like"#),
        ("2027", "2025", "expires is 2025-11-20T12:00:00Z, wanted a time after issued (2026-11-20T12:00:00Z)"),
        ("2027", "2026", "expires is 2026-11-20T12:00:00Z, wanted a time after issued"),
        ("quiet", "qui\\net", r#"cmdline is "console=ttyS0 qui\net", wanted at most 1536 bytes of printable"#),
        ("/sbin/init", "sbin/init", r#"init is "sbin/init", wanted an absolute path"#),
        ("/sbin/init", "/a/../init", r#"init is "/a/../init", wanted an absolute path"#),
        ("/sbin/init", "/sbin/my init", r#"init is "/sbin/my init", wanted an absolute path"#),
        ("/sbin/init", "/", r#"init is "/", wanted an absolute path"#),
        ("\"direct\"", "\"kexec\"", "handoff is kexec twice, wanted distinct hand-offs"),
        ("\"direct\"", "\"jump\"", r#"handoff is "jump", wanted kexec, direct or foreign"#),
        ("vmlinuz", "../vmlinuz", r#"kernel.name is "../vmlinuz", wanted 1 to 64 of"#),
        ("vmlinuz", ".vmlinuz", r#"kernel.name is ".vmlinuz", wanted 1 to 64 of"#),
        ("vmlinuz", "", r#"kernel.name is "", wanted 1 to 64 of"#),
        (": 8000000", ": 0", "kernel.size is 0, wanted an integer from 1 to 2147483647"),
        (": 8000000", ": 2147483648", "kernel.size is 2147483648, wanted an integer from 1 to 2147483647"),
        (": 900000", ": 2147483648", "initramfs.size is 2147483648, wanted an integer from 1 to 2147483647"),
        (": 60000000", ": 0", "rootfs.size is 0, wanted an integer from 1 to 4294967295"),
        (": 60000000", ": 4294967296", "rootfs.size is 4294967296, wanted an integer from 1 to 4294967295"),
        (": 45000000", ": 0", "kernel.init_size is 0, wanted"),
        (": 2500000", ": 0", "initramfs.unpacked_size is 0, wanted"),
        ("1111", "111", "wanted 64 lower-case hex digits"),
    ] {
        let message = refused(&altered(from, to));
        assert!(message.starts_with("manifest.") && message.contains(wanted), "{to:?} gave {message}");
    }
}

#[test]
fn sizes_up_to_the_limit_are_accepted() {
    for (from, to) in [(": 8000000", ": 2147483647"), (": 60000000", ": 4294967295"), (": 60000000", ": 1")] {
        assert!(Manifest::parse(altered(from, to).as_bytes()).is_ok(), "{to}");
    }
    let longest = "a".repeat(LIMITS.cmdline_bytes);
    assert!(Manifest::parse(altered("console=ttyS0 quiet", &longest).as_bytes()).is_ok());
    assert!(Manifest::parse(altered("console=ttyS0 quiet", &(longest + "a")).as_bytes()).is_err());
    assert!(Manifest::parse(altered("console=ttyS0 quiet", "").as_bytes()).is_ok());
    let longest = format!("/{}", "a".repeat(LIMITS.init_bytes - 1));
    assert!(Manifest::parse(altered("/sbin/init", &longest).as_bytes()).is_ok());
    assert!(Manifest::parse(altered("/sbin/init", &(longest + "a")).as_bytes()).is_err());
}

#[test]
fn numbers_beyond_two_to_the_53_never_reach_a_field() {
    for size in ["9007199254740992", "9223372036854775808", "18446744073709551616", "6e7", "60000000.0", "-1"] {
        let message = refused(&altered(": 60000000", &format!(": {size}")));
        assert!(message.starts_with("manifest is not strict JSON: "), "{size} gave {message}");
    }
}

#[test]
fn a_manifest_is_small() {
    let padded = MANIFEST.to_owned() + &" ".repeat(LIMITS.manifest_bytes);
    assert!(refused(&padded).ends_with("bytes, wanted at most 65536"));
}
