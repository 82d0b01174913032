//! The signatures of certificates and of handshakes: ECDSA (P-256, P-384), RSA from 2048 to 8192 bits, Ed25519.

use der::asn1::UintRef;
use der::{Decode as _, Reader as _, SliceReader};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Bits that the modulus of an RSA key may have: less is refused by everybody, and more costs a client too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// All of them, and which may prove a server.
pub(super) const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &P256_SHA256,
        &P256_SHA384,
        &P384_SHA256,
        &P384_SHA384,
        &ED25519,
        &PSS_SHA256,
        &PSS_SHA384,
        &PSS_SHA512,
        &PKCS1_SHA256,
        &PKCS1_SHA384,
        &PKCS1_SHA512,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P256_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P384_SHA384]),
        (SignatureScheme::ED25519, &[&ED25519]),
        (SignatureScheme::RSA_PSS_SHA256, &[&PSS_SHA256]),
        (SignatureScheme::RSA_PSS_SHA384, &[&PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA512, &[&PSS_SHA512]),
        // For certificates alone: TLS 1.3 has none of these in a handshake.
        (SignatureScheme::RSA_PKCS1_SHA256, &[&PKCS1_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[&PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[&PKCS1_SHA512]),
    ],
};

static P256_SHA256: Algorithm = Algorithm(Family::P256, Hash::Sha256, alg_id::ECDSA_P256, alg_id::ECDSA_SHA256);
static P256_SHA384: Algorithm = Algorithm(Family::P256, Hash::Sha384, alg_id::ECDSA_P256, alg_id::ECDSA_SHA384);
static P384_SHA256: Algorithm = Algorithm(Family::P384, Hash::Sha256, alg_id::ECDSA_P384, alg_id::ECDSA_SHA256);
static P384_SHA384: Algorithm = Algorithm(Family::P384, Hash::Sha384, alg_id::ECDSA_P384, alg_id::ECDSA_SHA384);
static ED25519: Algorithm = Algorithm(Family::Ed25519, Hash::Sha512, alg_id::ED25519, alg_id::ED25519);
static PSS_SHA256: Algorithm = Algorithm(Family::Pss, Hash::Sha256, alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA256);
static PSS_SHA384: Algorithm = Algorithm(Family::Pss, Hash::Sha384, alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA384);
static PSS_SHA512: Algorithm = Algorithm(Family::Pss, Hash::Sha512, alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA512);
static PKCS1_SHA256: Algorithm =
    Algorithm(Family::Pkcs1, Hash::Sha256, alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256);
static PKCS1_SHA384: Algorithm =
    Algorithm(Family::Pkcs1, Hash::Sha384, alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA384);
static PKCS1_SHA512: Algorithm =
    Algorithm(Family::Pkcs1, Hash::Sha512, alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA512);

/// How it is signed, what of, and the names of the key's and of the signature's algorithm.
#[derive(Debug)]
struct Algorithm(Family, Hash, AlgorithmIdentifier, AlgorithmIdentifier);

#[derive(Debug, Clone, Copy)]
enum Family {
    P256,
    P384,
    Ed25519,
    Pkcs1,
    /// With a salt as long as the hash (RFC 8446, section 4.2.3).
    Pss,
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let &Self(family, hash, ..) = self;
        let good = match family {
            Family::P256 => p256_good(key, &hash.of(message), signature),
            Family::P384 => p384_good(key, &hash.of(message), signature),
            Family::Ed25519 => ed25519_good(key, message, signature),
            Family::Pkcs1 | Family::Pss => rsa_good(family, hash, key, message, signature),
        };
        good.ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.2
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.3
    }
}

fn p256_good(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    let [r, s] = integers(signature)?;
    let signature = p256::ecdsa::Signature::from_scalars(padded::<32>(r)?, padded::<32>(s)?).ok()?;
    key.verify_prehash(hash, &signature).ok()
}

fn p384_good(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    let [r, s] = integers(signature)?;
    let signature = p384::ecdsa::Signature::from_scalars(padded::<48>(r)?, padded::<48>(s)?).ok()?;
    key.verify_prehash(hash, &signature).ok()
}

fn ed25519_good(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_slice(signature).ok()?).ok()
}

fn rsa_good(family: Family, hash: Hash, key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let [modulus, exponent] = integers(key)?;
    let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
    let key = RsaPublicKey::new_with_size_limits(number(modulus), number(exponent), RSA_BITS).ok()?;
    let digest = hash.of(message);
    match (family, hash) {
        (Family::Pss, Hash::Sha256) => key.verify(Pss::<Sha256>::new(), &digest, signature),
        (Family::Pss, Hash::Sha384) => key.verify(Pss::<Sha384>::new(), &digest, signature),
        (Family::Pss, Hash::Sha512) => key.verify(Pss::<Sha512>::new(), &digest, signature),
        (_, Hash::Sha256) => key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature),
        (_, Hash::Sha384) => key.verify(Pkcs1v15Sign::new::<Sha384>(), &digest, signature),
        (_, Hash::Sha512) => key.verify(Pkcs1v15Sign::new::<Sha512>(), &digest, signature),
    }
    .ok()
}

/// The two numbers of an ECDSA signature (RFC 5480, appendix A) or of an RSA key (RFC 8017, appendix A.1.1): DER of a
/// sequence of two unsigned integers, and nothing after it.
fn integers(bytes: &[u8]) -> Option<[&[u8]; 2]> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let two = reader.sequence(|inside| {
        let two = [UintRef::decode(inside)?.as_bytes(), UintRef::decode(inside)?.as_bytes()];
        Ok::<_, der::Error>(two)
    });
    reader.finish().ok()?;
    two.ok()
}

