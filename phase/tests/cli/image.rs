//! `phase image initramfs` and `phase size`: what is packed is what was said, and nothing that a machine would refuse.

use std::{fs, path::Path, process::Command};

use initramfs::{
    newc::{Archive, Entry, NewcError},
    pack::compress::Format,
};

use crate::common::{directory, fails, json, keys_and_trust, succeeds, text};

/// A static ELF program of one loadable header, followed by `payload`.
fn static_program(payload: &[u8]) -> Vec<u8> {
    let mut program = vec![0; 64 + 56];
    program[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    program[0x10] = 2; // ET_EXEC
    program[0x12] = 62; // EM_X86_64
    program[0x14] = 1; // EV_CURRENT
    program[0x20] = 64; // program headers stand behind this header,
    program[0x34] = 64; // which has 64 bytes;
    program[0x36] = 56; // they have 56 bytes each,
    program[0x38] = 1; // and there is one:
    program[64] = 1; // PT_LOAD
    program.extend(payload);
    program
}

/// Bytes that zstd cannot make smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

fn home() -> tempfile::TempDir {
    let home = directory();
    keys_and_trust(home.path());
    fs::write(home.path().join("init"), static_program(b"payload")).unwrap();
    let modules = home.path().join("kernel/lib/modules/9.9");
    fs::create_dir_all(modules.join("kernel")).unwrap();
    let names = ["loop", "squashfs", "overlay"];
    for name in names {
        fs::write(modules.join(format!("kernel/{name}.ko")), name).unwrap();
    }
    fs::write(modules.join("modules.dep"), names.map(|name| format!("kernel/{name}.ko:\n")).concat()).unwrap();
    home
}

/// The members of an initramfs and their bytes, in its order.
fn unpack(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let archive = Format::of(&bytes).unwrap().decompress(&mut bytes.as_slice(), 1 << 20).unwrap();
    let member = |entry: Result<Entry, NewcError>| {
        let Entry { name, data, .. } = entry.unwrap();
        (text(name), data.to_owned())
    };
    Archive::new(&archive).map(member).collect()
}

const BOOT: [&str; 9] = ["image", "initramfs", "--stage", "boot", "--init", "init", "--trust", "trust.json", "--out"];
/// The public key of RFC 8032, section 7.1, TEST 1.
const LOCATOR: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const ROOT: [&str; 8] = ["image", "initramfs", "--stage", "root", "--init", "init", "--out", "root.cpio.zst"];

#[test]
fn a_boot_initramfs_has_its_trust_and_configuration() {
    let home = home();
    let options = ["boot.cpio.zst", "--origin", "http://192.0.2.10:8000", "--on-failure", "poweroff", "--json"];
    let report = json(home.path(), &[&BOOT[..], &options].concat());
    let members = unpack(&home.path().join("boot.cpio.zst"));
    let names: Vec<_> = members.iter().map(|(name, _)| format!("/{name}")).collect();
    let listed: Vec<_> = report["listing"].as_array().unwrap().iter().map(|m| m["path"].as_str().unwrap()).collect();
    assert_eq!(names, listed);
    let file = |path: &str| members.iter().find(|(name, _)| name == path).unwrap().1.as_slice();
    assert_eq!(file("init"), static_program(b"payload"));
    assert_eq!(file("etc/phase/stage"), b"boot\n");
    assert_eq!(file("etc/phase/trust.json"), fs::read(home.path().join("trust.json")).unwrap());
    let config: serde_json::Value = serde_json::from_slice(file("etc/phase/config.json")).unwrap();
    let wanted = serde_json::json!({
        "schema": "phase.config/1", "origins": ["http://192.0.2.10:8000"], "on_failure": "poweroff"
    });
    assert_eq!(config, wanted);
    assert_eq!(report["size"], fs::metadata(home.path().join("boot.cpio.zst")).unwrap().len());
}

#[test]
fn the_locator_and_the_roots_go_along() {
    let home = home();
    let here = home.path();
    succeeds(here, &["keygen", "--no-passphrase", "--out", "locator"]);
    let key = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"];
    let certificate = ["-subj", "/CN=ours", "-days", "2", "-out", "ca.pem"];
    let openssl = Command::new("openssl").arg("req").args(key).args(certificate).current_dir(here).output().unwrap();
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    let config = |options: &[&str]| {
        succeeds(here, &[&BOOT[..], &["out", "--force", "--dht-bootstrap", "192.0.2.1:6881"], options].concat());
        let members = unpack(&here.join("out"));
        let file = |path: &str| members.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.clone());
        let config: serde_json::Value = serde_json::from_slice(&file("etc/phase/config.json").unwrap()).unwrap();
        (config, file("etc/phase/tls-roots.pem"))
    };
    let (of_file, roots) = config(&["--dht-locator", "locator.pub", "--tls-roots", "ca.pem"]);
    assert_eq!(roots.unwrap(), fs::read(here.join("ca.pem")).unwrap());
    let hex = of_file["dht"]["locator"].as_str().unwrap();
    assert_eq!(hex.len(), 64);
    assert_eq!(of_file["dht"]["bootstrap"], serde_json::json!(["192.0.2.1:6881"]));
    assert_eq!(config(&["--dht-locator", hex]), (of_file.clone(), None));
}

