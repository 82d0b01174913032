//! `phase publish`: what is in the tree afterwards is what a machine accepts.

use std::{fs, path::Path};

use crate::common::{directory, envelope, fails, json, keys_and_trust, publish, release_files, squashfs, succeeds};
use verify::{Arch, Floors, Now, Rules, Timestamp, Trust, Verified, verified};

fn home() -> tempfile::TempDir {
    let home = directory();
    keys_and_trust(home.path());
    release_files(home.path());
    home
}

/// What a machine with `trust.json` makes of the tree's envelope.
fn verify(home: &Path) -> Verified<verify::Manifest> {
    let trust = Trust::parse(&fs::read(home.join("trust.json")).unwrap()).unwrap();
    let now = Now { time: trust.built, trusted: false };
    verified::manifest(
        &fs::read(envelope(home)).unwrap().into(),
        &Rules { trust: &trust, arch: Arch::X86_64, now, floors: Floors::default() },
    )
    .unwrap()
}

fn blobs(home: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(home.join("tree/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_published_tree_verifies() {
    let home = home();
    let arguments = publish("7", &["--trust", "trust.json", "--handoff", "kexec,direct", "--json"]);
    let report = json(home.path(), &arguments);
    let release = verify(home.path());
    assert_eq!(release.version, 7);
    assert_eq!(release.cmdline, "console=ttyS0 quiet");
    assert_eq!(report["manifest_sha256"], release.digest().to_string());
    assert_eq!(report["key_ids"][0], release.key_ids()[0].to_string());
    assert_eq!(release.expires, release.issued.plus_days(365));
    // Read from the real files: the kernel's header, and a member of 5000 bytes in pages of 4096.
    let files = release.boot_files.as_ref().unwrap();
    assert_eq!(files.kernel.init_size, 0x0020_f000);
    assert_eq!(files.initramfs.unpacked_size, 3 * 4096);
    for artifact in release.artifacts() {
        let blob = fs::read(home.path().join("tree/blobs/sha256").join(artifact.sha256.to_string())).unwrap();
        assert_eq!(blob, fs::read(home.path().join(&artifact.name)).unwrap());
        assert_eq!(verify::Sha256Digest::of(&blob), artifact.sha256);
        assert_eq!(blob.len() as u64, artifact.size);
    }
    assert_eq!(blobs(home.path()).len(), 3);
}

#[test]
fn changes_may_be_kept_only_if_the_publisher_says_so() {
    let home = home();
    succeeds(home.path(), &publish("7", &[]));
    assert_eq!(verify(home.path()).upper, None);
    succeeds(home.path(), &publish("8", &["--upper", "persistent"]));
    assert_eq!(verify(home.path()).upper, Some(verify::Upper::Persistent));
}

#[test]
fn the_envelope_comes_last() {
    let home = home();
    succeeds(home.path(), &publish("1", &[]));
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let envelope_time = time(&envelope(home.path()));
    for name in blobs(home.path()) {
        assert!(time(&home.path().join("tree/blobs/sha256").join(name)) <= envelope_time);
    }
    // A blob that cannot be written: nothing of the new release shows, and the old one still verifies.
    fs::write(home.path().join("root.squashfs"), squashfs(1, 1024)).unwrap();
    let digest = verify::Sha256Digest::of(&squashfs(1, 1024)).to_string();
    fs::create_dir(home.path().join("tree/blobs/sha256").join(digest)).unwrap();
    let error = fails(home.path(), &publish("2", &[]), 1);
    assert!(error.contains("cannot write"), "{error}");
    assert_eq!(verify(home.path()).version, 1);
}

#[test]
fn a_second_release_keeps_what_it_shares_and_prunes_what_it_does_not() {
    let home = home();
    succeeds(home.path(), &publish("1", &[]));
    fs::write(home.path().join("root.squashfs"), squashfs(2, 512)).unwrap();
    let report = json(home.path(), &publish("2", &["--json", "--prune"]));
    let kept: Vec<_> = report["blobs"].as_array().unwrap().iter().map(|blob| blob["kept"].as_bool().unwrap()).collect();
    assert_eq!(kept, [true, true, false]);
    assert_eq!(report["pruned"][0], verify::Sha256Digest::of(&squashfs(9, 12288)).to_string());
    assert_eq!(verify(home.path()).version, 2);
    assert_eq!(blobs(home.path()).len(), 3);
}

#[test]
fn prune_spares_what_another_channel_names() {
    let home = home();
    succeeds(home.path(), &publish("1", &[]));
    fs::write(home.path().join("root.squashfs"), squashfs(2, 512)).unwrap();
    let other = ["publish", "--tree", "tree", "--channel", "other", "--arch", "x86_64", "--key", "release"];
    let direct = ["--handoff", "direct", "--rootfs", "root.squashfs", "--version", "1", "--prune"];
    succeeds(home.path(), &[&other[..], &direct[..]].concat());
    assert_eq!(blobs(home.path()).len(), 4);
}

#[test]
fn an_older_or_equal_version_is_refused_unless_told() {
    let home = home();
    succeeds(home.path(), &publish("7", &[]));
    for version in ["7", "6"] {
        let error = fails(home.path(), &publish(version, &[]), 1);
        assert!(error.contains(&format!("version {version} is not above 7")), "{error}");
    }
    assert_eq!(verify(home.path()).version, 7);
    succeeds(home.path(), &publish("6", &["--allow-older"]));
    assert_eq!(verify(home.path()).version, 6);
}

#[test]
fn what_the_trust_file_refuses_does_not_go_live() {
    let home = home();
    succeeds(home.path(), &publish("1", &["--trust", "trust.json"]));
    crate::common::key(home.path(), "stranger");
    let mut arguments = publish("2", &["--trust", "trust.json"]);
    let key = arguments.iter().position(|argument| *argument == "release").unwrap();
    arguments[key] = "stranger";
    let error = fails(home.path(), &arguments, 1);
    assert!(error.contains("the trust file refuses it"), "{error}");
    let old = ["--trust", "trust.json", "--issued", "2020-01-01T00:00:00Z"];
    let error = fails(home.path(), &publish("2", &old), 1);
    assert!(error.contains("2020-12-31T00:00:00Z"), "{error}");
    assert_eq!(verify(home.path()).version, 1);
}

#[test]
fn the_same_inputs_give_the_same_envelope() {
    let home = home();
    let issued = ["--issued", "2026-11-20T12:00:00Z"];
    succeeds(home.path(), &publish("1", &issued));
    let first = fs::read(envelope(home.path())).unwrap();
    fs::remove_dir_all(home.path().join("tree")).unwrap();
    succeeds(home.path(), &publish("1", &issued));
    assert_eq!(fs::read(envelope(home.path())).unwrap(), first);
    assert_eq!(verify(home.path()).issued, "2026-11-20T12:00:00Z".parse::<Timestamp>().unwrap());
}

#[test]
fn wrong_usage_ends_with_2_and_touches_nothing() {
    let home = home();
    let base = ["publish", "--tree", "tree", "--channel", "demo", "--key", "release", "--version", "1"];
    for (more, says) in [
        (&["--rootfs", "root.squashfs"][..], "--handoff kexec needs --kernel"),
        (&["--handoff", "direct"], "--handoff direct needs --rootfs"),
        (
            &["--handoff", "foreign", "--kernel", "vmlinuz", "--initramfs", "initramfs.zst", "--upper", "persistent"],
            "--upper persistent needs --rootfs",
        ),
        (&["--handoff", "direct", "--rootfs", "root.squashfs", "--upper", "tmpfs"], "wanted persistent"),
        (&["--handoff", "direct", "--rootfs", "root.squashfs", "--init", "sbin/init"], "\"sbin/init\""),
        (&["--handoff", "warp", "--rootfs", "root.squashfs"], "kexec, direct or foreign"),
        (&["--kernel", "vmlinuz", "--rootfs", "root.squashfs"], "--initramfs"),
    ] {
        let error = fails(home.path(), &[&base[..], more].concat(), 2);
        assert!(error.contains(says), "{more:?}: {error}");
    }
    assert!(!home.path().join("tree").exists());
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_refused() {
    let home = home();
    fs::write(home.path().join("vmlinuz"), [0; 4096]).unwrap();
    let error = fails(home.path(), &publish("1", &[]), 1);
    assert!(error.contains("vmlinuz"), "{error}");
    release_files(home.path());
    fs::write(home.path().join("initramfs.cpio"), b"not an archive").unwrap();
    let error = fails(home.path(), &publish("1", &[]), 1);
    assert!(error.contains("initramfs.cpio"), "{error}");
    release_files(home.path());
    fs::write(home.path().join("root.squashfs"), [0; 4096]).unwrap();
    let error = fails(home.path(), &publish("1", &[]), 1);
    assert!(error.contains("root.squashfs is not a squashfs"), "{error}");
    fs::write(home.path().join("root.squashfs"), &squashfs(9, 4096)[..4000]).unwrap();
    let error = fails(home.path(), &publish("1", &[]), 1);
    assert!(error.contains("has 4000 bytes, fewer than its squashfs has: 4096"), "{error}");
    fs::write(home.path().join("root.squashfs"), squashfs(9, 4100)).unwrap();
    let error = fails(home.path(), &publish("1", &[]), 1);
    assert!(error.contains("has 4100 bytes; wanted a multiple of 512"), "{error}");
    assert!(!home.path().join("tree").exists());
}
