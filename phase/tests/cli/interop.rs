//! Keys and signatures of other programs, with those programs: OpenSSL, OpenSSH, minisign, signify, securesystemslib and
//! a PKCS#11 token. Each is a package of the Makefile's; one that is missing fails its test by name.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use data_encoding::{BASE64, HEXLOWER};
use verify::{Envelope, KeyId, Trust, dsse};

use crate::common::{MANIFEST, command, directory, fails, json, program, succeeds, text};

const PASSPHRASE: &str = "correct horse";

/// A directory with `manifest.json`.
fn home() -> tempfile::TempDir {
    let home = directory();
    fs::write(home.path().join("manifest.json"), MANIFEST).unwrap();
    home
}

fn envelope(home: &Path) -> Envelope {
    Envelope::parse(&fs::read(home.join("e.json")).unwrap()).unwrap()
}

/// `phase sign` with a passphrase in the environment.
fn sign(home: &Path, key: &str, passphrase: &str) -> Output {
    command(home, &["sign", "--key", key, "manifest.json", "--out", "e.json", "--force"])
        .env("PHASE_PASSPHRASE", passphrase)
        .output()
        .unwrap()
}

/// What OpenSSL says of a signature by the raw key `public` over `message`.
fn openssl_accepts(home: &Path, public: &[u8], message: &[u8], sig: &[u8]) -> bool {
    // RFC 8410: the SPKI of Ed25519 is this prefix and the raw key.
    let spki = [&HEXLOWER.decode(b"302a300506032b6570032100").unwrap(), public].concat();
    for (name, bytes) in [("spki", &spki[..]), ("pae", message), ("sig", sig)] {
        fs::write(home.join(name), bytes).unwrap();
    }
    let verify = "pkeyutl -verify -pubin -keyform DER -inkey spki -rawin -in pae -sigfile sig";
    let output = Command::new("openssl").args(verify.split(' ')).current_dir(home).output().unwrap();
    output.status.success() && text(&output.stdout).contains("Verified Successfully")
}

/// Signs with `key`, and has the result checked by OpenSSL and by ourselves against what the program that made the key
/// says its public half is: `public_file`, with the raw key at the end of the first long word of base64.
fn works(home: &Path, key: &str, public_file: &str, passphrase: &str) {
    let output = sign(home, key, passphrase);
    assert!(output.status.success(), "{key}: {}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(!said.contains("warning"), "{key}: {said}");
    let public = fs::read_to_string(home.join(public_file)).unwrap();
    let word = public.split_whitespace().find(|word| word.len() > 50).unwrap();
    let blob = BASE64.decode(word.as_bytes()).unwrap();
    let raw: &[u8; 32] = blob.last_chunk().unwrap();

    let envelope = envelope(home);
    let (pae, sig) = (envelope.pae(), envelope.signatures[0].sig);
    assert_eq!(envelope.signatures[0].keyid, KeyId::of(raw), "{key}");
    assert!(openssl_accepts(home, raw, &pae, &sig), "{key}");
    assert_flips_are_refused(&pae, |pae| openssl_accepts(home, raw, pae, &sig));
    assert_flips_are_refused(&sig, |sig| openssl_accepts(home, raw, &pae, sig));

    let trust = ["trust", "init", "--channel", "demo", "--root-key", public_file, "--release-key", public_file];
    succeeds(home, &[&trust[..], &["--allow-shared-key", "--out", "trust.json", "--force"]].concat());
    let trust = Trust::parse(&fs::read(home.join("trust.json")).unwrap()).unwrap();
    assert_eq!(trust.roles.release.signers(&envelope).valid, [KeyId::of(raw)], "{key}");
}

/// One bit in the first, the middle and the last byte.
fn assert_flips_are_refused(bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    for index in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.to_vec();
        flipped[index] ^= 1;
        assert!(!accepts(&flipped), "a flipped bit in byte {index} was accepted");
    }
}

/// The key opens with its passphrase alone.
fn wants_its_passphrase(home: &Path, key: &str) {
    let wrong = sign(home, key, "wrong");
    assert_eq!(wrong.status.code(), Some(1));
    let said = text(&wrong.stderr);
    assert!(said.contains(&format!("{key}: the key does not open with this passphrase")), "{said}");
    let nobody = fails(home, &["sign", "--key", key, "manifest.json", "--out", "e.json", "--force"], 1);
    assert!(nobody.contains("a passphrase is needed") && nobody.contains("PHASE_PASSPHRASE"), "{nobody}");
}

