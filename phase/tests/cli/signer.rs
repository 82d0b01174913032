//! `--signer`: what a command may answer, and that nothing is written unless it is the signature.

use std::{fs, path::Path};

use crate::common::{MANIFEST, command, directory, fails, key, program, publish, release_files, succeeds};
use verify::Envelope;

/// A directory with `manifest.json`, and a key pair `k.pem` and `k.pub` of OpenSSL.
fn home() -> tempfile::TempDir {
    let home = directory();
    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    program(home.path(), "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "k.pem"]);
    program(home.path(), "openssl", &["pkey", "-in", "k.pem", "-pubout", "-out", "k.pub"]);
    home
}

const OPENSSL: &str = "openssl pkeyutl -sign -rawin -inkey k.pem -in /dev/stdin";

fn refused(home: &Path, signer: &str) -> String {
    // Only who never ends is waited for so short a time: OpenSSL may take a second on a busy machine.
    let timeout = if signer.starts_with("exec sleep") { "1" } else { "100" };
    let sign = ["sign", "--signer", signer, "--signer-public", "k.pub", "manifest.json", "--out", "e.json"];
    let error = fails(home, &[&sign[..], &["--signer-timeout", timeout]].concat(), 1);
    assert!(error.contains("the signer"), "{error}");
    assert!(!home.join("e.json").exists(), "{signer}: something was written");
    error
}

#[test]
fn what_is_no_signature_is_refused_and_nothing_is_written() {
    let home = home();
    for (signer, says) in [
        ("exit 3", "failed (exit status: 3)"),
        (&format!("{OPENSSL}; exit 1"), "failed (exit status: 1)"),
        ("no-such-signer", "failed (exit status: 127)"),
        ("true", "gave 0 bytes; wanted a signature"),
        (&format!("{OPENSSL} | head -c 63"), "gave 63 bytes; wanted a signature"),
        ("head -c 64 /dev/zero", "gave a signature that is not one of k.pub"),
        // Of other bytes, and of another key.
        ("openssl pkeyutl -sign -rawin -inkey k.pem -in manifest.json", "gave a signature that is not one of k.pub"),
        (
            "openssl genpkey -algorithm ed25519 -out o.pem && openssl pkeyutl -sign -rawin -inkey o.pem -in /dev/stdin",
            "gave a signature that is not one of k.pub",
        ),
        ("exec sleep 1000", "was stopped after 1 s without an end (--signer-timeout)"),
        ("exec yes", "gave more than 1024 bytes"),
    ] {
        let error = refused(home.path(), signer);
        assert!(error.contains(says), "{signer}: {error}");
    }
}

#[test]
fn every_form_of_a_signature_is_taken() {
    let home = home();
    for form in ["cat", "base64", "base64 -w0", "xxd -p", "xxd -p -c 64 -u"] {
        let signer = format!("{OPENSSL} | {form}");
        let sign =
            ["sign", "--signer", &signer, "--signer-public", "k.pub", "manifest.json", "--out", "e.json", "--force"];
        succeeds(home.path(), &sign);
    }
}

#[test]
fn a_signer_does_not_see_the_passphrase_of_the_keys() {
    let home = home();
    let signer = format!("env > seen; {OPENSSL}");
    let sign = ["sign", "--signer", &signer, "--signer-public", "k.pub", "manifest.json", "--out", "e.json"];
    let status =
        command(home.path(), &sign).envs([("PHASE_PASSPHRASE", "secret"), ("OTHER", "kept")]).status().unwrap();
    assert!(status.success());
    let seen = fs::read_to_string(home.path().join("seen")).unwrap();
    assert!(seen.contains("OTHER=kept") && !seen.contains("PHASE_PASSPHRASE") && !seen.contains("secret"), "{seen}");
}

#[test]
fn signers_and_keys_are_mixed_in_any_number() {
    let home = home();
    key(home.path(), "release");
    program(home.path(), "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "l.pem"]);
    program(home.path(), "openssl", &["pkey", "-in", "l.pem", "-pubout", "-out", "l.pub"]);
    let second = OPENSSL.replace("k.pem", "l.pem");
    let commands = ["--signer", OPENSSL, "--signer-public", "k.pub", "--signer", &second, "--signer-public", "l.pub"];
    let sign = ["sign", "manifest.json", "--out", "e.json", "--key", "release"];
    succeeds(home.path(), &[&sign[..], &commands].concat());
    let envelope = Envelope::parse(&fs::read(home.path().join("e.json")).unwrap()).unwrap();
    assert_eq!(envelope.signatures.len(), 3);

    // A public key for each: their order says whose is whose.
    let swapped = ["--signer", OPENSSL, "--signer-public", "l.pub", "--signer", &second, "--signer-public", "k.pub"];
    let other = ["sign", "manifest.json", "--out", "x.json"];
    let error = fails(home.path(), &[&other[..], &swapped].concat(), 1);
    assert!(error.contains("not one of l.pub"), "{error}");
    let error = fails(home.path(), &[&other[..], &commands[..6]].concat(), 2);
    assert!(error.contains("2 --signer and 1 --signer-public"), "{error}");
    assert!(!home.path().join("x.json").exists());
}

#[test]
fn a_release_whose_signer_fails_does_not_go_live() {
    let home = home();
    release_files(home.path());
    let arguments = publish("1", &["--signer", "exit 1", "--signer-public", "k.pub"]);
    let own = arguments.iter().position(|argument| *argument == "--key").unwrap();
    let without_key = [&arguments[..own], &arguments[own + 2..]].concat();
    let error = fails(home.path(), &without_key, 1);
    assert!(error.contains("the signer \"exit 1\": failed"), "{error}");
    assert!(!crate::common::envelope(home.path()).exists());
    let signed: Vec<_> = without_key.iter().map(|word| if *word == "exit 1" { OPENSSL } else { word }).collect();
    succeeds(home.path(), &signed);
    assert!(crate::common::envelope(home.path()).exists());
}
