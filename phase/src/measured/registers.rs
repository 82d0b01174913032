//! What a TPM's register 14 holds, as tools print it and as the kernel of this machine has it.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, ensure};
use data_encoding::HEXLOWER_PERMISSIVE;
use verify::measured::{Bank, PCR};

use crate::output;

/// Largest text of registers in bytes: 24 of them in four banks are a tenth of it.
const LARGEST: u64 = 64 << 10;
/// Where Linux 5.12 and later have them: one directory for each bank.
const KERNEL: &str = "/sys/class/tpm/tpm0";

/// Reads what `tpm2_pcrread` or `grep . /sys/class/tpm/tpm0/pcr-*/14` printed; `-` is standard input.
///
/// # Errors
/// The file cannot be read, or register 14 is not in it.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<(Bank, Vec<u8>)>> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().take(LARGEST).read_to_end(&mut bytes).context("cannot read standard input")?;
        bytes
    } else {
        output::read_limited(path, LARGEST)?
    };
    let registers = parse(&String::from_utf8_lossy(&bytes));
    ensure!(
        !registers.is_empty(),
        "{} has no register {PCR}; wanted what `tpm2_pcrread sha256:{PCR}` or `grep . {KERNEL}/pcr-*/{PCR}` prints",
        path.display()
    );
    Ok(registers)
}

/// What the TPM of this machine holds.
///
/// # Errors
/// Its kernel knows no TPM 2.0.
pub(super) fn of_this_machine() -> anyhow::Result<Vec<(Bank, Vec<u8>)>> {
    let value = |bank: Bank| {
        let text = fs::read_to_string(format!("{KERNEL}/pcr-{bank}/{PCR}")).ok()?;
        digest(bank, text.trim()).map(|value| (bank, value))
    };
    let registers: Vec<_> = Bank::ALL.into_iter().filter_map(value).collect();
    ensure!(
        !registers.is_empty(),
        "{KERNEL}/pcr-*/{PCR} cannot be read: has this machine a TPM 2.0, and is its kernel Linux 5.12 or later?"
    );
    Ok(registers)
}

/// Both forms, line by line. Other lines are other registers, or other programs' words.
fn parse(text: &str) -> Vec<(Bank, Vec<u8>)> {
    let mut found: Vec<(Bank, Vec<u8>)> = Vec::new();
    let mut section = None;
    for line in text.lines().map(str::trim) {
        let Some((name, value)) = line.rsplit_once(':') else { continue };
        let (name, value) = (name.trim(), value.trim());
        let named = name.rsplit_once("pcr-").and_then(|(_, rest)| rest.split_once('/'));
        let bank = match (named, value) {
            (Some((bank, register)), _) => (register == PCR.to_string()).then(|| bank.parse().ok()).flatten(),
            (None, "") => {
                section = name.parse::<Bank>().ok();
                None
            }
            (None, _) => section.filter(|_| name == PCR.to_string()),
        };
        let read = bank.and_then(|bank| Some((bank, digest(bank, value.trim_start_matches("0x"))?)));
        found.extend(read.filter(|(bank, _)| found.iter().all(|(other, _)| other != bank)));
    }
    found
}

fn digest(bank: Bank, hex: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().filter(|value| value.len() == bank.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tpm2_pcrread_prints_is_read() {
        let sha1 = "AB".repeat(20);
        let sha256 = "cd".repeat(32);
        let text = format!(
            "  sha1:\n    13: 0x{sha1}\n    14: 0x{sha1}\n  sha256:\n    1 : 0x{sha256}\n    14: 0x{sha256}\n  sm3_256:\n    14: 0x{sha256}\n"
        );
        assert_eq!(parse(&text), [(Bank::Sha1, vec![0xab; 20]), (Bank::Sha256, vec![0xcd; 32])]);
        assert_eq!(parse("  sha256:\n    14: 0x1234\n"), [], "a value that is cut");
    }

    #[test]
    fn what_the_kernel_has_is_read() {
        let (value, other) = ("0A".repeat(32), "0B".repeat(20));
        let text = format!(
            "/sys/class/tpm/tpm0/pcr-sha256/14:{value}\n/sys/class/tpm/tpm0/pcr-sha1/1:{other}\n/sys/class/tpm/tpm0/pcr-sha1/14:{other}\n"
        );
        assert_eq!(parse(&text), [(Bank::Sha256, vec![0x0a; 32]), (Bank::Sha1, vec![0x0b; 20])]);
    }

    #[test]
    fn a_text_without_the_register_is_said_to_be_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pcrs");
        fs::write(&path, "  sha256:\n    7 : 0x00\n").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("has no register 14; wanted what `tpm2_pcrread sha256:14`"), "{error}");
    }
}
