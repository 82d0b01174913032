//! The cipher suites of TLS 1.3: how one record is sealed and opened (RFC 8446, section 5.2), and the hashes of its keys.
//!
//! Glue between rustls and the crates of `RustCrypto`; no algorithm is written here. It is a crate of its own because every
//! byte of a release that comes by https passes through it: it alone is compiled for speed, the rest of TLS for size.

mod hash;
#[cfg(test)]
mod tests;

use aes_gcm::aead::{AeadInOut, KeyInit, Nonce as AeadNonce};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm, UnsupportedOperationError,
    make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite,
};

use crate::hash::{SHA256, SHA384};

/// Bytes of an authentication tag; the same for all three.
const TAG_BYTES: usize = 16;

/// In the order in which they are offered.
pub static SUITES: [SupportedCipherSuite; 3] = [
    SupportedCipherSuite::Tls13(&Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
            hash_provider: &SHA256,
            confidentiality_limit: 1 << 24,
        },
        hkdf_provider: &HkdfUsingHmac(&SHA256),
        aead_alg: &Aead { key_bytes: 16, key: Aes128Gcm::new_from_slice },
        quic: None,
    }),
    SupportedCipherSuite::Tls13(&Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
            hash_provider: &SHA384,
            confidentiality_limit: 1 << 24,
        },
        hkdf_provider: &HkdfUsingHmac(&SHA384),
        aead_alg: &Aead { key_bytes: 32, key: Aes256Gcm::new_from_slice },
        quic: None,
    }),
    SupportedCipherSuite::Tls13(&Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            hash_provider: &SHA256,
            confidentiality_limit: u64::MAX,
        },
        hkdf_provider: &HkdfUsingHmac(&SHA256),
        aead_alg: &Aead { key_bytes: 32, key: ChaCha20Poly1305::new_from_slice },
        quic: None,
    }),
];

/// A cipher that authenticates.
struct Aead<C> {
    key_bytes: usize,
    key: fn(&[u8]) -> Result<C, aes_gcm::aead::common::InvalidLength>,
}

impl<C: AeadInOut + KeyInit + Send + Sync + 'static> Tls13AeadAlgorithm for Aead<C> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Keyed { cipher: (self.key)(key.as_ref()).ok(), iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Keyed { cipher: (self.key)(key.as_ref()).ok(), iv })
    }

    fn key_len(&self) -> usize {
        self.key_bytes
    }

    /// Only for handing a connection to the kernel, which is not done here.
    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction of a connection.
struct Keyed<C> {
    /// Absent for a key of another length than the cipher's, which rustls does not make: then nothing goes through.
    cipher: Option<C>,
    iv: Iv,
}

impl<C: AeadInOut> Keyed<C> {
    fn nonce(&self, number: u64) -> AeadNonce<C> {
        AeadNonce::<C>::try_from(&Nonce::new(&self.iv, number).0[..]).unwrap_or_default()
    }
}

impl<C: AeadInOut + Send + Sync> MessageEncrypter for Keyed<C> {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, number: u64) -> Result<OutboundOpaqueMessage, Error> {
        let cipher = self.cipher.as_ref().ok_or(Error::EncryptError)?;
        let bytes = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(bytes);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let tag = cipher
            .encrypt_inout_detached(&self.nonce(number), &make_tls13_aad(bytes), payload.as_mut().into())
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, bytes: usize) -> usize {
        bytes + 1 + TAG_BYTES
    }
}

impl<C: AeadInOut + Send + Sync> MessageDecrypter for Keyed<C> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let cipher = self.cipher.as_ref().ok_or(Error::DecryptError)?;
        let data = make_tls13_aad(message.payload.len());
        let plain = message.payload.len().checked_sub(TAG_BYTES).ok_or(Error::DecryptError)?;
        let (sealed, tag) = message.payload.split_at_mut(plain);
        let tag = (&*tag).try_into().map_err(|_| Error::DecryptError)?;
        cipher
            .decrypt_inout_detached(&self.nonce(number), &data, sealed.into(), &tag)
            .map_err(|_| Error::DecryptError)?;
        message.payload.truncate(plain);
        message.into_tls13_unpadded_message()
    }
}
