//! Trust files: which keys count for what. The bytes come from the initramfs that runs; the only other way in is a
//! rotation that their own root keys signed ([`crate::rotation`]).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use serde::{Serialize, Serializer};

use crate::dsse::Envelope;
use crate::json::{Fields, FormatError};
use crate::limits::LIMITS;
use crate::names::{Channel, KeyId, ValueError, hex32, quoted, serde_as_text};
use crate::refusal::TooFewSigners;
use crate::time::Timestamp;
use crate::transparency::Transparency;

/// What a machine believes before it has heard anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "phase.trust/1")]
pub struct Trust {
    /// The only channel whose releases are accepted.
    pub channel: Channel,
    /// Counts up with every new trust file, from 1.
    pub epoch: u64,
    /// When the file was made: it is at least as late as this.
    pub built: Timestamp,
    /// The oldest release that is accepted.
    pub minimum_version: u64,
    /// What was acknowledged under an older epoch than this demands nothing any more ([`crate::State::floors`]): the way
    /// back from a floor that a stolen key raised. 0 … `epoch`; absent stands for 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub floor_epoch: u64,
    /// Who may sign what.
    pub roles: Roles,
    /// What the owner of the machine decided.
    pub policy: Policy,
}

/// The two roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Roles {
    /// Signs trust files only.
    pub root: Role,
    /// Signs manifests only.
    pub release: Role,
}

/// Keys, and how many of them have to agree. There is no role with a threshold of 0, above the number of its keys, or
/// with the same key twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    threshold: usize,
    keys: Vec<PublicKey>,
}

/// An Ed25519 key that signatures are checked with; neither weak nor written in a second form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
    name: String,
}

/// What the owner of the machine decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// What happens to a manifest that is out of date.
    pub expiry: Reaction,
    /// Whether the rescue prompt may be opened.
    pub rescue_prompt: bool,
    /// Most days between `issued` and `expires` of a manifest.
    pub max_validity_days: u64,
    /// What happens without the machine's memory: a state that cannot be read, or whose store is not there. Absent
    /// stands for a warning.
    #[serde(skip_serializing_if = "Reaction::is_warn")]
    pub state: Reaction,
    /// Where a release has to be logged to be accepted; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transparency: Option<Transparency>,
}

/// What happens when something is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It is refused.
    Refuse,
    /// It is accepted, and said.
    Warn,
}

/// Who signed an envelope, as counted by [`Role::signers`]. Each key stands in one list, once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// Keys of the role with a signature that verifies.
    pub valid: Vec<KeyId>,
    /// Keys of the role with none that does.
    pub bad: Vec<KeyId>,
    /// Keys that are not of the role.
    pub unknown: Vec<KeyId>,
}

impl Trust {
    /// Reads the JSON form.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::parse("trust", bytes, LIMITS.trust_bytes)?;
        fields.schema("phase.trust/1")?;
        let mut roles = fields.object("roles")?;
        let epoch = fields.integer("epoch", 1..=LIMITS.integer)?;
        let trust = Self {
            channel: fields.parsed("channel")?,
            epoch,
            built: fields.parsed("built")?,
            minimum_version: fields.integer("minimum_version", 0..=LIMITS.integer)?,
            floor_epoch: fields.optional("floor_epoch", |f, name| f.integer(name, 0..=epoch))?.unwrap_or(0),
            roles: Roles { root: Role::read(&mut roles, "root")?, release: Role::read(&mut roles, "release")? },
            policy: Policy::read(fields.object("policy")?)?,
        };
        roles.finish()?;
        fields.finish()?;
        Ok(trust)
    }

    /// The JSON form, indented by two, with a final newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Role {
    /// A role of 1 to 16 distinct keys, of which `threshold` (1 to their number) have to sign.
    pub fn new(threshold: usize, keys: Vec<PublicKey>) -> Result<Self, ValueError> {
        if !(1..=LIMITS.role_keys).contains(&keys.len()) {
            return Err(ValueError { seen: format!("a role of {} keys", keys.len()), wanted: "1 to 16 keys" });
        }
        if let Some((_, twice)) = keys.iter().enumerate().find(|(n, key)| keys[..*n].iter().any(|k| k.id == key.id)) {
            return Err(ValueError { seen: format!("the key {} twice", twice.id), wanted: "distinct keys" });
        }
        if !(1..=keys.len()).contains(&threshold) {
            let seen = format!("a threshold of {threshold} for {} keys", keys.len());
            return Err(ValueError { seen, wanted: "at least 1, and no more than there are keys" });
        }
        Ok(Self { threshold, keys })
    }

    /// How many keys have to sign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys that count.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Who signed `envelope`, if as many keys as the threshold says did.
    pub fn enough_signers(&self, envelope: &Envelope) -> Result<Signers, TooFewSigners> {
        let signers = self.signers(envelope);
        let (seen, wanted) = (signers.valid.len(), self.threshold);
        if seen >= wanted {
            Ok(signers)
        } else if !signers.bad.is_empty() {
            Err(TooFewSigners::Signature { bad: signers.bad, valid: seen, wanted })
        } else if seen == 0 {
            let trusted = self.keys.iter().map(PublicKey::id).collect();
            Err(TooFewSigners::UnknownKey { seen: signers.unknown, wanted, trusted })
        } else {
            Err(TooFewSigners::Threshold { seen, wanted })
        }
    }

    /// Counts who signed `envelope`: a key counts once, whatever number of its signatures is there.
    pub fn signers(&self, envelope: &Envelope) -> Signers {
        let pae = envelope.pae();
        let mut signers = Signers::default();
        for signature in &envelope.signatures {
            let id = signature.keyid;
            let list = match self.keys.iter().find(|key| key.id == id) {
                None => &mut signers.unknown,
                Some(key) if key.verifies(&pae, &signature.sig) => &mut signers.valid,
                Some(_) => &mut signers.bad,
            };
            if !list.contains(&id) {
                list.push(id);
            }
        }
        let Signers { valid, bad, .. } = &mut signers;
        bad.retain(|id| !valid.contains(id));
        signers
    }

    fn read(roles: &mut Fields, name: &str) -> Result<Self, FormatError> {
        let mut fields = roles.object(name)?;
        let threshold = fields.integer("threshold", 1..=LIMITS.role_keys as u64)?;
        let keys = fields.objects("keys", 1..=LIMITS.role_keys)?;
        let keys = keys.into_iter().map(PublicKey::read).collect::<Result<_, _>>()?;
        fields.finish()?;
        let threshold = usize::try_from(threshold).unwrap_or(usize::MAX);
        Self::new(threshold, keys).map_err(|error| roles.refused(name, error))
    }
}

