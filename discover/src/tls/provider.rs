//! The cryptography of https: rustls's interfaces over the crates of `RustCrypto` and dalek, half of which the signatures of
//! releases need anyway. Glue alone: every algorithm, and every comparison of secrets, is a crate's.
//!
//! TLS 1.3 only (RFC 8446), with all that its section 9.1 asks of a client. Why not *ring*: docs/decisions/0009-tls.md.

use std::sync::Arc;

use p256::elliptic_curve::sec1::ToSec1Point as _;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use super::signature;

/// Everything that a client of TLS 1.3 needs.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: records::SUITES.to_vec(),
        kx_groups: vec![&X25519, &P256],
        signature_verification_algorithms: signature::ALGORITHMS,
        secure_random: &Kernel,
        key_provider: &Kernel,
    }
}

/// Random numbers of the kernel; and no keys, since a client here never proves who it is.
#[derive(Debug)]
struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(buffer).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Kernel {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("certificates of clients are not supported".to_owned()))
    }
}

/// X25519 (RFC 7748).
#[derive(Debug)]
struct X25519;

struct X25519Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        Kernel.fill(&mut secret)?;
        let public = x25519(secret, X25519_BASEPOINT_BYTES);
        Ok(Box::new(X25519Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for X25519Exchange {
    /// RFC 8446, section 7.4.2: a secret of zeros is refused.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        match x25519(self.secret, peer) {
            secret if secret == [0; 32] => Err(PeerMisbehaved::InvalidKeyShare.into()),
            secret => Ok(secret.as_slice().into()),
        }
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// ECDH over secp256r1, which every server has to have.
#[derive(Debug)]
struct P256;

struct P256Exchange {
    secret: p256::SecretKey,
    public: p256::Sec1Point,
}

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        // All but one of 2³² random numbers are below the order of the group.
        let secret = loop {
            Kernel.fill(&mut bytes)?;
            if let Ok(secret) = p256::SecretKey::from_bytes(&bytes.into()) {
                break secret;
            }
        };
        let public = secret.public_key().to_sec1_point(false);
        Ok(Box::new(P256Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

impl ActiveKeyExchange for P256Exchange {
    /// RFC 8446, section 4.2.8.2: an uncompressed point on the curve.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (Some(4), Ok(peer)) = (peer.first(), p256::PublicKey::from_sec1_bytes(peer)) else {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        };
        let secret = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(secret.raw_secret_bytes().as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}
