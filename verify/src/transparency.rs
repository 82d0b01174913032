//! Proofs that a release was logged where everybody can see it (Sigsum, sigsum.org), checked without a network.
//!
//! With [`Transparency`] in the trust file, signatures alone are not enough: whoever holds the release keys can no longer
//! sign a release for one machine that nobody else will ever hear of. The log's Merkle tree, its signature and the
//! witnesses' are checked by the crate `sigsum`; what is added here is what it leaves to its callers: limits, keys that
//! are none, and which of the things that can be wrong was.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use sigsum::{Hash, Policy, SigsumSignature};

use crate::json::{Fields, FormatError};
use crate::limits::LIMITS;
use crate::names::{KeyId, Sha256Digest, ValueError, hex32, quoted};
use crate::refusal::List;
use crate::trust::PublicKey;

/// What a policy has to be; errors say it.
const POLICY: &str = "a Sigsum policy of at most 8192 bytes with at least one log and keys that are no weak ones";
/// How many submitters there are; errors say it.
const SUBMITTERS: &str = "1 to 16 submitters";
// The limits are said in words here: who changes them changes the words.
const _: () = assert!(LIMITS.sigsum_policy_bytes == 8192 && LIMITS.submitters == 16);

/// What a release has to be logged by: `policy.transparency` of a trust file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transparency {
    /// As it stands in the trust file, since that is what its owner reads.
    text: String,
    policy: Arc<Policy>,
    submitters: Vec<PublicKey>,
}

/// Why a release is not proved to be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// No proof came with it.
    #[error("no proof that it was logged came with the release, and the trust file wants one")]
    Missing,
    /// Not read at all.
    #[error("the proof that the release was logged has {seen} bytes, wanted at most {limit}")]
    TooLarge {
        /// Its size in bytes.
        seen: usize,
        /// The largest size that is read.
        limit: usize,
    },
    /// Not a Sigsum proof of version 2.
    #[error("the proof that the release was logged is not a Sigsum proof of version 2: {problem}")]
    Format {
        /// What, safe to print.
        problem: String,
    },
    /// Of a log that the policy does not name.
    #[error("the release was logged by {seen}, wanted {}", List(wanted))]
    Log {
        /// The proof's log.
        seen: KeyId,
        /// The policy's logs.
        wanted: Vec<KeyId>,
    },
    /// By somebody whose submissions do not count.
    #[error("the release was logged for {seen}, wanted {}", List(wanted))]
    Submitter {
        /// The proof's submitter.
        seen: KeyId,
        /// The trust file's submitters.
        wanted: Vec<KeyId>,
    },
    /// What was logged is something else.
    #[error("the proof is of other bytes: {submitter} did not sign this release's checksum {wanted} for the log")]
    OtherBytes {
        /// The proof's submitter, whose signature does not fit.
        submitter: KeyId,
        /// The checksum that would stand in the log.
        wanted: Sha256Digest,
    },
    /// The log's signature, the witnesses' quorum or the place in the tree is not what it should be.
    #[error("the proof that the release was logged does not hold: {problem}")]
    Unproved {
        /// What, in the crate's words.
        problem: String,
    },
}

impl ProofRefusal {
    /// What the person at the machine can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Missing => "log the release and publish it with its proof (`phase put-live --proof`)",
            Self::TooLarge { .. } | Self::Format { .. } => "publish what sigsum-submit wrote, unchanged",
            Self::Log { .. } => "log the release with a log of the trust file's policy",
            Self::Submitter { .. } => "log the release with a submitter's key of the trust file",
            Self::OtherBytes { .. } => "publish the proof of this very release; after a new one try again in a minute",
            Self::Unproved { .. } => "wait until enough witnesses have cosigned, then publish the proof again",
        }
    }
}

impl Transparency {
    /// Takes the text of a Sigsum policy, and the keys (1 to 16, distinct) whose submissions count.
    pub fn new(sigsum_policy: &str, submitters: &[[u8; 32]]) -> Result<Self, ValueError> {
        let policy = Arc::new(policy(sigsum_policy)?);
        Ok(Self { text: sigsum_policy.to_owned(), policy, submitters: distinct(submitters)? })
    }

    /// The text of the Sigsum policy.
    pub fn sigsum_policy(&self) -> &str {
        &self.text
    }

    /// The keys whose submissions count.
    pub fn submitters(&self) -> &[PublicKey] {
        &self.submitters
    }

    /// Whether `proof` shows that `payload`, a manifest's bytes, was logged as the policy wants.
    pub fn check(&self, payload: &[u8], proof: Option<&[u8]>) -> Result<(), ProofRefusal> {
        let proof = parse(proof.ok_or(ProofRefusal::Missing)?)?;
        let Claims { log, submitter, signature } = claims(&proof)?;
        let logs: Vec<KeyId> = self.policy.logs().map(|log| KeyId::of(&log.pubkey.into())).collect();
        if !logs.contains(&log) {
            return Err(ProofRefusal::Log { seen: log, wanted: logs });
        }
        let Some(key) = self.submitters.iter().find(|key| key.id() == submitter) else {
            let wanted = self.submitters.iter().map(PublicKey::id).collect();
            return Err(ProofRefusal::Submitter { seen: submitter, wanted });
        };
        // Sigsum, "log.md": what a submitter signs. Strictly checked, which the crate does not do.
        let message = Sha256Digest::of(payload);
        let checksum = Sha256Digest::of(&message.0);
        if !key.verifies(&[b"sigsum.org/v1/tree-leaf\0".as_slice(), &checksum.0].concat(), &signature) {
            return Err(ProofRefusal::OtherBytes { submitter, wanted: checksum });
        }
        sigsum::verify(&Hash::from(message.0), &proof, &[(*key.as_bytes()).into()], &self.policy).map_err(|error| {
            let problem = error.to_string();
            ProofRefusal::Unproved { problem: problem.trim_start_matches("verify error: ").to_owned() }
        })
    }

