//! How commands and answers of TPM 2.0 are framed, and what a refusal means (TCG, "Trusted Platform Module Library", version
//! 1.59, parts 1 and 3; the structures are those of part 2).
//!
//! Bytes only; who talks to the device is [`super::Device`]. A codec of our own, since the libraries bring every structure of the
//! standard for the sake of a few commands.

use verify::LIMITS;

/// Largest answer in bytes that a TPM gives (`TPM_BUFSIZE`, drivers/char/tpm/tpm.h of Linux).
pub const LARGEST_ANSWER: usize = 4096;

/// `TPM_ST_NO_SESSIONS`.
pub(crate) const NO_SESSIONS: u16 = 0x8001;
/// `TPM_ST_SESSIONS`.
pub(crate) const SESSIONS: u16 = 0x8002;
const PASSWORD: u32 = 0x4000_0009; // TPM_RS_PW

/// What helps against an index that is somebody else's.
const ELSEWHERE: &str =
    "name another one (`--state tpm:INDEX`), or remove this one if nobody needs it: tpm2_nvundefine";

/// What a TPM answered instead of doing it, and why what it answered is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No answer of the form that the standard asks for.
    #[error("the TPM's answer makes no sense ({0})")]
    Nonsense(&'static str),
    /// There is no such index.
    #[error("the TPM has no such NV index")]
    NoIndex,
    /// It is busy and wants to be asked again.
    #[error("the TPM is busy")]
    Busy,
    /// The owner's password is not empty.
    #[error("the TPM's owner has set a password; make the index with it: tpm2_nvdefine (docs/freshness.md)")]
    OwnerPassword,
    /// The index's password is not empty.
    #[error("the NV index has a password of its own, and ours has none: it is another program's; {ELSEWHERE}")]
    IndexPassword,
    /// The index does not allow this, or is not made as ours is.
    #[error("the TPM does not let us into the NV index; it is another program's, or locked; {ELSEWHERE}")]
    Forbidden,
    /// The index has bytes that were never a state.
    #[error("the NV index holds what is no state: it is another program's, and is left alone; {ELSEWHERE}")]
    Foreign,
    /// It has no room for the index.
    #[error("the TPM has no room for an NV index of {} bytes; remove one that is not needed: tpm2_nvundefine", LIMITS.state_bytes)]
    NoRoom,
    /// Anything else.
    #[error("the TPM answered code {0:#05x} (`tpm2_rc_decode {0:#05x}` says more)")]
    Code(u32),
}

/// Whether the TPM did it: the answer to a command of which nothing else is wanted.
pub fn done(answer: &[u8]) -> Result<(), Refused> {
    body(answer).map(drop)
}

/// The password session with the empty password (`TPMS_AUTH_COMMAND`), with its length before it.
pub(crate) fn authorization() -> [u8; 13] {
    let mut area = [0; 13];
    area[..4].copy_from_slice(&9_u32.to_be_bytes());
    area[4..8].copy_from_slice(&PASSWORD.to_be_bytes());
    area
}

/// A command: its header, and these parts behind it.
pub(crate) fn command(tag: u16, code: u32, parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.concat();
    let size = u32::try_from(10 + parts.len()).unwrap_or(u32::MAX);
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), &parts].concat()
}

/// Everything here is far shorter than what 16 bits can say.
pub(crate) fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// What follows the header of an answer, if it says that the command was done.
pub(crate) fn body(answer: &[u8]) -> Result<&[u8], Refused> {
    let mut rest = answer;
    let tag = u16::from_be_bytes(fixed(take(&mut rest, 2)?)?);
    let size = u32::from_be_bytes(fixed(take(&mut rest, 4)?)?);
    let code = u32::from_be_bytes(fixed(take(&mut rest, 4)?)?);
    if usize::try_from(size).ok() != Some(answer.len()) {
        return Err(Refused::Nonsense("its length"));
    }
    match code {
        0 if matches!(tag, SESSIONS | NO_SESSIONS) => Ok(rest),
        0 => Err(Refused::Nonsense("its tag")),
        0x18b => Err(Refused::NoIndex),               // TPM_RC_HANDLE of the first handle
        0x908 | 0x90a | 0x922 => Err(Refused::Busy),  // TPM_RC_YIELDED, _TESTING, _RETRY
        0x9a2 | 0x98e => Err(Refused::IndexPassword), // TPM_RC_BAD_AUTH, _AUTH_FAIL of the first session
        0x148 | 0x149 | 0x12f => Err(Refused::Forbidden), // TPM_RC_NV_LOCKED, _NV_AUTHORIZATION, _AUTH_UNAVAILABLE
        0x14b => Err(Refused::NoRoom),                // TPM_RC_NV_SPACE
        code => Err(Refused::Code(code)),
    }
}

/// Takes a structure with a length of 16 bits before it (`TPM2B_…`).
pub(crate) fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Refused> {
    let length = u16::from_be_bytes(fixed(take(rest, 2)?)?);
    take(rest, length.into())
}

/// Takes so many bytes.
pub(crate) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Refused> {
    let (taken, left) = rest.split_at_checked(count).ok_or(Refused::Nonsense("it is cut"))?;
    *rest = left;
    Ok(taken)
}

/// As many bytes as an integer has.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refused> {
    bytes.try_into().map_err(|_| Refused::Nonsense("it is cut"))
}
