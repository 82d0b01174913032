//! The four commands of TPM 2.0 that an NV index needs, and their answers (TCG, "Trusted Platform Module Library",
//! version 1.59, part 3, chapter 31; the structures are those of part 2).
//!
//! Bytes only; who talks to the device is [`super`]. A codec of our own, since the libraries bring every structure of the
//! standard for the sake of these few.

use verify::LIMITS;

/// Bytes of our index.
pub const SIZE: usize = LIMITS.state_bytes;
/// Largest answer in bytes that a TPM gives (`TPM_BUFSIZE`, drivers/char/tpm/tpm.h of Linux).
pub const LARGEST_ANSWER: usize = 4096;

const NO_SESSIONS: u16 = 0x8001; // TPM_ST_NO_SESSIONS
const SESSIONS: u16 = 0x8002; // TPM_ST_SESSIONS
const NV_DEFINE_SPACE: u32 = 0x12a;
const NV_WRITE: u32 = 0x137;
const NV_READ: u32 = 0x14e;
const NV_READ_PUBLIC: u32 = 0x169;
const OWNER: u32 = 0x4000_0001; // TPM_RH_OWNER
const PASSWORD: u32 = 0x4000_0009; // TPM_RS_PW
const SHA256: u16 = 0x000b; // TPM_ALG_SHA256

/// What our index is (`TPMA_NV`): an ordinary one, written and read with its own, empty, password, which no number of
/// wrong tries locks. So the owner's password, once it is set, is needed neither for the boot nor for the release.
pub const ATTRIBUTES: u32 = AUTHWRITE | AUTHREAD | NO_DA;
const AUTHWRITE: u32 = 1 << 2;
const AUTHREAD: u32 = 1 << 18;
const NO_DA: u32 = 1 << 25;
/// Set by the TPM with the first write.
const WRITTEN: u32 = 1 << 29;

/// What helps against an index that is somebody else's.
const ELSEWHERE: &str =
    "name another one (`--state tpm:INDEX`), or remove this one if nobody needs it: tpm2_nvundefine";

/// Why an index is not used: mostly what the TPM answered instead of doing it.
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
    #[error("the TPM has no room for an NV index of {SIZE} bytes; remove one that is not needed: tpm2_nvundefine")]
    NoRoom,
    /// Anything else.
    #[error("the TPM answered code {0:#05x} (`tpm2_rc_decode {0:#05x}` says more)")]
    Code(u32),
}

/// What kind of index there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Public {
    /// `TPMA_NV`.
    pub attributes: u32,
    /// Bytes.
    pub size: u16,
}

impl Public {
    /// Whether it was ever written; reading it before that is an error.
    pub fn written(self) -> bool {
        self.attributes & WRITTEN != 0
    }
}

/// `TPM2_NV_ReadPublic`.
pub fn read_public(index: u32) -> Vec<u8> {
    command(NO_SESSIONS, NV_READ_PUBLIC, &[&index.to_be_bytes()])
}

/// `TPM2_NV_DefineSpace`, for the owner whose password is empty.
pub fn define_space(index: u32) -> Vec<u8> {
    let public = [
        &index.to_be_bytes()[..],
        &SHA256.to_be_bytes(),
        &ATTRIBUTES.to_be_bytes(),
        &0_u16.to_be_bytes(), // no policy
        &length(SIZE).to_be_bytes(),
    ]
    .concat();
    let empty_password = 0_u16.to_be_bytes();
    let parts = [&empty_password[..], &length(public.len()).to_be_bytes(), &public].concat();
    command(SESSIONS, NV_DEFINE_SPACE, &[&OWNER.to_be_bytes(), &authorization(), &parts])
}

/// `TPM2_NV_Write` of the whole index: one command, so that it happens as a whole or not at all.
pub fn write(index: u32, bytes: &[u8]) -> Vec<u8> {
    let handle = index.to_be_bytes();
    let parts = [&length(bytes.len()).to_be_bytes()[..], bytes, &0_u16.to_be_bytes()].concat();
    command(SESSIONS, NV_WRITE, &[&handle, &handle, &authorization(), &parts])
}

/// `TPM2_NV_Read` of `size` bytes from the beginning.
pub fn read(index: u32, size: u16) -> Vec<u8> {
    let handle = index.to_be_bytes();
    let parts = [size.to_be_bytes(), 0_u16.to_be_bytes()].concat();
    command(SESSIONS, NV_READ, &[&handle, &handle, &authorization(), &parts])
}

/// Whether the TPM did it: the answer to a command of which nothing else is wanted.
pub fn done(answer: &[u8]) -> Result<(), Refused> {
    body(answer).map(drop)
}

/// The answer to [`define_space`]: the password that was wrong, if one was, is the owner's.
pub fn defined(answer: &[u8]) -> Result<(), Refused> {
    done(answer).map_err(|refused| match refused {
        Refused::IndexPassword => Refused::OwnerPassword,
        other => other,
    })
}

/// The answer to [`read_public`].
pub fn public(answer: &[u8]) -> Result<Public, Refused> {
    let mut rest = body(answer)?;
    let mut public = sized(&mut rest)?;
    take(&mut public, 4)?; // the index itself
    take(&mut public, 2)?; // the algorithm of its name
    let attributes = u32::from_be_bytes(fixed(take(&mut public, 4)?)?);
    sized(&mut public)?; // the policy
    let size = u16::from_be_bytes(fixed(take(&mut public, 2)?)?);
    Ok(Public { attributes, size })
}

