//! Keys, trust files and signatures, against OpenSSL.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::common::{MANIFEST, command, directory, fails, json, key, keys_and_trust, phase, program, succeeds, text};
use verify::{Envelope, Manifest, Trust};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_private_key_is_readable_by_its_owner_alone_and_by_openssl() {
    let home = directory();
    let report = json(home.path(), &["keygen", "--out", "keys/release", "--no-passphrase", "--json"]);
    assert_eq!(mode(&home.path().join("keys/release")), 0o600);
    assert_eq!(mode(&home.path().join("keys")), 0o700);
    // The public key that OpenSSL derives from the private one is the file that was written beside it.
    let derived = program(home.path(), "openssl", &["pkey", "-in", "keys/release", "-pubout"]);
    assert_eq!(text(&derived), fs::read_to_string(home.path().join("keys/release.pub")).unwrap());
    // The last 32 bytes of the DER are the raw key (RFC 8410), whose digest is the id.
    let der = program(home.path(), "openssl", &["pkey", "-pubin", "-in", "keys/release.pub", "-outform", "DER"]);
    let id = verify::KeyId::of(der[der.len() - 32..].try_into().unwrap());
    assert_eq!(report["key_id"], id.to_string());
}

#[test]
fn a_person_is_asked_on_the_terminal() {
    let home = directory();
    // `script` gives the command a terminal, and types what it reads.
    let at_a_terminal = |arguments: &str, typed: &str| {
        let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_phase"));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(home.path()).env_remove("PHASE_PASSPHRASE");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), text(&output.stdout))
    };
    let (done, said) = at_a_terminal("keygen --out release", "one\ntwo\n");
    assert!(!done && said.contains("the two passphrases differ"), "{said}");
    assert!(!home.path().join("release").exists());
    let (done, said) = at_a_terminal("keygen --out release", "correct horse\ncorrect horse\n");
    assert!(done && said.contains("New passphrase for release"), "{said}");
    assert!(fs::read_to_string(home.path().join("release")).unwrap().contains("BEGIN ENCRYPTED PRIVATE KEY"));

    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    let sign = "sign --key release manifest.json --out e.json";
    let (done, said) = at_a_terminal(sign, "wrong\n");
    assert!(!done && said.contains("does not open with this passphrase"), "{said}");
    let (done, said) = at_a_terminal(sign, "correct horse\n");
    assert!(done && said.contains("Passphrase of release"), "{said}");
}

#[test]
fn a_private_key_that_others_can_read_is_warned_about() {
    let home = directory();
    key(home.path(), "release");
    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    let warning = |mode| {
        fs::set_permissions(home.path().join("release"), fs::Permissions::from_mode(mode)).unwrap();
        let sign = ["sign", "--key", "release", "manifest.json", "--out", "e.json", "--force"];
        let output = phase(home.path(), &sign);
        assert!(output.status.success());
        text(&output.stderr)
    };
    let said = warning(0o400);
    assert!(!said.contains("warning"), "{said}");
    for mode in [0o640, 0o604] {
        let said = warning(mode);
        assert!(said.contains(&format!("open to others (mode {mode:04o})")) && said.contains("chmod 600"), "{said}");
    }
}

#[test]
fn an_existing_key_is_never_overwritten() {
    let home = directory();
    key(home.path(), "release");
    let before = fs::read(home.path().join("release")).unwrap();
    let error = fails(home.path(), &["keygen", "--out", "release", "--no-passphrase"], 1);
    assert!(error.contains("release exists already"), "{error}");
    assert_eq!(fs::read(home.path().join("release")).unwrap(), before);
    // A public key alone stops it as well, before a private key is written.
    fs::remove_file(home.path().join("release")).unwrap();
    fails(home.path(), &["keygen", "--out", "release", "--no-passphrase"], 1);
    assert!(!home.path().join("release").exists());
}

#[test]
fn a_passphrase_encrypts_the_key_for_us_and_for_openssl() {
    let home = directory();
    let with = |passphrase: &str, arguments: &[&str]| {
        command(home.path(), arguments).env("PHASE_PASSPHRASE", passphrase).output().unwrap()
    };
    assert!(with("correct horse", &["keygen", "--out", "release"]).status.success());
    let pem = fs::read_to_string(home.path().join("release")).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    let openssl = ["pkey", "-in", "release", "-passin", "pass:correct horse", "-pubout"];
    let derived = program(home.path(), "openssl", &openssl);
    assert_eq!(derived, fs::read(home.path().join("release.pub")).unwrap());

    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    let sign = ["sign", "--key", "release", "manifest.json", "--out", "manifest.dsse.json"];
    let wrong = with("wrong", &sign);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("does not open with this passphrase"), "{}", text(&wrong.stderr));
    let nobody = fails(home.path(), &sign, 1);
    assert!(nobody.contains("PHASE_PASSPHRASE"), "{nobody}");
    assert!(!home.path().join("manifest.dsse.json").exists());
    assert!(with("correct horse", &sign).status.success());
}

