//! Known answers: what others published about Ed25519, run through the one function that decides about a signature,
//! [`PublicKey::verifies`], and the one that decides about a key, [`PublicKey::new`].

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::expect_used)]

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use serde::Deserialize;
use verify::PublicKey;

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).expect("hex")
}

fn key(hex: &str) -> Option<PublicKey> {
    PublicKey::new(&bytes(hex).try_into().ok()?, "a test vector").ok()
}

/// What a machine makes of a signature that has any length: only 64 bytes reach the check (`verify::dsse`).
fn accepted(key: Option<&PublicKey>, message: &str, signature: &str) -> bool {
    let Ok(signature) = bytes(signature).try_into() else { return false };
    key.is_some_and(|key| key.verifies(&bytes(message), &signature))
}

#[derive(Deserialize)]
struct Wycheproof {
    #[serde(rename = "numberOfTests")]
    number_of_tests: usize,
    #[serde(rename = "testGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "publicKey")]
    key: GroupKey,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct GroupKey {
    pk: String,
}

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "tcId")]
    id: u32,
    comment: String,
    msg: String,
    sig: String,
    result: String,
}

#[test]
fn wycheproof_s_vectors_get_the_verdict_that_they_name() {
    let file: Wycheproof = serde_json::from_str(include_str!("vectors/wycheproof-ed25519.json")).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &file.groups {
        let key = key(&group.key.pk);
        assert!(key.is_some(), "{}: Wycheproof has no bad keys in this file", group.key.pk);
        for case in &group.tests {
            let wanted = match case.result.as_str() {
                "valid" => true,
                "invalid" => false,
                // An "acceptable" one would need a decision of ours and its reason; this version of the file has none.
                other => panic!("case {}: nobody decided about {other:?}", case.id),
            };
            let seen = accepted(key.as_ref(), &case.msg, &case.sig);
            assert_eq!(seen, wanted, "case {}: {}", case.id, case.comment);
            *(if wanted { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!((valid, invalid, file.number_of_tests), (88, 63, 151));
}

#[derive(Deserialize)]
struct Rfc8032 {
    name: String,
    secret: String,
    public: String,
    message: String,
    signature: String,
}

#[test]
fn rfc_8032_s_vectors_verify_and_are_what_its_keys_sign() {
    let vectors: Vec<Rfc8032> = serde_json::from_str(include_str!("vectors/rfc8032.json")).unwrap();
    let names: Vec<_> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    assert_eq!(names, ["TEST 1", "TEST 2", "TEST 3", "TEST 1024", "TEST SHA(abc)"]);
    for Rfc8032 { name, secret, public, message, signature } in &vectors {
        let secret = SigningKey::from_bytes(&bytes(secret).try_into().unwrap());
        assert_eq!(HEXLOWER.encode(secret.verifying_key().as_bytes()), *public, "{name}");
        assert_eq!(HEXLOWER.encode(&secret.sign(&bytes(message)).to_bytes()), *signature, "{name}");
        assert!(accepted(key(public).as_ref(), message, signature), "{name}");
    }
}

/// The points whose order divides 8, in every encoding that decodes to one: with such a key, one signature fits many
/// messages. The last six write a coordinate of p or more, or a sign for x = 0.
const SMALL_ORDER: [(&str, &str); 14] = [
    ("0100000000000000000000000000000000000000000000000000000000000000", "the neutral element"),
    ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "order 2"),
    ("0000000000000000000000000000000000000000000000000000000000000000", "order 4"),
    ("0000000000000000000000000000000000000000000000000000000000000080", "order 4"),
    ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "order 8"),
    ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "order 8"),
    ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "order 8"),
    ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", "order 8"),
    ("0100000000000000000000000000000000000000000000000000000000000080", "the neutral element, x = -0"),
    ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "order 2, x = -0"),
    ("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "order 4, y = p"),
    ("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "order 4, y = p"),
    ("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "the neutral element, y = p + 1"),
    ("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "the neutral element, y = p + 1, x = -0"),
];

#[test]
fn keys_of_small_order_are_none() {
    for (public, why) in SMALL_ORDER {
        let refused = PublicKey::new(&bytes(public).try_into().unwrap(), "small").expect_err(why).to_string();
        assert!(refused.ends_with("wanted the canonical form of an Ed25519 public key that is not of small order"));
    }
}

#[test]
fn keys_in_a_second_encoding_are_none() {
    // y = p + 3 stands for y = 3 and y = p + 4 for y = 4, each a point of large order: one key, two ids.
    for (canonical, second) in [("03", "f0"), ("04", "f1")] {
        assert!(key(&format!("{canonical}{}", "00".repeat(31))).is_some(), "{canonical} is a point");
        assert!(key(&format!("{second}{}7f", "ff".repeat(30))).is_none(), "{second} is the same point again");
    }
}

#[test]
fn signatures_with_an_r_of_small_order_are_refused_whoever_signs() {
    // R = -kA + sB of small order can be made by the holder of the key alone; it is refused all the same, because
    // others who verify do not agree about it. For each encoding: not accepted, whatever s is.
    let signer = SigningKey::from_bytes(&[7; 32]);
    let public = key(&HEXLOWER.encode(signer.verifying_key().as_bytes())).unwrap();
    for (r, why) in SMALL_ORDER {
        let s = HEXLOWER.encode(&signer.sign(b"message").to_bytes()[32..]);
        for s in [s, "00".repeat(32)] {
            assert!(!accepted(Some(&public), &HEXLOWER.encode(b"message"), &format!("{r}{s}")), "{why}");
        }
    }
}

#[test]
fn s_has_one_form() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let signer = SigningKey::from_bytes(&[7; 32]);
    let public = PublicKey::new(signer.verifying_key().as_bytes(), "signer").unwrap();
    let mut signature = signer.sign(b"message").to_bytes();
    assert!(public.verifies(b"message", &signature));
    // s + L, s + 2L, … verify the same equation as long as they fit in 256 bits.
    for times in 1..=14 {
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert!(!public.verifies(b"message", &signature), "s + {times} L");
    }
}

/// A vector of the paper, and what is decided about it.
struct Tamed {
    message: &'static str,
    public: &'static str,
    signature: [&'static str; 2],
    accepted: bool,
    why: &'static str,
}

#[test]
fn taming_the_many_eddsas() {
    assert_eq!(TAMED.len(), 12);
    for (number, Tamed { message, public, signature, accepted: wanted, why }) in TAMED.iter().enumerate() {
        let seen = accepted(key(public).as_ref(), message, &signature.concat());
        assert_eq!(seen, *wanted, "vector {number}: {why}");
    }
}

/// IACR ePrint 2020/1244, appendix, by number. "Equation" is that of RFC 8032, section 5.1.7, without the cofactor.
const TAMED: [Tamed; 12] = [
    Tamed {
        message: "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        public: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        signature: [
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "0000000000000000000000000000000000000000000000000000000000000000",
        ],
        accepted: false,
        why: "A is of small order: not a key. The equation holds, for most messages",
    },
    Tamed {
        message: "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        public: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        signature: [
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        ],
        accepted: false,
        why: "A is of small order: not a key",
    },
    Tamed {
        message: "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        public: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        signature: [
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        ],
        accepted: false,
        why: "R is of small order; the equation holds",
    },
    Tamed {
        message: "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        public: "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        signature: [
            "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f",
            "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        ],
        accepted: true,
        why: "A and R are of mixed order, canonical, and the equation holds: only the holder of such a key can make one",
    },
    Tamed {
        message: "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        public: "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        signature: [
            "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
            "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        ],
        accepted: false,
        why: "A and R are of mixed order; the equation holds only times the cofactor",
    },
    Tamed {
        message: "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        public: "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        signature: [
            "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
            "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        ],
        accepted: false,
        why: "A is of mixed order; the equation holds only times the cofactor",
    },
    Tamed {
        message: "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        public: "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        signature: [
            "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
            "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        ],
        accepted: false,
        why: "S is L or more: a second form of a signature",
    },
    Tamed {
        message: "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        public: "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        signature: [
            "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
            "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        ],
        accepted: false,
        why: "S is much more than L, past checks of its upper bits",
    },
    Tamed {
        message: "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        public: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        signature: [
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        ],
        accepted: false,
        why: "R is of small order and not canonical (x = -0), and hashed as it was reduced",
    },
    Tamed {
        message: "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        public: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        signature: [
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        ],
        accepted: false,
        why: "R is of small order and not canonical (x = -0), and hashed as it was sent",
    },
    Tamed {
        message: "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        public: "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        signature: [
            "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
            "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        ],
        accepted: false,
        why: "A is of small order and not canonical (x = -0): not a key; hashed as it was reduced",
    },
    Tamed {
        message: "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        public: "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        signature: [
            "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
            "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        ],
        accepted: false,
        why: "A is of small order and not canonical (x = -0): not a key; hashed as it was sent",
    },
];
