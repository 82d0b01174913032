//! Forms that need no other program; those of OpenSSL, OpenSSH, minisign and signify are in tests/cli/.

use super::*;

/// RFC 8032, 7.1, TEST 1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn no_passphrase() -> anyhow::Result<Zeroizing<String>> {
    panic!("a key without a passphrase asks for none")
}

fn private(bytes: &[u8]) -> anyhow::Result<PrivateKey> {
    PrivateKey::parse(bytes, &no_passphrase)
}

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", private(bytes).err().unwrap())
}

fn refused_public(bytes: &[u8]) -> String {
    format!("{:#}", PublicKey::parse(bytes).unwrap_err())
}

#[test]
fn id_is_the_digest_of_the_raw_key() {
    // The digest is `xxd -r -p | sha256sum` of the public key.
    let key = private(&hex(SEED)).unwrap();
    assert_eq!(key.public().hex(), PUBLIC);
    assert_eq!(key.public().id().to_string(), "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9");
}

#[test]
fn a_raw_key_may_bring_its_public_half_if_it_is_its_own() {
    let mut pair = [hex(SEED), hex(PUBLIC)].concat();
    assert_eq!(private(&pair).unwrap().public().hex(), PUBLIC);
    pair[63] ^= 1;
    assert!(refused(&pair).contains("not a seed and its public key"), "{}", refused(&pair));
    assert!(refused(&[0xff; 33]).contains("33 bytes that are no text"));
}

#[test]
fn a_public_key_is_read_in_its_short_forms() {
    let wanted = private(&hex(SEED)).unwrap().public();
    for form in [hex(PUBLIC), PUBLIC.as_bytes().to_vec(), format!("{}\n", PUBLIC.to_uppercase()).into_bytes()] {
        assert_eq!(PublicKey::parse(&form).unwrap(), wanted);
    }
    // The last byte of 2 makes a y that no x belongs to.
    assert!(refused_public(&[[2].as_slice(), &[0; 31]].concat()).contains("no point of the curve"));
    assert!(refused_public(b"hello").contains("a text of another kind"));
    assert!(refused_public(b"").contains("an empty file"));
}

#[test]
fn the_two_halves_are_not_taken_for_each_other() {
    let key = PrivateKey::generate().unwrap();
    assert!(refused(key.public().to_pem().unwrap().as_bytes()).contains("\"PUBLIC KEY\""));
    assert!(refused_public(key.to_pem(None).unwrap().as_bytes()).contains("\"PRIVATE KEY\""));
    assert!(refused(PUBLIC.as_bytes()).contains("this is 64 hex digits"));
    assert!(refused(b"ssh-ed25519 AAAA me").contains("an OpenSSH public key"));
    assert!(refused_public(b"-----BEGIN OPENSSH PRIVATE KEY-----\n").contains("this is a private key"));
}

#[test]
fn errors_do_not_show_the_file() {
    let secret = "correct horse battery staple";
    assert!(!refused(secret.as_bytes()).contains("horse"));
    assert!(!refused_public(secret.as_bytes()).contains("horse"));
}

#[test]
fn a_key_that_lives_in_a_fido_token_is_refused_by_name() {
    use ssh_key::{LineEnding, private, public};
    let public = public::SkEd25519::new(public::Ed25519PublicKey([7; 32]), "ssh:");
    let handle = private::KeypairData::SkEd25519(private::SkEd25519::new(public, 1, vec![9; 64]).unwrap());
    let file = ssh_key::PrivateKey::new(handle, "ada").unwrap().to_openssh(LineEnding::LF).unwrap();
    let message = refused(file.as_bytes());
    assert!(message.contains("of kind sk-ssh-ed25519@openssh.com"), "{message}");
}
