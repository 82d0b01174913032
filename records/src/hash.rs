//! SHA-2 and HMAC for the key schedule.

use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac::{Hmac, Key, Tag};
use sha2::{Digest, Sha256, Sha384};

/// One hash of SHA-2, its HMAC too.
pub(crate) struct Sha2<D> {
    algorithm: HashAlgorithm,
    start: fn() -> D,
}

/// SHA-256.
pub(crate) static SHA256: Sha2<Sha256> = Sha2 { algorithm: HashAlgorithm::SHA256, start: Sha256::new };
/// SHA-384.
pub(crate) static SHA384: Sha2<Sha384> = Sha2 { algorithm: HashAlgorithm::SHA384, start: Sha384::new };

impl<D: Function> Hash for Sha2<D> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Running((self.start)()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }
}

/// What a hash function of SHA-2 has.
pub(crate) trait Function:
    Digest + hmac::digest::block_api::BlockSizeUser + Clone + Send + Sync + 'static
{
}
impl Function for Sha256 {}
impl Function for Sha384 {}

struct Running<D>(D);

impl<D: Function> Context for Running<D> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl<D: Function> Hmac for Sha2<D> {
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        // RFC 2104: a key is filled with zeros up to one block; a longer one is hashed first.
        let mut block = hmac::digest::common::Key::<SimpleHmac<D>>::default();
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            None => block.iter_mut().zip(D::digest(key)).for_each(|(byte, hashed)| *byte = hashed),
        }
        Box::new(Keyed(SimpleHmac::<D>::new(&block)))
    }

    fn hash_output_len(&self) -> usize {
        <D as Digest>::output_size()
    }
}

struct Keyed<D: Function>(SimpleHmac<D>);

impl<D: Function> Key for Keyed<D> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut hmac = self.0.clone();
        hmac.update(first);
        for part in middle {
            hmac.update(part);
        }
        hmac.update(last);
        Tag::new(&hmac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        <D as Digest>::output_size()
    }
}