impl PublicKey {
    /// A key from its 32 raw bytes, under a name for people: 1 to 64 printable ASCII characters.
    ///
    /// Refused is what is no point of the curve, a point of small order (it would verify signatures that nobody made),
    /// and a second encoding of a point (one key could count twice).
    pub fn new(public: &[u8; 32], name: &str) -> Result<Self, ValueError> {
        let refused = || ValueError {
            seen: data_encoding::HEXLOWER.encode(public),
            wanted: "the canonical form of an Ed25519 public key that is not of small order",
        };
        let key = VerifyingKey::from_bytes(public).map_err(|_| refused())?;
        if key.is_weak() || key.to_edwards().compress().as_bytes() != public {
            return Err(refused());
        }
        Ok(Self { key, id: KeyId::of(public), name: name.parse::<KeyName>()?.0 })
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The key's name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `sig` is this key's signature of `message`, by `verify_strict` (RFC 8032, without the cofactor).
    pub fn verifies(&self, message: &[u8], sig: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(sig)).is_ok()
    }

    fn read(mut fields: Fields) -> Result<Self, FormatError> {
        let text = fields.string("public")?;
        let Some(public) = hex32(&text) else {
            return Err(fields.wrong("public", quoted(&text), "64 lower-case hex digits"));
        };
        let name = fields.parsed::<KeyName>("name")?;
        let key = Self::new(&public, &name.0).map_err(|error| fields.refused("public", error))?;
        fields.finish()?;
        Ok(key)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            public: String,
            name: &'a str,
        }
        let public = data_encoding::HEXLOWER.encode(self.key.as_bytes());
        Wire { public, name: &self.name }.serialize(serializer)
    }
}

struct KeyName(String);

impl FromStr for KeyName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, "1 to 64 printable ASCII characters"))
        }
    }
}

impl Policy {
    fn read(mut fields: Fields) -> Result<Self, FormatError> {
        let days = |fields: &mut Fields, name: &str| fields.integer(name, 1..=LIMITS.validity_days_max);
        let policy = Self {
            expiry: fields.parsed("expiry")?,
            rescue_prompt: fields.boolean("rescue_prompt")?,
            max_validity_days: fields.optional("max_validity_days", days)?.unwrap_or(LIMITS.validity_days),
            state: fields.optional("state", Fields::parsed)?.unwrap_or(Reaction::Warn),
            transparency: fields.optional("transparency", |f, name| Transparency::read(f.object(name)?))?,
        };
        fields.finish()?;
        Ok(policy)
    }
}

/// Whether a field that is absent by default may be left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Reaction {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_warn(&self) -> bool {
        *self == Self::Warn
    }
}

impl FromStr for Reaction {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "warn" => Ok(Self::Warn),
            _ => Err(ValueError::new(text, "refuse or warn")),
        }
    }
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Warn => "warn",
        })
    }
}

serde_as_text!(Reaction);

#[cfg(test)]
mod tests;
