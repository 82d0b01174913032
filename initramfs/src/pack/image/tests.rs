use super::*;
use crate::newc::Archive;
use crate::pack::compress::Format;
use crate::pack::elf::tests::program;
use std::path::Path;

fn boot(directory: &Path) -> BootInitramfs {
    let init = directory.join("init");
    std::fs::write(&init, program(1)).unwrap();
    BootInitramfs {
        init,
        stage: Stage::Boot {
            trust: b"{trust}".to_vec(),
            config: Some(b"{config}".to_vec()),
            tls_roots: Some(b"roots".to_vec()),
        },
        kernel_root: None,
        modules: Vec::new(),
        keep_compressed: false,
        extra: Vec::new(),
        mtime: 1_700_000_000,
    }
}

/// Path, mode and data of every member.
fn members(built: &Built) -> Vec<(String, u32, Vec<u8>)> {
    let archive = Format::Zstd.decompress(&mut &built.bytes[..], 1 << 20).unwrap();
    let members = Archive::new(&archive).map(|entry| {
        let entry = entry.unwrap();
        (entry.name.escape_ascii().to_string(), entry.mode, entry.data.to_vec())
    });
    members.collect()
}

#[test]
fn holds_what_init_needs_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let built = boot(directory.path()).build().unwrap();
    let members = members(&built);
    let names: Vec<_> = members.iter().map(|(name, mode, _)| format!("{mode:06o} {name}")).collect();
    let want = [
        "040755 dev",
        "020600 dev/console",
        "020666 dev/null",
        "040755 etc",
        "040755 etc/phase",
        "100644 etc/phase/config.json",
        "100644 etc/phase/stage",
        "100644 etc/phase/tls-roots.pem",
        "100644 etc/phase/trust.json",
        "100755 init",
        "040755 lib",
        "040755 lib/modules",
        "040755 proc",
        "040755 run",
        "040755 sys",
    ];
    assert_eq!(names, want);
    assert_eq!(
        (&members[6].2[..], &members[7].2[..], &members[8].2[..]),
        (&b"boot\n"[..], &b"roots"[..], &b"{trust}"[..])
    );
    assert_eq!(built.listing.len(), want.len());
    assert_eq!(built.unpacked_size, (15 + 5) * 4096);
    assert_eq!(built.unpacked_size, unpacked_size(&built.bytes).unwrap());
}

#[test]
fn two_builds_are_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let boot = boot(directory.path());
    assert_eq!(boot.build().unwrap(), boot.build().unwrap());
    let other = BootInitramfs { mtime: 1, ..boot.clone() };
    assert_ne!(boot.build().unwrap().bytes, other.build().unwrap().bytes);
}

#[test]
fn a_release_has_no_trust_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let release = BootInitramfs { stage: Stage::Root, ..boot(directory.path()) };
    let members = members(&release.build().unwrap());
    let phase: Vec<_> = members.iter().filter(|(name, ..)| name.starts_with("etc/phase/")).collect();
    assert_eq!(phase, [&("etc/phase/stage".to_owned(), 0o100_644, b"root\n".to_vec())]);
}

#[test]
fn extra_files_keep_only_their_executable_bit() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("tool");
    std::fs::write(&source, "x").unwrap();
    std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o700)).unwrap();
    let extra = vec![ExtraFile { path: "/bin/tool".into(), source }];
    let built = BootInitramfs { extra, ..boot(directory.path()) }.build().unwrap();
    assert!(members(&built).contains(&("bin/tool".into(), 0o100_755, b"x".to_vec())));
    let extra = vec![ExtraFile { path: "init".into(), source: directory.path().join("tool") }];
    let error = BootInitramfs { extra, ..boot(directory.path()) }.build().unwrap_err();
    assert_eq!(error.to_string(), "there are two files for /init of the initramfs");
}

#[test]
fn what_cannot_boot_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = boot(directory.path());
    image.modules = vec!["root".into()];
    assert!(matches!(image.build(), Err(ImageError::NoKernel { modules }) if modules == ["root"]));
    std::fs::write(&image.init, program(3)).unwrap();
    assert!(matches!(image.build(), Err(ImageError::Init { source: ElfError::Dynamic { .. }, .. })));
    image.init = "/nonexistent".into();
    assert!(matches!(image.build(), Err(ImageError::Read { .. })));
}
