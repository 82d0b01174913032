//! Envelopes after the DSSE specification v1.0 (secure-systems-lab/dsse): reading, writing and what is signed.
//!
//! An [`Envelope`] is **not** trusted: it is payload bytes and claims about who signed them. Its payload is looked at
//! only after [`crate::Role`] counted the signatures.

use data_encoding::BASE64;
use serde::Serialize;

use crate::json::{Fields, FormatError};
use crate::limits::LIMITS;
use crate::names::{KeyId, quoted};

/// The payload type of a manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.phase.boot.manifest.v1+json";

/// The payload type of a trust file.
pub const TRUST_TYPE: &str = "application/vnd.phase.boot.trust.v1+json";

/// A payload with signatures that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload says it is.
    pub payload_type: String,
    /// The signed bytes, decoded.
    pub payload: Vec<u8>,
    /// Claims; at least one after [`Envelope::parse`].
    pub signatures: Vec<Signature>,
}

/// A claim that a key signed the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key that is said to have signed.
    pub keyid: KeyId,
    /// An Ed25519 signature over [`Envelope::pae`], or so it says.
    pub sig: [u8; 64],
}

impl Envelope {
    /// An envelope without signatures, for whoever signs.
    pub fn new(payload_type: &str, payload: Vec<u8>) -> Self {
        Self { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() }
    }

    /// Adds a signature over [`Envelope::pae`]; a previous one of the same key is replaced.
    pub fn add_signature(&mut self, keyid: KeyId, sig: [u8; 64]) {
        self.signatures.retain(|signature| signature.keyid != keyid);
        self.signatures.push(Signature { keyid, sig });
    }

    /// Reads the JSON form. Nothing is verified, and the payload is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::parse("envelope", bytes, LIMITS.envelope_bytes)?;
        let payload_type = fields.string("payloadType")?;
        let payload = base64(&mut fields, "payload")?;
        let mut signatures = Vec::new();
        for mut fields in fields.objects("signatures", 1..=LIMITS.signatures)? {
            let keyid = fields.parsed("keyid")?;
            let sig = base64(&mut fields, "sig")?;
            let length = sig.len();
            let sig = sig.try_into().map_err(|_| fields.wrong("sig", format!("{length} bytes"), "64 bytes"))?;
            fields.finish()?;
            signatures.push(Signature { keyid, sig });
        }
        fields.finish()?;
        Ok(Self { payload_type, payload, signatures })
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let signatures = self.signatures.iter();
        let wire = Wire {
            payload: BASE64.encode(&self.payload),
            payload_type: &self.payload_type,
            signatures: signatures.map(|s| WireSignature { keyid: s.keyid, sig: BASE64.encode(&s.sig) }).collect(),
        };
        serde_json::to_string(&wire)
    }

    /// The bytes that a signature of this envelope covers.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

/// DSSE's pre-authentication encoding: `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in bytes as
/// ASCII decimals.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes a field that is standard base64 with padding; other alphabets, line breaks and loose bits are refused, so
/// that one value has one form.
fn base64(fields: &mut Fields, name: &str) -> Result<Vec<u8>, FormatError> {
    let text = fields.string(name)?;
    // The decoder takes encodings one after the other ("AA==AA==") for the encoding of both.
    let one = !text.trim_end_matches('=').contains('=');
    let bytes = BASE64.decode(text.as_bytes()).ok().filter(|_| one);
    bytes.ok_or_else(|| fields.wrong(name, quoted(&text), "standard base64 with padding"))
}

#[derive(Serialize)]
struct Wire<'a> {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: &'a str,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize)]
struct WireSignature {
    keyid: KeyId,
    sig: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_of_the_dsse_specification() {
        // protocol.md, "Test Vectors".
        let encoded = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn lengths_are_of_bytes_not_characters() {
        assert_eq!(pae("é", "é".as_bytes()), "DSSEv1 2 é 2 é".as_bytes());
    }

    fn envelope() -> Envelope {
        let mut envelope = Envelope::new(MANIFEST_TYPE, b"{\xff}".to_vec());
        envelope.add_signature(KeyId::of(&[1; 32]), [2; 64]);
        envelope.add_signature(KeyId::of(&[3; 32]), [4; 64]);
        envelope
    }

    #[test]
    fn what_is_written_is_read() {
        let envelope = envelope();
        assert_eq!(Envelope::parse(envelope.to_json().unwrap().as_bytes()), Ok(envelope));
    }

    #[test]
    fn signing_again_replaces() {
        let mut envelope = envelope();
        envelope.add_signature(KeyId::of(&[1; 32]), [9; 64]);
        assert_eq!(envelope.signatures.len(), 2);
        assert_eq!(envelope.signatures[1], Signature { keyid: KeyId::of(&[1; 32]), sig: [9; 64] });
    }

    /// The envelope's JSON with `from` replaced by `to`, read.
    fn altered(from: &str, to: &str) -> String {
        let text = envelope().to_json().unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        Envelope::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(BASE64.encode(b"{\xff}"), "e/99");
        for other in ["e_99", "ew==/w==", "e/99\\n", "e/9=", "e/99=", "e/9", " e/99"] {
            assert!(altered("e/99", other).starts_with("envelope.payload is "), "{other:?}");
        }
        // 'AR==' has loose bits that would decode to the same byte as 'AQ=='.
        assert!(altered("e/99", "AR==").contains("wanted standard base64 with padding"));
    }

    #[test]
    fn signatures_have_64_bytes_and_key_ids_are_digests() {
        let sig = BASE64.encode(&[2; 64]);
        let refused = altered(&sig, &BASE64.encode(&[2; 63]));
        assert_eq!(refused, "envelope.signatures[0].sig is 63 bytes, wanted 64 bytes");
        let id = KeyId::of(&[1; 32]).to_string();
        assert!(altered(&id, "me").starts_with("envelope.signatures[0].keyid is \"me\", wanted 64"));
    }

    #[test]
    fn shape_is_exact() {
        assert_eq!(altered("\"payloadType\"", "\"payloadtype\""), "envelope.payloadType is missing");
        assert!(altered("\"payload\":", "\"more\": 1, \"payload\":").contains("envelope.\"more\" is not a field"));
        assert!(altered("\"payload\":", "\"payload\": \"\", \"payload\":").contains("duplicate field \"payload\""));
        let none = Envelope::new(MANIFEST_TYPE, Vec::new()).to_json().unwrap();
        let refused = Envelope::parse(none.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused, "envelope.signatures is an array of 0, wanted an array of 1 to 32");
    }
}