#[test]
fn openssh_keys_sign() {
    let home = home();
    for (name, passphrase) in [("plain", ""), ("locked", PASSPHRASE)] {
        let keygen = ["-q", "-t", "ed25519", "-N", passphrase, "-C", "ada@example", "-f", name];
        program(home.path(), "ssh-keygen", &keygen);
        works(home.path(), name, &format!("{name}.pub"), PASSPHRASE);
    }
    wants_its_passphrase(home.path(), "locked");
}

/// Runs a program that asks for a passphrase twice.
fn asks_twice(home: &Path, name: &str, arguments: &[&str]) {
    let mut child = Command::new(name)
        .args(arguments)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    child.stdin.take().unwrap().write_all(format!("{PASSPHRASE}\n{PASSPHRASE}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
}

#[test]
fn minisign_keys_sign() {
    let home = home();
    program(home.path(), "minisign", &["-G", "-W", "-p", "plain.pub", "-s", "plain"]);
    works(home.path(), "plain", "plain.pub", PASSPHRASE);
    asks_twice(home.path(), "minisign", &["-G", "-p", "locked.pub", "-s", "locked"]);
    works(home.path(), "locked", "locked.pub", PASSPHRASE);
    wants_its_passphrase(home.path(), "locked");
}

#[test]
fn signify_keys_sign_and_signify_accepts_the_signature() {
    let home = home();
    program(home.path(), "signify-openbsd", &["-G", "-n", "-p", "plain.pub", "-s", "plain.sec"]);
    works(home.path(), "plain.sec", "plain.pub", PASSPHRASE);
    asks_twice(home.path(), "signify-openbsd", &["-G", "-p", "locked.pub", "-s", "locked.sec"]);
    works(home.path(), "locked.sec", "locked.pub", PASSPHRASE);
    wants_its_passphrase(home.path(), "locked.sec");

    // Its signature files: a comment, then kind, the key's number, and the signature.
    sign(home.path(), "locked.sec", PASSPHRASE);
    let envelope = envelope(home.path());
    let public = fs::read_to_string(home.path().join("locked.pub")).unwrap();
    let kind_and_number = &BASE64.decode(public.lines().nth(1).unwrap().as_bytes()).unwrap()[..10];
    let accepts = |message: &[u8]| {
        let sig = BASE64.encode(&[kind_and_number, &envelope.signatures[0].sig].concat());
        fs::write(home.path().join("sig"), format!("untrusted comment: a release\n{sig}\n")).unwrap();
        fs::write(home.path().join("pae"), message).unwrap();
        let verify = "-V -p locked.pub -x sig -m pae".split(' ');
        Command::new("signify-openbsd").args(verify).current_dir(home.path()).output().unwrap().status.success()
    };
    assert!(accepts(&envelope.pae()));
    assert_flips_are_refused(&envelope.pae(), accepts);
}

#[test]
fn keys_of_other_kinds_are_refused_by_name() {
    let home = home();
    let openssl = |arguments: &str| program(home.path(), "openssl", &arguments.split(' ').collect::<Vec<_>>());
    openssl("genpkey -algorithm rsa -out rsa");
    openssl("pkey -in rsa -pubout -out rsa.pub");
    openssl("genpkey -algorithm x25519 -out x25519");
    openssl("ecparam -genkey -name prime256v1 -out sec1");
    openssl("pkcs8 -topk8 -nocrypt -in sec1 -out ecdsa");
    let ssh = |kind: &str, file: &str| {
        // The kind is known before the passphrase is: nobody is asked for nothing.
        program(home.path(), "ssh-keygen", &["-q", "-t", kind, "-N", PASSPHRASE, "-f", file]);
    };
    ssh("rsa", "ssh-rsa");
    ssh("ecdsa", "ssh-ecdsa");
    for (key, says) in [
        ("rsa", "of kind RSA"),
        ("x25519", "of kind X25519"),
        ("ecdsa", "of kind ECDSA"),
        ("sec1", "\"EC PARAMETERS\""),
        ("rsa.pub", "\"PUBLIC KEY\""),
        ("ssh-rsa", "of kind ssh-rsa"),
        ("ssh-ecdsa", "of kind ecdsa-sha2-nistp256"),
        ("ssh-rsa.pub", "an OpenSSH public key"),
        ("manifest.json", "a text of another kind"),
    ] {
        let error = fails(home.path(), &["sign", "--key", key, "manifest.json", "--out", "e.json"], 1);
        assert!(error.contains(says) && error.contains("Ed25519"), "{key}: {error}");
    }
    assert!(!home.path().join("e.json").exists());

    let sk = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t ada\n";
    fs::write(home.path().join("sk.pub"), sk).unwrap();
    for (key, says) in [
        ("rsa.pub", "of kind RSA"),
        ("ssh-rsa.pub", "of kind \"ssh-rsa\""),
        ("ssh-ecdsa.pub", "of kind \"ecdsa-sha2-nistp256\""),
        ("sk.pub", "of kind \"sk-ssh-ed25519@openssh.com\""),
        ("rsa", "\"PRIVATE KEY\""),
    ] {
        let init = ["trust", "init", "--channel", "demo", "--root-key", key, "--release-key", key, "--out", "t.json"];
        let error = fails(home.path(), &init, 1);
        assert!(error.contains(says) && error.contains("Ed25519"), "{key}: {error}");
    }
    assert!(!home.path().join("t.json").exists());
}

#[test]
fn openssl_signs_what_print_pae_prints() {
    let home = home();
    program(home.path(), "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "k.pem"]);
    program(home.path(), "openssl", &["pkey", "-in", "k.pem", "-pubout", "-out", "k.pub"]);
    // Away from the file: the bytes are carried to the key and the signature back.
    let pae = command(home.path(), &["sign", "--print-pae", "manifest.json"]).output().unwrap().stdout;
    assert_eq!(pae, dsse::pae(dsse::MANIFEST_TYPE, MANIFEST.as_bytes()));
    fs::write(home.path().join("pae"), &pae).unwrap();
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "k.pem", "-in", "pae", "-out", "sig"];
    program(home.path(), "openssl", &sign);
    let carried = ["sign", "--signer", "cat sig", "--signer-public", "k.pub", "manifest.json", "--out", "carried.json"];
    succeeds(home.path(), &carried);
    // In one go; Ed25519 gives the same signature.
    let openssl = "openssl pkeyutl -sign -rawin -inkey k.pem -in /dev/stdin | base64";
    let direct = ["sign", "--signer", openssl, "--signer-public", "k.pub", "manifest.json", "--out", "e.json"];
    succeeds(home.path(), &direct);
    let carried = fs::read(home.path().join("carried.json")).unwrap();
    assert_eq!(carried, fs::read(home.path().join("e.json")).unwrap());
    // The same key as a file of ours.
    succeeds(home.path(), &["sign", "--key", "k.pem", "manifest.json", "--out", "own.json"]);
    assert_eq!(carried, fs::read(home.path().join("own.json")).unwrap());
}

#[test]
fn a_token_signs_through_pkcs11() {
    let home = home();
    let conf = format!("directories.tokendir = {}\nobjectstore.backend = file\n", home.path().display());
    fs::write(home.path().join("softhsm2.conf"), conf).unwrap();
    let conf = home.path().join("softhsm2.conf");
    let run = |name: &str, arguments: &str| {
        let mut command = Command::new(name);
        command.args(arguments.split(' ')).env("SOFTHSM2_CONF", &conf).current_dir(home.path());
        let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(output.status.success(), "{name} {arguments}: {}", text(&output.stderr));
    };
    let tool = "--module /usr/lib/softhsm/libsofthsm2.so --token-label release --id 01";
    run("softhsm2-util", "--init-token --free --label release --so-pin 0000 --pin 1234");
    run("pkcs11-tool", &format!("{tool} --login --pin 1234 --keypairgen --key-type EC:edwards25519"));
    run("pkcs11-tool", &format!("{tool} --read-object --type pubkey --output-file token.pub"));
    let signer = format!("pkcs11-tool {tool} --login --pin 1234 --sign --mechanism EDDSA");
    let sign = ["sign", "--signer", &signer, "--signer-public", "token.pub", "manifest.json", "--out", "e.json"];
    let output = command(home.path(), &sign).env("SOFTHSM2_CONF", &conf).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let der = program(home.path(), "openssl", &["pkey", "-pubin", "-in", "token.pub", "-outform", "DER"]);
    let envelope = envelope(home.path());
    let raw = der.last_chunk::<32>().unwrap();
    assert!(openssl_accepts(home.path(), raw, &envelope.pae(), &envelope.signatures[0].sig));
}

/// securesystemslib in its own environment, which the Makefile makes.
fn securesystemslib(home: &Path, arguments: &[&str]) -> Output {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = crate_root.parent().unwrap().join("build/securesystemslib/bin/python");
    assert!(python.exists(), "{} is missing: make dsse-peer", python.display());
    let script = crate_root.join("tests/cli/dsse_peer.py");
    Command::new(python).arg(script).args(arguments).current_dir(home).output().unwrap()
}

#[test]
fn securesystemslib_verifies_our_envelopes() {
    let home = home();
    let report = json(home.path(), &["keygen", "--out", "release", "--no-passphrase", "--json"]);
    let id = report["key_id"].as_str().unwrap();
    succeeds(home.path(), &["sign", "--key", "release", "manifest.json", "--out", "e.json"]);
    let accepts = |envelope: &Envelope| {
        fs::write(home.path().join("altered.json"), envelope.to_json().unwrap()).unwrap();
        let output = securesystemslib(home.path(), &["verify", "altered.json", "release.pub", id]);
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        assert!(said == format!("accepted {id}\n") || error.starts_with("refused: "), "{said}{error}");
        output.status.success()
    };
    let envelope = envelope(home.path());
    assert!(accepts(&envelope));
    let with_payload = |payload: &[u8]| Envelope { payload: payload.to_vec(), ..envelope.clone() };
    assert_flips_are_refused(&envelope.payload, |payload| accepts(&with_payload(payload)));
    let mut flipped = envelope.clone();
    flipped.signatures[0].sig[63] ^= 1;
    assert!(!accepts(&flipped));
    let other_type = Envelope { payload_type: dsse::TRUST_TYPE.to_owned(), ..envelope.clone() };
    assert!(!accepts(&other_type));
}

#[test]
fn we_verify_the_envelopes_of_securesystemslib() {
    let home = home();
    let report = json(home.path(), &["keygen", "--out", "release", "--no-passphrase", "--json"]);
    let id = report["key_id"].as_str().unwrap();
    let trust = ["trust", "init", "--channel", "demo", "--root-key", "release.pub", "--release-key", "release.pub"];
    succeeds(home.path(), &[&trust[..], &["--allow-shared-key", "--out", "trust.json"]].concat());
    let trust = Trust::parse(&fs::read(home.path().join("trust.json")).unwrap()).unwrap();
    let made = |keyid: &str| {
        let arguments = ["sign", "manifest.json", dsse::MANIFEST_TYPE, "release", keyid, "e.json"];
        let output = securesystemslib(home.path(), &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout).trim().to_owned(), envelope(home.path()))
    };

    let (_, envelope) = made(id);
    assert_eq!(envelope.payload, MANIFEST.as_bytes());
    let key = trust.roles.release.keys()[0].id();
    assert_eq!(trust.roles.release.signers(&envelope).valid, [key]);
    let mut flipped = envelope.clone();
    flipped.payload[100] ^= 1;
    assert_eq!(trust.roles.release.signers(&flipped).bad, [key]);
    // DSSE leaves key ids open. Under the library's own name the same key is one that we do not know.
    let (own, envelope) = made("-");
    assert_ne!(own, id);
    let signers = trust.roles.release.signers(&envelope);
    assert_eq!((signers.valid.len(), signers.unknown[0].to_string()), (0, own));
    // Its base64 is ours: standard, padded. Without padding, or in the alphabet for URLs, we say what is wanted.
    let (_, envelope) = made(id);
    let sig = BASE64.encode(&envelope.signatures[0].sig);
    let wire = fs::read_to_string(home.path().join("e.json")).unwrap();
    assert!(wire.contains(&sig) && sig.ends_with("=="));
    let unpadded = wire.replace(&sig, sig.trim_end_matches('='));
    let error = Envelope::parse(unpadded.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("envelope.signatures[0].sig is ") && error.contains("with padding"), "{error}");
}
