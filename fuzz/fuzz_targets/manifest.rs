//! A manifest is read and written alike, keeps the rules that its users rely on, and its refusal can be printed on a
//! console.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::{LIMITS, Manifest};

fuzz_target!(|bytes: &[u8]| {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    };
    let written = manifest.to_json().expect("a manifest can be written");
    let again = Manifest::parse(written.as_bytes()).expect("what is written is a manifest");
    assert_eq!(again, manifest);
    assert_eq!(again.to_json().expect("a manifest can be written"), written);

    assert!(manifest.issued < manifest.expires);
    assert!(manifest.cmdline.len() <= LIMITS.cmdline_bytes && !manifest.cmdline.contains(char::is_control));
    assert!(manifest.init.starts_with('/') && manifest.init.split('/').all(|part| part != ".."));
    for handoff in &manifest.handoff {
        assert!(!handoff.needs_boot_files() || manifest.boot_files.is_some());
        assert!(!handoff.needs_rootfs() || manifest.rootfs.is_some());
    }
    assert!(manifest.upper.is_none() || manifest.rootfs.is_some());
    for artifact in manifest.artifacts() {
        assert!((1..=LIMITS.rootfs_bytes).contains(&artifact.size));
        assert!(!artifact.name.is_empty() && !artifact.name.contains(['/', '\0']));
    }
});