#[test]
fn signatures_are_added_in_place_and_replaced() {
    let home = directory();
    key(home.path(), "one");
    key(home.path(), "two");
    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    succeeds(home.path(), &["sign", "--key", "one", "manifest.json", "--out", "e.json"]);
    for _ in 0..2 {
        succeeds(home.path(), &["sign", "--key", "two", "--add", "e.json"]);
    }
    let envelope = Envelope::parse(&fs::read(home.path().join("e.json")).unwrap()).unwrap();
    assert_eq!(envelope.signatures.len(), 2);

    let trust = ["trust", "init", "--channel", "demo", "--root-key", "one.pub", "--out", "trust.json"];
    let release = ["--release-key", "one.pub", "two.pub", "--release-threshold", "2"];
    succeeds(home.path(), &[&trust[..], &release[..], &["--allow-shared-key"]].concat());
    let trust = Trust::parse(&fs::read(home.path().join("trust.json")).unwrap()).unwrap();
    assert_eq!(trust.roles.release.signers(&envelope).valid.len(), 2);
    assert_eq!(trust.roles.release.keys()[1].name(), "two");
}

#[test]
fn what_no_machine_would_accept_is_not_signed() {
    let home = directory();
    key(home.path(), "release");
    fs::write(home.path().join("manifest.json"), MANIFEST.replace("\"direct\"", "\"direkt\"")).unwrap();
    let error = fails(home.path(), &["sign", "--key", "release", "manifest.json", "--out", "e.json"], 1);
    assert!(error.contains("direkt") && error.contains("kexec, direct or foreign"), "{error}");
    assert!(!home.path().join("e.json").exists());
    assert!(Manifest::parse(MANIFEST.as_bytes()).is_ok(), "the test's own manifest");
}

#[test]
fn outputs_are_kept_unless_forced() {
    let home = directory();
    keys_and_trust(home.path());
    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    let sign = ["sign", "--key", "release", "manifest.json", "--out", "trust.json"];
    let error = fails(home.path(), &sign, 1);
    assert!(error.contains("trust.json exists already"), "{error}");
    succeeds(home.path(), &[&sign[..], &["--force"]].concat());
}

#[test]
fn wrong_usage_ends_with_2() {
    let home = directory();
    key(home.path(), "release");
    for arguments in [
        &["keygen"][..],
        &["no-such-command"],
        &["sign", "--key", "release", "manifest.json"],
        &["sign", "manifest.json", "--out", "x"],
        &["sign", "--key", "release", "--print-pae", "manifest.json"],
        &["sign", "--signer", "cat", "manifest.json", "--out", "x"],
        &["sign", "--signer-public", "release.pub", "manifest.json", "--out", "x"],
        &["sign", "--key", "release", "--add", "e.json", "manifest.json", "--out", "x"],
        &[
            "trust",
            "init",
            "--channel",
            "No",
            "--root-key",
            "release.pub",
            "--release-key",
            "release.pub",
            "--out",
            "t",
        ],
    ] {
        fails(home.path(), arguments, 2);
    }
    let trust = ["trust", "init", "--channel", "demo", "--root-key", "release.pub", "--release-key", "release.pub"];
    let error = fails(home.path(), &[&trust[..], &["--release-threshold", "2", "--out", "t"]].concat(), 2);
    assert!(error.contains("a threshold of 2 for 1 keys"), "{error}");
}

#[test]
fn every_command_has_help_with_examples() {
    let home = directory();
    for command in [
        &["keygen"][..],
        &["trust", "init"],
        &["sign"],
        &["publish"],
        &["put-live"],
        &["serve"],
        &["image", "initramfs"],
        &["size"],
    ] {
        let output = phase(home.path(), &[command, &["--help"]].concat());
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("Example"), "{command:?}: {}", text(&output.stdout));
    }
}

#[test]
fn a_reader_that_is_gone_is_no_panic() {
    let home = directory();
    let mut command = Command::new(env!("CARGO_BIN_EXE_phase"));
    command.args(["keygen", "--out", "k", "--no-passphrase"]).current_dir(home.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(output.status.code(), Some(141), "{said}");
}