#[test]
fn changes_are_kept_where_the_machine_remembers() {
    const STATE: &str = "disk:0B7B5B4E-9A1C-4D7E-8F00-112233445566";
    let home = home();
    succeeds(home.path(), &[&BOOT[..], &["out", "--state", STATE, "--upper", "persistent"]].concat());
    let members = unpack(&home.path().join("out"));
    let (_, config) = members.iter().find(|(name, _)| name == "etc/phase/config.json").unwrap();
    let config: serde_json::Value = serde_json::from_slice(config).unwrap();
    assert_eq!(config["upper"], "persistent");
    assert_eq!(config["state"]["partuuid"], "0b7b5b4e-9a1c-4d7e-8f00-112233445566");
}

#[test]
fn a_root_initramfs_has_the_modules_of_the_set_root() {
    let home = home();
    let report = json(home.path(), &[&ROOT[..], &["--kernel-root", "kernel", "--modules", "root", "--json"]].concat());
    let members = unpack(&home.path().join("root.cpio.zst"));
    for module in ["loop", "squashfs", "overlay"] {
        let (_, bytes) = members.iter().find(|(name, _)| name.ends_with(&format!("/{module}.ko"))).unwrap();
        assert_eq!(bytes, module.as_bytes());
    }
    assert!(members.contains(&("etc/phase/stage".to_owned(), b"root\n".to_vec())), "the stage");
    assert!(report["size"].as_u64() > report["size_without_modules"].as_u64());
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let home = home();
    for name in ["one", "two"] {
        succeeds(home.path(), &[&BOOT[..], &[name]].concat());
    }
    assert_eq!(fs::read(home.path().join("one")).unwrap(), fs::read(home.path().join("two")).unwrap());
}

