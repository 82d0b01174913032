use super::*;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};

const GUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";

fn partuuid() -> PartUuid {
    GUID.parse().unwrap()
}

#[test]
fn changes_are_kept_only_if_the_owner_the_release_the_mode_and_the_command_line_let_them() {
    let (wanted, allowed) = (partuuid(), Some(verify::Upper::Persistent));
    for mode in [Mode::Internet, Mode::Local] {
        let upper = choose(Some(&wanted), false, mode, allowed).unwrap().unwrap();
        assert_eq!((upper.partuuid, upper.kind, upper.reason), (wanted.clone(), None, None));
    }
    assert_eq!(choose(Some(&wanted), false, Mode::Private, allowed), Err(NotKept::Private));
    assert_eq!(choose(Some(&wanted), true, Mode::Internet, allowed), Err(NotKept::SwitchedOff));
    assert_eq!(choose(Some(&wanted), false, Mode::Internet, None), Err(NotKept::NotAllowed));
    // Who never asked for it is told nothing.
    for mode in [Mode::Internet, Mode::Local, Mode::Private] {
        assert_eq!(choose(None, false, mode, allowed), Ok(None));
    }
}

#[test]
fn the_receipt_says_what_came_of_it() {
    let upper = Upper { partuuid: partuuid(), kind: None, reason: None };
    let handed_on = serde_json::to_value(&upper).unwrap();
    assert_eq!(handed_on, serde_json::json!({"partuuid": GUID}));
    let console = Console::attach(Path::new("/nowhere"), "", crate::console::Verbosity::Quiet);
    let kept = upper.clone().tried(&Ok(()), &console);
    assert_eq!(serde_json::to_value(kept).unwrap(), serde_json::json!({"partuuid": GUID, "kind": "persistent"}));
    let lost = upper.tried(&Err(UpperError::Union(Errno::ROFS)), &console);
    assert_eq!(lost.kind.as_deref(), Some("tmpfs"));
    assert!(lost.reason.unwrap().starts_with("the kernel cannot put it over the release's root: Read-only"));
}

/// The directories of a release on what is mounted at `top`.
fn directories(top: &Path, channel: &str) -> Result<OwnedFd, UpperError> {
    let console = Console::attach(Path::new("/nowhere"), "", crate::console::Verbosity::Quiet);
    let place = Place { partuuid: &partuuid(), channel, arch: "x86_64", command_line: "", console: &console };
    place.directories(&File::open(top).unwrap().into(), Path::new("/dev/vda3"))
}

#[test]
fn every_channel_and_architecture_has_a_directory_that_root_alone_may_enter() {
    let top = tempfile::tempdir().unwrap();
    directories(top.path(), "demo").unwrap();
    let mode = |path: &str| fs::metadata(top.path().join(path)).unwrap().permissions().mode() & 0o777;
    for path in ["upper", "upper/demo", "upper/demo/x86_64", "upper/demo/x86_64/work"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    assert_eq!(mode("upper/demo/x86_64/data"), 0o755);
    fs::write(top.path().join("upper/demo/x86_64/data/kept"), "kept").unwrap();
    directories(top.path(), "other").unwrap();
    directories(top.path(), "demo").unwrap();
    assert_eq!(fs::read(top.path().join("upper/demo/x86_64/data/kept")).unwrap(), b"kept");
}

#[test]
fn no_link_leads_out_of_the_partition_and_a_file_is_no_directory() {
    for (name, path) in [
        ("upper", "upper"),
        ("demo", "upper/demo"),
        ("x86_64", "upper/demo/x86_64"),
        ("data", "upper/demo/x86_64/data"),
        ("work", "upper/demo/x86_64/work"),
    ] {
        for link in [true, false] {
            let (top, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let path = top.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if link {
                symlink(outside.path(), &path).unwrap();
            } else {
                fs::write(&path, "").unwrap();
            }
            let error = directories(top.path(), "demo").unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} on /dev/vda3 is no directory")), "{error}");
            assert!(error.ends_with(&format!("mount it and remove {name}")), "{error}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "something was made behind the link");
        }
    }
}

#[test]
fn a_channel_that_is_a_way_out_is_none() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir_all(top.path().join("inner/upper")).unwrap();
    for channel in ["..", "../..", "/tmp"] {
        assert!(directories(&top.path().join("inner"), channel).is_err(), "{channel}");
    }
}

#[test]
fn another_file_system_is_named_with_the_one_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("vda3");
    let mut start = vec![0; 4096];
    for (at, magic, seen) in [(0, &b""[..], "none"), (82, b"FAT32", "vfat")] {
        start[510..512].copy_from_slice(&[0x55, 0xaa]);
        start[at..at + magic.len()].copy_from_slice(magic);
        fs::write(&device, &start).unwrap();
        let error = ext4(&device).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} has file system {seen}, wanted ext4", device.display())), "{error}");
    }
    start[1080..1082].copy_from_slice(&[0x53, 0xef]);
    fs::write(&device, &start).unwrap();
    assert!(ext4(&device).is_ok());
}

#[test]
fn what_leaves_no_room_is_named() {
    let top = tempfile::tempdir().unwrap();
    assert!(has_room(&File::open(top.path()).unwrap().into(), Path::new("/dev/vda3")).is_ok());
    // A file system that never has room.
    let proc = File::open("/proc").unwrap().into();
    let error = has_room(&proc, Path::new("/dev/vda3")).unwrap_err().to_string();
    assert!(
        error.starts_with("/dev/vda3 is full: 0 KiB and 0 inodes are free, wanted 1024 and 16; mount it"),
        "{error}"
    );
}
