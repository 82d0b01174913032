//! Passphrases: from the environment, else from the person at the terminal.

use std::{env, io::IsTerminal, path::Path};

use anyhow::{Context, bail};
use pkcs8::der::zeroize::Zeroizing;

/// Where scripts put a passphrase; a person is asked on the terminal.
pub const VARIABLE: &str = "PHASE_PASSPHRASE";

/// How the reader of a key file gets the passphrase of a key that has one.
pub type Ask<'a> = dyn Fn() -> anyhow::Result<Zeroizing<String>> + 'a;

/// The passphrase of an existing key: from the environment, else asked once on the terminal.
///
/// # Errors
/// No terminal, or an empty variable.
pub fn existing(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    match from_environment()? {
        Some(passphrase) => Ok(passphrase),
        None => ask(prompt),
    }
}

/// The passphrase of a new key: from the environment, else asked twice on the terminal.
///
/// # Errors
/// No terminal, an empty passphrase, or two that differ.
pub fn new(name: &Path) -> anyhow::Result<Zeroizing<String>> {
    if let Some(passphrase) = from_environment()? {
        return Ok(passphrase);
    }
    let first = ask(&format!("New passphrase for {}: ", name.display()))?;
    anyhow::ensure!(!first.is_empty(), "the passphrase is empty; for a key without one say --no-passphrase");
    let second = ask("The same again: ")?;
    anyhow::ensure!(first == second, "the two passphrases differ; nothing was written");
    Ok(first)
}

/// What is said of a key that the passphrase does not decrypt.
pub(super) fn wrong() -> anyhow::Error {
    anyhow::anyhow!("the key does not open with this passphrase")
}

fn from_environment() -> anyhow::Result<Option<Zeroizing<String>>> {
    match env::var(VARIABLE) {
        Ok(value) if value.is_empty() => bail!("{VARIABLE} is set but empty"),
        Ok(value) => Ok(Some(Zeroizing::new(value))),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context(VARIABLE),
    }
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!("a passphrase is needed and there is no terminal to ask on; set {VARIABLE}");
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).context("cannot read the passphrase from the terminal")
}
