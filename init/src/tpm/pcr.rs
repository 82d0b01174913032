//! The three commands for registers: which banks there are, what a register holds, and to extend it (TCG, "Trusted Platform
//! Module Library", version 1.59, part 3, chapters 22 and 30).
//!
//! Bytes only, as in [`super::codec`].

use verify::measured::{Bank, PCR};

use super::codec::{NO_SESSIONS, Refused, SESSIONS, authorization, body, command, fixed, sized, take};

const PCR_READ: u32 = 0x17e;
const GET_CAPABILITY: u32 = 0x17a;
const PCR_EXTEND: u32 = 0x182;
const CAP_PCRS: u32 = 5; // TPM_CAP_PCRS

/// Most banks that an answer may list (`TPM2_NUM_PCR_BANKS` of common TPMs is far less).
const MOST_BANKS: u32 = 16;

/// The banks that are switched on for our register.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Banks {
    /// Those that can be extended.
    pub known: Vec<Bank>,
    /// `TPM_ALG_ID` of those whose algorithm is not known here.
    pub unknown: Vec<u16>,
}

/// `TPM2_GetCapability`: which registers there are in which banks.
pub fn capability() -> Vec<u8> {
    let parts = [CAP_PCRS, 0, 1].map(u32::to_be_bytes).concat();
    command(NO_SESSIONS, GET_CAPABILITY, &[&parts])
}

/// The answer to [`capability`].
pub fn banks(answer: &[u8]) -> Result<Banks, Refused> {
    let mut rest = body(answer)?;
    take(&mut rest, 1)?; // whether there is more: there are only registers
    take(&mut rest, 4)?; // TPM_CAP_PCRS again
    let count = u32::from_be_bytes(fixed(take(&mut rest, 4)?)?);
    if count > MOST_BANKS {
        return Err(Refused::Nonsense("too many banks"));
    }
    let mut banks = Banks::default();
    for _ in 0..count {
        let algorithm = u16::from_be_bytes(fixed(take(&mut rest, 2)?)?);
        let [length] = fixed(take(&mut rest, 1)?)?;
        let selected = take(&mut rest, length.into())?;
        if selected.get(PCR as usize / 8).is_none_or(|byte| byte >> (PCR % 8) & 1 == 0) {
            continue;
        }
        match Bank::of(algorithm) {
            Some(bank) if !banks.known.contains(&bank) => banks.known.push(bank),
            Some(_) => return Err(Refused::Nonsense("a bank is listed twice")),
            None => banks.unknown.push(algorithm),
        }
    }
    Ok(banks)
}

/// `TPM2_PCR_Read` of our register in one bank.
pub fn read(bank: Bank) -> Vec<u8> {
    let mut select = [0; 3];
    select[PCR as usize / 8] = 1 << (PCR % 8);
    let parts = [&1_u32.to_be_bytes()[..], &bank.algorithm().to_be_bytes(), &[3], &select].concat();
    command(NO_SESSIONS, PCR_READ, &[&parts])
}

/// The answer to [`read`].
pub fn value(answer: &[u8], bank: Bank) -> Result<Vec<u8>, Refused> {
    let mut rest = body(answer)?;
    take(&mut rest, 4)?; // how often any register was extended
    if u32::from_be_bytes(fixed(take(&mut rest, 4)?)?) != 1 {
        return Err(Refused::Nonsense("not the bank that was asked for"));
    }
    take(&mut rest, 2)?; // its algorithm again
    let [length] = fixed(take(&mut rest, 1)?)?;
    take(&mut rest, length.into())?; // and its register
    let count = u32::from_be_bytes(fixed(take(&mut rest, 4)?)?);
    let value = if count == 1 { sized(&mut rest)? } else { &[] };
    if value.len() == bank.size() { Ok(value.to_vec()) } else { Err(Refused::Nonsense("a register of another size")) }
}

/// `TPM2_PCR_Extend` of our register, in every bank at once, with the empty password.
pub fn extend(digests: &[(Bank, Vec<u8>)]) -> Vec<u8> {
    let mut list = u32::try_from(digests.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    for (bank, digest) in digests {
        list.extend(bank.algorithm().to_be_bytes());
        list.extend(digest);
    }
    command(SESSIONS, PCR_EXTEND, &[&PCR.to_be_bytes(), &authorization(), &list])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::tpm::codec;
    use crate::tpm::tests::Swtpm;

    #[test]
    fn a_real_tpm_extends_every_bank_as_it_is_predicted() {
        let tpm = Swtpm::new();
        let ask = |command: &[u8]| tpm.device.ask(command, Instant::now() + Duration::from_secs(20)).unwrap();
        let Banks { known, unknown } = banks(&ask(&capability())).unwrap();
        assert!(known.contains(&Bank::Sha256) && known.len() > 1, "{known:?}");
        assert!(unknown.is_empty(), "{unknown:?}");
        let zeros = |bank: Bank| vec![0; bank.size()];
        for bank in &known {
            assert_eq!(value(&ask(&read(*bank)), *bank).unwrap(), zeros(*bank));
        }
        let digests: Vec<_> = known.iter().map(|bank| (*bank, bank.digest(b"words"))).collect();
        codec::done(&ask(&extend(&digests))).unwrap();
        for (bank, digest) in &digests {
            assert_eq!(value(&ask(&read(*bank)), *bank).unwrap(), bank.extended(&zeros(*bank), digest));
        }
    }

    #[test]
    fn a_bank_counts_only_if_our_register_is_in_it() {
        let list = |banks: &[&[u8]]| {
            let count = u32::try_from(banks.len()).unwrap().to_be_bytes();
            command(NO_SESSIONS, 0, &[&[&[0, 0, 0, 0, 5][..], &count, &banks.concat()].concat()])
        };
        // SHA-1 without register 14, SHA-256 with it, SM3-256 with it.
        let answer = list(&[&[0, 4, 3, 0xff, 0xbf, 0xff], &[0, 0x0b, 3, 0, 0x40, 0], &[0, 0x12, 3, 0xff, 0xff, 0xff]]);
        assert_eq!(banks(&answer), Ok(Banks { known: vec![Bank::Sha256], unknown: vec![0x12] }));
        let twice = list(&[&[0, 0x0b, 3, 0, 0x40, 0], &[0, 0x0b, 3, 0, 0x40, 0]]);
        assert_eq!(banks(&twice), Err(Refused::Nonsense("a bank is listed twice")));
        for cut in 0..answer.len() {
            assert!(banks(&answer[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_register_of_another_size_is_nonsense() {
        let answer = |bytes: u8| {
            let digest = [&[0, bytes][..], &vec![1; bytes.into()]].concat();
            let parts = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0x0b, 3, 0, 0x40, 0, 0, 0, 0, 1][..], &digest].concat();
            command(NO_SESSIONS, 0, &[&parts])
        };
        assert_eq!(value(&answer(32), Bank::Sha256), Ok(vec![1; 32]));
        assert_eq!(value(&answer(20), Bank::Sha256), Err(Refused::Nonsense("a register of another size")));
    }
}
