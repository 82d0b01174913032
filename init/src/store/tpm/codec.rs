//! The four commands of TPM 2.0 that an NV index needs, and their answers (TCG, "Trusted Platform Module Library",
//! version 1.59, part 3, chapter 31; the structures are those of part 2).
//!
//! Bytes only; who talks to the device is [`super`], and what every command has is [`crate::tpm::codec`].

use verify::LIMITS;

use crate::tpm::codec::{NO_SESSIONS, SESSIONS, authorization, body, command, fixed, length, sized, take};
pub use crate::tpm::codec::{Refused, done};

/// Bytes of our index.
pub const SIZE: usize = LIMITS.state_bytes;

const NV_DEFINE_SPACE: u32 = 0x12a;
const NV_WRITE: u32 = 0x137;
const NV_READ: u32 = 0x14e;
const NV_READ_PUBLIC: u32 = 0x169;
const OWNER: u32 = 0x4000_0001; // TPM_RH_OWNER
const SHA256: u16 = 0x000b; // TPM_ALG_SHA256

/// What our index is (`TPMA_NV`): an ordinary one, written and read with its own, empty, password, which no number of
/// wrong tries locks. So the owner's password, once it is set, is needed neither for the boot nor for the release.
pub const ATTRIBUTES: u32 = AUTHWRITE | AUTHREAD | NO_DA;
const AUTHWRITE: u32 = 1 << 2;
const AUTHREAD: u32 = 1 << 18;
const NO_DA: u32 = 1 << 25;
/// Set by the TPM with the first write.
const WRITTEN: u32 = 1 << 29;

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
