use super::*;
use crate::newc::{Member, padding, trailer};
use crate::pack::compress::zstd;
use proptest::prelude::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// An archive of one file; its unpacked size is two pages for up to 4096 bytes.
fn archive(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Member::file(name, 0o644, data.len() as u64).encode().unwrap();
    out.extend_from_slice(data);
    out.resize(out.len() + padding(data.len() as u64), 0);
    out.extend(trailer());
    out
}

#[test]
fn pages_are_counted() {
    assert_eq!(unpacked_size(&archive("a", b"")).unwrap(), 4096);
    assert_eq!(unpacked_size(&archive("a", b"x")).unwrap(), 8192);
    assert_eq!(unpacked_size(&archive("a", &[0; 4096])).unwrap(), 8192);
    assert_eq!(unpacked_size(&archive("a", &[0; 4097])).unwrap(), 12288);
}

#[test]
fn segments_add_up() {
    let plain = archive("kernel/x86/microcode/GenuineIntel.bin", &[1; 5000]);
    let mut inner = archive("one", b"1");
    inner.extend([0; 512]);
    inner.extend(archive("two", b"2"));
    let mut bytes = plain;
    bytes.extend([0; 8]);
    bytes.extend(zstd(&inner).unwrap());
    // A compressed segment has any length; zeros bring the next archive to a multiple of 4.
    bytes.resize(bytes.len() + padding(bytes.len() as u64) + 4, 0);
    bytes.extend(archive("three", b"3"));
    bytes.extend([0; 3]);
    assert_eq!(unpacked_size(&bytes).unwrap(), 12288 + 3 * 8192);
}

#[test]
fn what_linux_would_not_unpack_is_refused() {
    assert!(matches!(unpacked_size(b""), Err(SizeError::Empty { seen: 0 })));
    assert!(matches!(unpacked_size(&[0; 64]), Err(SizeError::Empty { seen: 64 })));
    let mut misaligned = vec![0; 2];
    misaligned.extend(archive("a", b""));
    assert!(matches!(unpacked_size(&misaligned), Err(SizeError::Misaligned { offset: 2, .. })));
    let twice = zstd(&zstd(&archive("a", b"")).unwrap()).unwrap();
    assert!(matches!(unpacked_size(&twice), Err(SizeError::NoArchiveInside { offset: 0, inner: 0 })));
    let cut = archive("a", &[0; 900]);
    assert!(matches!(unpacked_size(&cut[..600]), Err(SizeError::Archive { offset: 0, .. })));
    assert!(matches!(unpacked_size(b"hello, world"), Err(SizeError::Decompress { offset: 0, .. })));
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let mut bytes = zstd(&archive("a", &vec![0; 60_000])).unwrap();
    bytes.extend(zstd(&archive("b", &vec![0; 60_000])).unwrap());
    let limits = Limits { unpacked: 100_000, ..Limits::DEFAULT };
    let error = unpacked_size_within(&bytes, limits).unwrap_err();
    assert!(
        matches!(error, SizeError::Decompress { source: DecompressError::TooLarge { .. }, offset: 1.. }),
        "{error}"
    );
    let limits = Limits { segments: 3, ..Limits::DEFAULT };
    assert!(matches!(unpacked_size_within(&bytes, limits), Err(SizeError::TooManySegments { limit: 3 })));
}

/// The real writer, package cpio, through each real compressor.
#[test]
fn sizes_what_cpio_makes() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("d")).unwrap();
    std::fs::write(directory.path().join("d/one"), vec![1; 4097]).unwrap();
    std::fs::hard_link(directory.path().join("d/one"), directory.path().join("d/same")).unwrap();
    std::os::unix::fs::symlink("one", directory.path().join("d/link")).unwrap();
    let mut child = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need the package cpio");
    child.stdin.take().unwrap().write_all(b"d\nd/one\nd/same\nd/link\n").unwrap();
    let plain = child.wait_with_output().unwrap().stdout;
    // Four members; the file's data once (cpio puts it at the last of its names), the link's target.
    let want = 4 * 4096 + 8192 + 4096;
    assert_eq!(unpacked_size(&plain).unwrap(), want);
    let file = directory.path().join("plain");
    std::fs::write(&file, &plain).unwrap();
    for (program, arguments) in [("gzip", "-c9"), ("xz", "-c"), ("zstd", "-c")] {
        let mut command = Command::new(program);
        command.arg(arguments).args((program == "xz").then_some("--check=crc32")).arg(&file);
        let packed = command.output().unwrap_or_else(|error| panic!("these tests need {program}: {error}")).stdout;
        assert!(packed.len() < plain.len());
        assert_eq!(unpacked_size(&packed).unwrap(), want, "{program}");
    }
}

proptest! {
    #[test]
    fn any_change_ends_without_a_panic(position in 0usize..400, value in any::<u8>(), compressed in any::<bool>()) {
        let mut bytes = archive("a", b"hello");
        if compressed {
            bytes = zstd(&bytes).unwrap();
        }
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = unpacked_size_within(&bytes, Limits { unpacked: 1 << 20, segments: 8 });
    }
}