    pub(crate) fn read(mut fields: Fields) -> Result<Self, FormatError> {
        let text = fields.string("sigsum_policy")?;
        let policy = policy(&text).map_err(|error| fields.refused("sigsum_policy", error))?;
        let mut submitters = Vec::new();
        for (index, hex) in fields.strings("submitters", 1..=LIMITS.submitters)?.iter().enumerate() {
            let wrong = || fields.wrong(&format!("submitters[{index}]"), quoted(hex), "64 lower-case hex digits");
            submitters.push(hex32(hex).ok_or_else(wrong)?);
        }
        let submitters = distinct(&submitters).map_err(|error| fields.refused("submitters", error))?;
        fields.finish()?;
        Ok(Self { text, policy: Arc::new(policy), submitters })
    }
}

impl Serialize for Transparency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            sigsum_policy: &'a str,
            submitters: Vec<String>,
        }
        let hex = |key: &PublicKey| data_encoding::HEXLOWER.encode(key.as_bytes());
        Wire { sigsum_policy: &self.text, submitters: self.submitters.iter().map(hex).collect() }.serialize(serializer)
    }
}

/// The keys of submitters, none twice.
fn distinct(submitters: &[[u8; 32]]) -> Result<Vec<PublicKey>, ValueError> {
    if !(1..=LIMITS.submitters).contains(&submitters.len()) {
        let seen = format!("{} submitters", submitters.len());
        return Err(ValueError { seen, wanted: SUBMITTERS });
    }
    if let Some((_, twice)) = submitters.iter().enumerate().find(|(n, key)| submitters[..*n].contains(key)) {
        let seen = format!("{} twice", data_encoding::HEXLOWER.encode(twice));
        return Err(ValueError { seen, wanted: "distinct submitters" });
    }
    submitters.iter().map(|public| PublicKey::new(public, "submitter")).collect()
}

/// Reads a policy, and refuses what the crate would take at its word: no log at all, a key with which one signature fits
/// many messages, a group that counts a member twice, and groups of groups that would take for ever to count.
fn policy(text: &str) -> Result<Policy, ValueError> {
    let refused = |seen: String| ValueError { seen, wanted: POLICY };
    if text.len() > LIMITS.sigsum_policy_bytes {
        return Err(refused(format!("{} bytes", text.len())));
    }
    let policy = Policy::parse(text).map_err(|error| refused(quoted(&error.to_string())))?;
    if policy.logs().next().is_none() {
        return Err(refused("a policy without a log".to_owned()));
    }
    let mut steps: HashMap<&str, u64> = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match *words.as_slice() {
            ["log", key, ..] | ["witness", _, key, ..] => strong(key)?,
            ["group", name, _, ref members @ ..] => {
                if let Some((_, twice)) = members.iter().enumerate().find(|(n, name)| members[..*n].contains(name)) {
                    return Err(refused(format!("a group with {} twice", quoted(twice))));
                }
                let sum =
                    members.iter().map(|member| steps.get(member).copied().unwrap_or(1)).fold(1, u64::saturating_add);
                if sum > LIMITS.sigsum_group_members {
                    return Err(refused(format!("a group with {sum} members and members of members")));
                }
                steps.insert(name, sum);
            }
            _ => {}
        }
    }
    Ok(policy)
}

/// Whether the hex digits, in either case as the crate reads them, are a key that this crate would take for a role.
fn strong(hex: &str) -> Result<(), ValueError> {
    let public = hex32(&hex.to_ascii_lowercase()).ok_or(ValueError::new(hex, POLICY))?;
    PublicKey::new(&public, "log or witness").map(drop)
}

fn parse(proof: &[u8]) -> Result<SigsumSignature, ProofRefusal> {
    if proof.len() > LIMITS.proof_bytes {
        return Err(ProofRefusal::TooLarge { seen: proof.len(), limit: LIMITS.proof_bytes });
    }
    let text = str::from_utf8(proof).map_err(|error| ProofRefusal::Format { problem: error.to_string() })?;
    SigsumSignature::from_ascii(text).map_err(|error| ProofRefusal::Format { problem: quoted(&error.to_string()) })
}

/// What a proof says about itself.
struct Claims {
    log: KeyId,
    submitter: KeyId,
    /// The submitter's, of the leaf.
    signature: [u8; 64],
}

/// Reads the claims from what the crate writes, since it keeps them to itself: `log=<id>` is the second line,
/// `leaf=<id> <signature>` the third, in lower case.
fn claims(proof: &SigsumSignature) -> Result<Claims, ProofRefusal> {
    let text = proof.to_ascii();
    let mut lines = text.lines().skip(1);
    let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
    let (log, leaf) = (field("log="), field("leaf="));
    let claims = || {
        let (submitter, signature) = leaf?.split_once(' ')?;
        let signature = data_encoding::HEXLOWER.decode(signature.as_bytes()).ok()?.try_into().ok()?;
        Some(Claims { log: log?.parse().ok()?, submitter: submitter.parse().ok()?, signature })
    };
    claims().ok_or_else(|| ProofRefusal::Format { problem: "it names no log or no submitter".to_owned() })
}