#[test]
fn what_a_machine_would_refuse_is_not_packed() {
    let home = home();
    fs::write(home.path().join("broken.json"), "{}").unwrap();
    fs::write(home.path().join("script"), "#!/bin/sh\n").unwrap();
    let out = ["--out", "out"];
    let boot = ["image", "initramfs", "--stage", "boot"];
    for (more, status, says) in [
        (&["--init", "init", "--trust", "broken.json"][..], 1, "broken.json"),
        (&["--init", "init", "--trust", "trust.json", "--config", "broken.json"], 1, "broken.json"),
        (&["--init", "script", "--trust", "trust.json"], 1, "script cannot be /init"),
        (&["--init", "init"], 2, "--trust"),
        (&["--init", "init", "--trust", "trust.json", "--origin", "ftp://a"], 2, "ftp://a"),
        (&["--init", "init", "--trust", "trust.json", "--attempts", "0"], 2, "attempts"),
        (
            &["--init", "init", "--trust", "trust.json", "--dht-locator", "d75a"],
            2,
            "neither 64 hex digits nor a public key",
        ),
        (
            &["--init", "init", "--trust", "trust.json", "--dht-locator", "trust.json"],
            2,
            "wanted an Ed25519 public key",
        ),
        (&["--init", "init", "--trust", "trust.json", "--dht-bootstrap", "h:1"], 2, "--dht-locator"),
        (
            &["--init", "init", "--trust", "trust.json", "--dht-locator", LOCATOR, "--dht-bootstrap", "[::1]:6881"],
            2,
            "dht.bootstrap is \"[::1]:6881\", wanted HOST:PORT",
        ),
        (
            &["--init", "init", "--trust", "trust.json", "--tls-roots", "broken.json"],
            1,
            "wanted PEM (BEGIN CERTIFICATE)",
        ),
        (&["--init", "init", "--trust", "trust.json", "--tls-roots", "none.pem"], 1, "none.pem"),
        (&["--init", "init", "--trust", "trust.json", "--modules", "loop"], 2, "--kernel-root"),
        (
            &["--init", "init", "--trust", "trust.json", "--upper", "persistent"],
            2,
            "config.upper is persistent without a disk to keep it on, wanted state on a disk (--state disk:PARTUUID)",
        ),
        (
            &["--init", "init", "--trust", "trust.json", "--state", "tpm", "--upper", "persistent"],
            2,
            "wanted state on a disk",
        ),
        (&["--init", "init", "--trust", "trust.json", "--upper", "tmpfs"], 2, "wanted persistent"),
    ] {
        let error = fails(home.path(), &[&boot[..], &out, more].concat(), status);
        assert!(error.contains(says), "{more:?}: {error}");
    }
    // A file that says everything, and an option that would say it again.
    for option in [["--attempts", "2"], ["--measure", "required"], ["--state", "none"], ["--upper", "persistent"]] {
        let config = ["--init", "init", "--trust", "trust.json", "--config", "broken.json"];
        let error = fails(home.path(), &[&boot[..], &out, &config, &option].concat(), 2);
        assert!(error.contains("cannot be used with"), "{option:?}: {error}");
    }
    let of_stage_one = [
        ["--trust", "trust.json"],
        ["--dht-locator", LOCATOR],
        ["--tls-roots", "broken.json"],
        ["--measure", "always"],
        ["--upper", "persistent"],
    ];
    for option in of_stage_one {
        let error = fails(home.path(), &[&ROOT[..], &option].concat(), 2);
        assert!(error.contains("for --stage boot only") && error.contains(option[0]), "{error}");
    }
    let unknown = ["--kernel-root", "kernel", "--modules", "root,lop"];
    let error = fails(home.path(), &[&ROOT[..], &unknown].concat(), 1);
    assert!(error.contains("lop"), "{error}");
    assert!(!home.path().join("out").exists() && !home.path().join("root.cpio.zst").exists());
}

#[test]
fn an_existing_image_is_kept_unless_forced() {
    let home = home();
    fs::write(home.path().join("mine"), "mine").unwrap();
    let error = fails(home.path(), &[&BOOT[..], &["mine"]].concat(), 1);
    assert!(error.contains("mine exists already"), "{error}");
    assert_eq!(fs::read(home.path().join("mine")).unwrap(), b"mine");
    succeeds(home.path(), &[&BOOT[..], &["mine", "--force"]].concat());
}

#[test]
fn size_fails_above_its_limit() {
    let home = home();
    fs::write(home.path().join("init"), static_program(&noise(40_000))).unwrap();
    let size = ["size", "--init", "init"];
    let report = json(home.path(), &[&size[..], &["--json"]].concat());
    assert_eq!(report["limit"], 1200 * 1024);
    let initramfs = report["initramfs"].as_u64().unwrap();
    assert!((40_000..48_000).contains(&initramfs), "{initramfs}");
    fs::write(home.path().join("less"), static_program(&noise(30_000))).unwrap();
    let report = json(home.path(), &[&size[..], &["--json", "--without", "tls=less"]].concat());
    assert_eq!(report["without"][0]["name"], "tls");
    assert!((9_900..10_100).contains(&(initramfs - report["without"][0]["size"].as_u64().unwrap())), "{report}");
    let error = fails(home.path(), &[&size[..], &["--limit", "39"]].concat(), 1);
    assert!(error.contains(&format!("has {initramfs} bytes, at most 39936")), "{error}");
}