/// The answer to [`read`].
pub fn data(answer: &[u8]) -> Result<&[u8], Refused> {
    let mut rest = body(answer)?;
    take(&mut rest, 4)?; // how long the parameters are
    sized(&mut rest)
}

/// The password session with the empty password (`TPMS_AUTH_COMMAND`), with its length before it.
fn authorization() -> [u8; 13] {
    let mut area = [0; 13];
    area[..4].copy_from_slice(&9_u32.to_be_bytes());
    area[4..8].copy_from_slice(&PASSWORD.to_be_bytes());
    area
}

fn command(tag: u16, code: u32, parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.concat();
    let size = u32::try_from(10 + parts.len()).unwrap_or(u32::MAX);
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), &parts].concat()
}

/// Everything here is far shorter than what 16 bits can say.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// What follows the header of an answer, if it says that the command was done.
fn body(answer: &[u8]) -> Result<&[u8], Refused> {
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
fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Refused> {
    let length = u16::from_be_bytes(fixed(take(rest, 2)?)?);
    take(rest, length.into())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Refused> {
    let (taken, left) = rest.split_at_checked(count).ok_or(Refused::Nonsense("it is cut"))?;
    *rest = left;
    Ok(taken)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refused> {
    bytes.try_into().map_err(|_| Refused::Nonsense("it is cut"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: u32 = 0x0180_0000;

    #[test]
    fn commands_have_the_bytes_of_the_standard() {
        assert_eq!(read_public(INDEX), bytes("8001 0000000e 00000169 01800000"));
        // The session: its handle, no nonce, no attributes, an empty password.
        let session = "00000009 40000009 0000 00 0000";
        let public = "01800000 000b 02040004 0000 0200";
        let define = format!("8002 0000002d 0000012a 40000001 {session} 0000 000e {public}");
        assert_eq!(define_space(INDEX), bytes(&define));
        let wanted = format!("8002 00000023 00000137 01800000 01800000 {session} 0002 6162 0000");
        assert_eq!(write(INDEX, b"ab")[6..], bytes(&wanted)[6..]);
        let wanted = format!("8002 00000023 0000014e 01800000 01800000 {session} 0200 0000");
        assert_eq!(read(INDEX, 512), bytes(&wanted));
        for command in [define_space(INDEX), write(INDEX, b"ab"), read(INDEX, 512)] {
            assert_eq!(command[2..6], u32::try_from(command.len()).unwrap().to_be_bytes());
        }
    }

    /// The bytes of hexadecimal digits with spaces where a field ends.
    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.replace(' ', "");
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn answer(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
        command(tag, code, &[body])
    }

    #[test]
    fn answers_are_read() {
        let public_area = [&[0x01, 0x80, 0, 0, 0, 0x0b, 0x22, 0x04, 0, 0x04, 0, 0, 2, 0][..]].concat();
        let body = [&[0, 14][..], &public_area, &[0, 2, 1, 2]].concat();
        let seen = public(&answer(NO_SESSIONS, 0, &body)).unwrap();
        assert_eq!(seen, Public { attributes: ATTRIBUTES | WRITTEN, size: 512 });
        assert!(seen.written());
        let body = [&[0, 0, 0, 5][..], &[0, 3], b"abc", &[0, 0, 1, 0, 0]].concat();
        assert_eq!(data(&answer(SESSIONS, 0, &body)).unwrap(), b"abc");
    }

    #[test]
    fn refusals_are_told_apart() {
        for (code, wanted) in [
            (0x18b, Refused::NoIndex),
            (0x922, Refused::Busy),
            (0x9a2, Refused::IndexPassword),
            (0x98e, Refused::IndexPassword),
            (0x149, Refused::Forbidden),
            (0x14b, Refused::NoRoom),
            (0x101, Refused::Code(0x101)),
        ] {
            assert_eq!(done(&answer(NO_SESSIONS, code, &[])), Err(wanted));
        }
        // The same codes mean somebody else's password where an index is made.
        assert_eq!(defined(&answer(NO_SESSIONS, 0x9a2, &[])), Err(Refused::OwnerPassword));
        assert_eq!(defined(&answer(NO_SESSIONS, 0x14b, &[])), Err(Refused::NoRoom));
        assert!(Refused::Code(0x101).to_string().contains("tpm2_rc_decode 0x101"));
    }

    #[test]
    fn an_answer_that_is_cut_at_any_byte_is_nonsense() {
        let body = [&[0, 14][..], &[0; 14], &[0, 0]].concat();
        let whole = answer(NO_SESSIONS, 0, &body);
        assert!(public(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(matches!(public(&whole[..length]), Err(Refused::Nonsense(_))), "{length} bytes");
            // Cut, and its header knows it.
            let mut cut = whole[..length].to_vec();
            if length >= 10 {
                cut[2..6].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
                assert!(length >= 26 || matches!(public(&cut), Err(Refused::Nonsense(_))), "{length} bytes");
            }
        }
        assert_eq!(data(&answer(SESSIONS, 0, &[0, 0, 0, 0, 0xff, 0xff])), Err(Refused::Nonsense("it is cut")));
    }
}
