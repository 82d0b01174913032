//! What a conversation with a well-behaved server does not show; discover's tests have those, for every suite.

use data_encoding::HEXLOWER;
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::hash::Hash;
use rustls::crypto::hmac::Hmac;
use rustls::{ContentType, ProtocolVersion, Tls13CipherSuite};

use crate::{SHA256, SHA384, SUITES};

/// Those whose keys have the 32 bytes that rustls lets others than itself make.
fn suites() -> impl Iterator<Item = &'static Tls13CipherSuite> {
    SUITES.iter().filter_map(rustls::SupportedCipherSuite::tls13).filter(|suite| suite.aead_alg.key_len() == 32)
}

fn sealed(suite: &Tls13CipherSuite, plain: &[u8], number: u64) -> Vec<u8> {
    let chunks = [plain];
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_3,
        payload: OutboundChunks::new(&chunks),
    };
    let mut encrypter = suite.aead_alg.encrypter(AeadKey::from([7; 32]), Iv::from([9; 12]));
    encrypter.encrypt(message, number).unwrap().payload.as_ref().to_vec()
}

fn opened(suite: &Tls13CipherSuite, mut record: Vec<u8>, number: u64) -> Option<Vec<u8>> {
    let mut decrypter = suite.aead_alg.decrypter(AeadKey::from([7; 32]), Iv::from([9; 12]));
    let message = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut record);
    decrypter.decrypt(message, number).ok().map(|plain| plain.payload.to_vec())
}

#[test]
fn a_record_is_opened_whole_or_not_at_all() {
    assert_eq!(suites().count(), 2);
    for suite in suites() {
        for length in [0, 1, 15, 16, 17, 255, 16_384] {
            let plain: Vec<u8> = (0..length).map(|at: usize| at.to_le_bytes()[0]).collect();
            let record = sealed(suite, &plain, 5);
            assert_eq!(record.len(), length + 1 + 16);
            assert_eq!(opened(suite, record.clone(), 5).as_deref(), Some(&plain[..]));
            assert_eq!(opened(suite, record.clone(), 6), None, "another place in the stream");
            assert_eq!(opened(suite, record[..record.len() - 1].to_vec(), 5), None, "a byte less");
            for at in [0, record.len() / 2, record.len() - 17, record.len() - 1] {
                let mut record = record.clone();
                record[at] ^= 0x80;
                assert_eq!(opened(suite, record, 5), None, "a bit of byte {at}");
            }
        }
    }
}

#[test]
fn what_is_shorter_than_a_tag_is_refused() {
    for suite in suites() {
        for length in 0..=16 {
            assert_eq!(opened(suite, vec![0; length], 0), None, "{length} bytes");
        }
    }
}

/// Whose key, of what, and the answer in hex.
type Case = (&'static dyn Hmac, &'static [u8], &'static [u8], &'static str);

/// RFC 4231, test cases 1 and 6, whose key is longer than a block.
#[test]
fn hmac_answers_as_the_rfc_says() {
    let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let cases: [Case; 4] = [
        (&SHA256, &[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (&SHA256, &[0xaa; 131], long, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        (
            &SHA384,
            &[0x0b; 20],
            b"Hi There",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            &SHA384,
            &[0xaa; 131],
            long,
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        ),
    ];
    for (hmac, key, message, wanted) in cases {
        let key = hmac.with_key(key);
        let (first, rest) = message.split_at(3);
        assert_eq!(HEXLOWER.encode(key.sign_concat(first, &[&rest[..2], &rest[2..4]], &rest[4..]).as_ref()), wanted);
        assert_eq!(key.tag_len(), wanted.len() / 2);
    }
}

/// FIPS 180-2, appendix B.1; a fork goes on by itself.
#[test]
fn a_hash_can_be_forked() {
    let mut running = SHA256.start();
    running.update(b"ab");
    let fork = running.fork();
    running.update(b"c");
    let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(HEXLOWER.encode(running.fork_finish().as_ref()), wanted);
    assert_eq!(HEXLOWER.encode(running.finish().as_ref()), wanted);
    assert_eq!(fork.finish().as_ref(), SHA256.hash(b"ab").as_ref());
}