/// With zeros in front.
fn padded<const BYTES: usize>(number: &[u8]) -> Option<[u8; BYTES]> {
    let mut padded = [0; BYTES];
    padded.get_mut(BYTES.checked_sub(number.len())?..)?.copy_from_slice(number);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DER of a sequence of two integers, whose bytes are taken as they are.
    fn sequence(integers: [&[u8]; 2]) -> Vec<u8> {
        let one = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            let head = match length {
                [0, short @ ..128] => vec![tag, short],
                [0, long] => vec![tag, 0x81, long],
                [high, low] => vec![tag, 0x82, high, low],
            };
            [head, content.to_vec()].concat()
        };
        one(0x30, &[one(2, integers[0]), one(2, integers[1])].concat())
    }

    /// With the zero that keeps a number from being negative.
    fn positive(number: &[u8]) -> Vec<u8> {
        [&[0], number].concat()
    }

    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    /// RFC 6979, appendix A.2.5: the key, and the signature of "sample" with SHA-256.
    const KEY: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                       7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    const R: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
    const S: &str = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn good(algorithm: &Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        algorithm.verify_signature(key, message, signature).is_ok()
    }

    #[test]
    fn an_ecdsa_signature_of_the_rfc_is_good_and_its_neighbours_are_not() {
        let (key, r, s) = (bytes(KEY), positive(&bytes(R)), positive(&bytes(S)));
        let signature = sequence([&r, &s]);
        assert!(good(&P256_SHA256, &key, b"sample", &signature));
        assert!(!good(&P256_SHA256, &key, b"simple", &signature), "another message");
        assert!(!good(&P256_SHA384, &key, b"sample", &signature), "another hash");
        assert!(!good(&P384_SHA256, &key, b"sample", &signature), "another curve");
        for at in 0..key.len() {
            let mut key = key.clone();
            key[at] ^= 1;
            assert!(!good(&P256_SHA256, &key, b"sample", &signature), "bit in byte {at} of the key");
        }
        for at in 0..signature.len() {
            let mut signature = signature.clone();
            signature[at] ^= 1;
            assert!(!good(&P256_SHA256, &key, b"sample", &signature), "bit in byte {at} of the signature");
        }
    }

    #[test]
    fn ecdsa_signatures_out_of_range_or_form_are_refused() {
        let (key, r, s) = (bytes(KEY), positive(&bytes(R)), positive(&bytes(S)));
        let order = positive(&bytes(ORDER));
        let wrong = [
            ("r is 0", sequence([&[0], &s])),
            ("s is 0", sequence([&r, &[0]])),
            ("both are 0", sequence([&[0], &[0]])),
            ("r is the order", sequence([&order, &s])),
            ("s is the order", sequence([&r, &order])),
            ("r is negative", sequence([&r[1..], &s])),
            ("r has a zero too many", sequence([&positive(&r), &s])),
            ("r is longer than the curve", sequence([&[&[1], &r[1..]].concat(), &s])),
            ("bytes follow", [sequence([&r, &s]), vec![0]].concat()),
            ("nothing", Vec::new()),
            ("raw", [&r[1..], &s[1..]].concat()),
        ];
        for (what, signature) in wrong {
            assert!(!good(&P256_SHA256, &key, b"sample", &signature), "{what}");
        }
        for key in [&[][..], &[0], &[4], &key[1..], &[&[4][..], &[0; 64]].concat()] {
            assert!(!good(&P256_SHA256, key, b"sample", &sequence([&r, &s])), "{key:x?}");
        }
    }

    /// What PKCS #1 1.5 wants to see under a signature with SHA-256 (RFC 8017, section 9.2).
    fn encoded(message: &[u8], length: usize) -> Vec<u8> {
        let name = bytes("3031300d060960864801650304020105000420");
        let tail = [&[0], &name[..], &Sha256::digest(message)].concat();
        [&[0, 1], &vec![0xff; length - 2 - tail.len()][..], &tail].concat()
    }

    #[test]
    fn rsa_keys_that_sign_anything_or_cost_too_much_are_refused() {
        let modulus = |length: usize| positive(&vec![0xff; length]);
        // With the exponent 1 whatever is wanted is its own signature.
        let signature = encoded(b"sample", 256);
        assert!(!good(&PKCS1_SHA256, &sequence([&modulus(256), &[1]]), b"sample", &signature), "exponent 1");
        assert!(!good(&PKCS1_SHA256, &sequence([&modulus(256), &[0]]), b"sample", &signature), "exponent 0");
        let mut even = modulus(256);
        even[256] = 0xfe;
        assert!(!good(&PKCS1_SHA256, &sequence([&even, &[3]]), b"sample", &signature), "an even modulus");
        for length in [0, 1, 128, 255, 1025, 60_000] {
            let key = sequence([&modulus(length), &[1, 0, 1]]);
            assert!(!good(&PKCS1_SHA256, &key, b"sample", &vec![1; length]), "{length} bytes");
            assert!(!good(&PSS_SHA256, &key, b"sample", &vec![1; length]), "{length} bytes");
        }
        for length in [0, 255, 256, 257, 60_000] {
            let key = sequence([&modulus(256), &[1, 0, 1]]);
            assert!(!good(&PKCS1_SHA256, &key, b"sample", &vec![0xff; length]), "a signature of {length} bytes");
            assert!(!good(&PSS_SHA256, &key, b"sample", &vec![0xff; length]), "a signature of {length} bytes");
        }
    }
}
