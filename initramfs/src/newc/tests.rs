use super::*;
use proptest::prelude::*;

fn append(archive: &mut Vec<u8>, member: &Member<'_>, data: &[u8]) {
    archive.extend(member.encode().unwrap());
    archive.extend_from_slice(data);
    archive.resize(archive.len() + padding(data.len() as u64), 0);
}

/// The bytes that `printf 'hi\n' > a && echo a | cpio -o -H newc --reproducible` starts with, but for inode and times.
#[test]
fn header_is_byte_exact() {
    let member = Member::file("a", 0o644, 3).with_ino(0x2a).with_mtime(0x6553_f100);
    let want = concat!(
        "070701", "0000002a", "000081a4", "00000000", "00000000", "00000001", "6553f100", "00000003", "00000000",
        "00000000", "00000000", "00000000", "00000002", "00000000", "a\0"
    );
    assert_eq!(member.encode().unwrap(), want.as_bytes());
}

#[test]
fn reads_back_what_it_writes() {
    let mut bytes = Vec::new();
    append(&mut bytes, &Member::directory("dev", 0o755).with_ino(1), b"");
    append(&mut bytes, &Member::char_device("dev/console", 0o600, (5, 1)).with_ino(2), b"");
    append(&mut bytes, &Member::file("init", 0o755, 5).with_ino(3), b"hello");
    append(&mut bytes, &Member::symlink("sh", 4).with_ino(4), b"init");
    bytes.extend(trailer());
    let end = bytes.len();
    bytes.extend(b"next segment");

    let mut archive = Archive::new(&bytes);
    let entries: Vec<_> = archive.by_ref().map(Result::unwrap).collect();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.escape_ascii().to_string()).collect();
    assert_eq!(names, ["dev", "dev/console", "init", "sh"]);
    assert!(entries[0].is_directory() && entries[2].is_file() && entries[3].is_symlink());
    assert_eq!((entries[1].rdev, entries[1].mode), ((5, 1), 0o020_600));
    assert_eq!((entries[2].data, entries[3].data), (&b"hello"[..], &b"init"[..]));
    assert_eq!(archive.offset(), end);
    assert_eq!(archive.next(), None);
}

#[test]
fn refuses_what_the_format_cannot_say() {
    assert!(matches!(Member::file("", 0, 0).encode(), Err(NewcError::BadName { .. })));
    assert!(matches!(Member::file("a\0b", 0, 0).encode(), Err(NewcError::BadName { .. })));
    let long = "x".repeat(4096);
    assert_eq!(Member::file(&long, 0, 0).encode(), Err(NewcError::NameTooLong { seen: 4096, limit: 4095 }));
    let error = Member::file("big", 0, 1 << 32).encode().unwrap_err();
    assert_eq!(error, NewcError::TooLarge { name: "big".into(), seen: 1 << 32, limit: (1 << 32) - 1 });
}

#[test]
fn every_cut_is_an_error() {
    let mut bytes = Vec::new();
    append(&mut bytes, &Member::file("init", 0o755, 5), b"hello");
    // The NUL after the trailer's name is the last byte that matters.
    let trailer_end = bytes.len() + HEADER_LEN + TRAILER.len() + 1;
    bytes.extend(trailer());
    for cut in 0..trailer_end {
        let last = Archive::new(&bytes[..cut]).last().unwrap();
        assert!(matches!(last, Err(NewcError::Truncated { .. })), "cut at {cut}: {last:?}");
    }
    assert!(Archive::new(&bytes[..trailer_end]).all(|entry| entry.is_ok()));
}

#[test]
fn signs_and_bad_magic_are_refused() {
    let mut bytes = Member::file("init", 0o755, 0).encode().unwrap();
    bytes[6] = b'+';
    assert!(matches!(Archive::new(&bytes).next(), Some(Err(NewcError::BadField { field: 0, .. }))));
    bytes[5] = b'7';
    assert!(matches!(Archive::new(&bytes).next(), Some(Err(NewcError::BadMagic { offset: 0, .. }))));
}

