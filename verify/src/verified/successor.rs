//! One step of a rotation: the only way from an envelope to a trust file that is believed.

use super::Verified;
use crate::dsse::{Envelope, TRUST_TYPE};
use crate::names::{Sha256Digest, quoted};
use crate::refusal::Warning;
use crate::rotation::{self, RotationRefusal, Signing};
use crate::trust::Trust;

/// Checks that the trust file in `envelope` may take the place of the one that is `in_force`: enough root keys of both
/// signed it, and it is the next one of the same channel, made no earlier.
///
/// The keys of the new file are asked last: until enough keys in force have signed, nobody is believed about them, and
/// the payload is not looked at.
pub fn successor(in_force: &Trust, envelope: &[u8]) -> Result<Verified<Trust>, RotationRefusal> {
    let envelope = Envelope::parse(envelope)?;
    if envelope.payload_type != TRUST_TYPE {
        return Err(RotationRefusal::PayloadType { seen: quoted(&envelope.payload_type), wanted: TRUST_TYPE });
    }
    let signed_by = |trust: &Trust, role| {
        let signers = trust.roles.root.enough_signers(&envelope);
        signers.map_err(|problem| RotationRefusal::Signers { role, epoch: trust.epoch, problem })
    };
    let old = signed_by(in_force, Signing::InForce)?;

    // From here on the payload is what the holders of the root keys in force signed.
    let trust = Trust::parse(&envelope.payload)?;
    rotation::continues(in_force, &trust)?;
    let new = signed_by(&trust, Signing::Own)?;

    let mut key_ids = old.valid;
    key_ids.extend(new.valid.iter().filter(|id| old.unknown.contains(id)));
    let unknown = old.unknown.into_iter().filter(|id| new.unknown.contains(id)).map(Warning::UnknownKey);
    let bad =
        old.bad.iter().chain(new.bad.iter().filter(|id| !old.bad.contains(id))).copied().map(Warning::BadSignature);
    let warnings = unknown.chain(bad).collect();
    Ok(Verified { value: trust, digest: Sha256Digest::of(&envelope.payload), key_ids, warnings })
}