#[test]
fn members_are_limited() {
    let mut bytes = Vec::new();
    for name in ["a", "b", "c"] {
        append(&mut bytes, &Member::file(name, 0o644, 0), b"");
    }
    bytes.extend(trailer());
    let limits = Limits { members: 2, ..Limits::DEFAULT };
    let last = Archive::with_limits(&bytes, limits).last();
    assert_eq!(last, Some(Err(NewcError::TooManyMembers { limit: 2 })));
}

/// Composes as init does: arena first, squashfs in place, headers around it.
fn compose(initramfs: &[u8], rootfs: &[u8], handoff: &[u8]) -> Vec<u8> {
    let layout = SegmentLayout::new(initramfs.len() as u64, rootfs.len() as u64).unwrap();
    let total = layout.total(u32::try_from(handoff.len()).unwrap()).unwrap();
    let mut arena = vec![0xff; usize::try_from(total).unwrap()];
    let mut written = 0;
    let mut put = |offset: u64, bytes: &[u8]| {
        let offset = usize::try_from(offset).unwrap();
        arena[offset..offset + bytes.len()].copy_from_slice(bytes);
        written += bytes.len();
    };
    put(0, initramfs);
    let (offset, head) = layout.head();
    put(offset, &head);
    put(layout.rootfs_offset(), rootfs);
    let (offset, tail) = layout.tail(handoff).unwrap();
    put(offset, &tail);
    assert_eq!(written, arena.len(), "the parts lie side by side without a gap");
    arena
}

proptest! {
    #[test]
    fn composed_initramfs_reads_back(
        initramfs in 0usize..9000,
        rootfs in proptest::collection::vec(any::<u8>(), 0..6000),
        handoff in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let arena = compose(&vec![0xaa; initramfs], &rootfs, &handoff);
        let layout = SegmentLayout::new(initramfs as u64, rootfs.len() as u64).unwrap();
        prop_assert_eq!(layout.rootfs_offset() % 4096, 0);
        let start = arena[initramfs..].iter().position(|&byte| byte != 0).unwrap() + initramfs;
        prop_assert_eq!(start % 4, 0);
        let entries: Vec<_> = Archive::new(&arena[start..]).map(Result::unwrap).collect();
        prop_assert_eq!(entries.len(), 3);
        prop_assert_eq!((entries[0].name, entries[0].mode), (&b"phase"[..], 0o040_755));
        prop_assert_eq!((entries[1].name, entries[1].mode), (&b"phase/rootfs.squashfs"[..], 0o100_400));
        prop_assert_eq!((entries[2].name, entries[2].mode), (&b"phase/handoff.json"[..], 0o100_400));
        prop_assert_eq!((entries[1].data, entries[2].data), (&rootfs[..], &handoff[..]));
    }

    #[test]
    fn any_bytes_end_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        if magic && bytes.len() >= 6 {
            bytes[..6].copy_from_slice(MAGIC);
        }
        for entry in Archive::new(&bytes) {
            prop_assert!(entry.is_err() || !entry.unwrap().name.is_empty());
        }
    }

    #[test]
    fn any_change_of_a_header_ends_without_a_panic(position in 0usize..HEADER_LEN, value in any::<u8>()) {
        let mut bytes = Vec::new();
        append(&mut bytes, &Member::file("init", 0o755, 5), b"hello");
        bytes.extend(trailer());
        bytes[position] = value;
        prop_assert!(Archive::new(&bytes).count() <= 2);
    }
}

#[test]
fn sizes_beyond_a_newc_member_have_no_layout() {
    assert!(matches!(SegmentLayout::new(0, 1 << 32), Err(NewcError::TooLarge { .. })));
    assert!(matches!(SegmentLayout::new(u64::MAX, 1), Err(NewcError::Overflow { .. })));
}
