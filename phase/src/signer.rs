//! Who signs: private key files, and commands that have a key elsewhere (a token, an HSM, a CI's secret store).
//!
//! One set of options, [`Signers`], for every command that signs. All signatures are made and checked against their
//! public keys before the command writes anything.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use verify::Envelope;

use crate::{
    cli::UsageError,
    key::{PrivateKey, PublicKey, passphrase},
};

/// The longest answer that is read: a signature in hex, with room for line breaks, is far shorter.
const ANSWER_LIMIT: u64 = 1024;

/// How often a running command is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// The options of a command that signs.
#[derive(clap::Args, Clone, Debug)]
pub struct Signers {
    /// Private key to sign with (PEM, OpenSSH, minisign, signify or raw); may be repeated
    #[arg(long, value_name = "KEY")]
    pub key: Vec<PathBuf>,
    /// Command that signs, for `sh -c`: gets the bytes (DSSE's encoding) on its standard input and answers with the
    /// Ed25519 signature over them: 64 raw bytes, base64, or hex; may be repeated
    #[arg(long, value_name = "COMMAND", requires = "signer_public")]
    pub signer: Vec<String>,
    /// The public key of a --signer, in the same order
    #[arg(long, value_name = "PUB", requires = "signer")]
    pub signer_public: Vec<PathBuf>,
    /// How long a --signer may take: somebody may have to touch a token
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub signer_timeout: u64,
}

/// Something that signs.
enum Signer<'a> {
    Key(PrivateKey),
    Command { command: &'a str, public: PublicKey, public_file: &'a Path, timeout: Duration },
}

/// Everybody who is going to sign, with keys read and passphrases given.
pub struct Opened<'a>(Vec<Signer<'a>>);

impl Signers {
    /// One private key file.
    pub fn of_key(key: PathBuf) -> Self {
        Self { key: vec![key], signer: Vec::new(), signer_public: Vec::new(), signer_timeout: 0 }
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.key.is_empty() && self.signer.is_empty()
    }

    /// Whether the options belong together, before anything is read.
    ///
    /// # Errors
    /// Nobody is to sign, or a command stands without its public key.
    pub fn check(&self) -> Result<(), UsageError> {
        let (commands, publics) = (self.signer.len(), self.signer_public.len());
        if self.is_empty() {
            Err(UsageError("nobody signs: give --key, or --signer and --signer-public".to_owned()))
        } else if commands != publics {
            Err(UsageError(format!(
                "{commands} --signer and {publics} --signer-public: each command has its public key"
            )))
        } else {
            Ok(())
        }
    }

    /// Reads the keys, asking for passphrases as needed. No command is run yet.
    ///
    /// # Errors
    /// As those of [`Self::check`], or a key cannot be read.
    pub fn open(&self) -> anyhow::Result<Opened<'_>> {
        self.check()?;
        let keys = self.key.iter().map(|file| PrivateKey::read(file).map(Signer::Key));
        let commands = self.signer.iter().zip(&self.signer_public).map(|(command, public_file)| {
            let timeout = Duration::from_secs(self.signer_timeout);
            Ok(Signer::Command { command, public: PublicKey::read(public_file)?, public_file, timeout })
        });
        keys.chain(commands).collect::<anyhow::Result<_>>().map(Opened)
    }
}

impl Opened<'_> {
    /// Adds a signature of each; a key that has signed already replaces its signature.
    ///
    /// # Errors
    /// A command failed, took too long, or gave what is not its key's signature. The envelope is then of no use.
    pub fn sign(&self, envelope: &mut Envelope) -> anyhow::Result<()> {
        let message = envelope.pae();
        for signer in &self.0 {
            envelope.add_signature(signer.public().id(), signer.sign(&message)?);
        }
        Ok(())
    }
}

impl Signer<'_> {
    fn public(&self) -> PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Command { public, .. } => public.clone(),
        }
    }

    fn sign(&self, message: &[u8]) -> anyhow::Result<[u8; 64]> {
        match self {
            Self::Key(key) => Ok(key.sign(message)),
            Self::Command { command, public, public_file, timeout } => {
                let sig = run(command, message, *timeout)
                    .and_then(|answer| signature(&answer))
                    .with_context(|| format!("the signer {command:?}"))?;
                ensure!(
                    public.verifies(message, &sig),
                    "the signer {command:?} gave a signature that is not one of {} (key id {}) over these bytes",
                    public_file.display(),
                    public.id()
                );
                Ok(sig)
            }
        }
    }
}

/// Runs `command` with `message` on its standard input and returns what it wrote to its standard output; standard error is
/// ours, for prompts. Both are files without a name: the command can neither block us nor wait for us, and programs that
/// ask for the size of their input before they sign (OpenSSL) can be given `/dev/stdin`. The passphrase of the keys that are
/// files is none of the command's business, nor of anything that it runs or logs.
fn run(command: &str, message: &[u8], timeout: Duration) -> anyhow::Result<Vec<u8>> {
    let mut input = tempfile::tempfile().context("cannot make a temporary file")?;
    input.write_all(message).and_then(|()| input.rewind()).context("cannot write a temporary file")?;
    let mut output = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env_remove(passphrase::VARIABLE)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output.try_clone().context("cannot share a temporary file")?))
        .spawn()
        .context("cannot run sh")?;
    let Some(status) = wait(&mut child, &output, timeout)? else {
        bail!("was stopped after {} s without an end (--signer-timeout)", timeout.as_secs());
    };
    ensure!(status.success(), "failed ({status})");
    output.rewind().context("cannot read its answer")?;
    let mut answer = Vec::new();
    output.take(ANSWER_LIMIT + 1).read_to_end(&mut answer).context("cannot read its answer")?;
    Ok(answer)
}

/// Waits for the end of `child`, or kills it: after `timeout` (`None`), or as soon as it has written too much. It is the
/// shell that is killed; a group of its own, to kill all of it, would take the terminal from a program that asks for a PIN.
fn wait(child: &mut Child, output: &File, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for it")? {
            return Ok(Some(status));
        }
        let written = output.metadata().context("cannot look at its answer")?.len();
        if written > ANSWER_LIMIT || start.elapsed() >= timeout {
            child.kill().and_then(|()| child.wait()).context("cannot stop it")?;
            ensure!(written <= ANSWER_LIMIT, "gave more than {ANSWER_LIMIT} bytes, and no signature has so many");
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

/// The signature in an answer: 64 raw bytes, or a text of base64 or hex with whatever white space.
fn signature(answer: &[u8]) -> anyhow::Result<[u8; 64]> {
    if let Ok(raw) = answer.try_into() {
        return Ok(raw);
    }
    let text: Vec<u8> = answer.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = if text.len() == 128 { HEXLOWER_PERMISSIVE.decode(&text) } else { BASE64.decode(&text) };
    match decoded.map(<[u8; 64]>::try_from) {
        Ok(Ok(sig)) => Ok(sig),
        _ => bail!("gave {} bytes; wanted a signature: 64 raw bytes, base64, or 128 hex digits", answer.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_be_raw_base64_or_hex() {
        let sig: [u8; 64] = std::array::from_fn(|n| u8::try_from(n).unwrap() + 10);
        let hex = data_encoding::HEXUPPER.encode(&sig);
        let base64 = BASE64.encode(&sig);
        // `base64` breaks lines after 76 characters, `xxd -p` after 60.
        let broken = format!("{}\n{}\n", &base64[..76], &base64[76..]);
        for answer in [sig.to_vec(), hex.clone().into_bytes(), base64.into_bytes(), broken.into_bytes()] {
            assert_eq!(signature(&answer).unwrap(), sig);
        }
        for wrong in [&sig[..63], b"", &hex.as_bytes()[1..], "g".repeat(128).as_bytes()] {
            let message = signature(wrong).unwrap_err().to_string();
            assert!(message.starts_with(&format!("gave {} bytes; wanted", wrong.len())), "{message}");
        }
    }

    fn answer(command: &str) -> anyhow::Result<Vec<u8>> {
        run(command, b"message", Duration::from_millis(500))
    }

    fn refused(command: &str) -> String {
        format!("{:#}", answer(command).unwrap_err())
    }

    #[test]
    fn a_command_gets_the_bytes_and_gives_an_answer() {
        assert_eq!(answer("cat").unwrap(), b"message");
        assert_eq!(answer("wc -c < /dev/stdin").unwrap(), b"7\n");
        // One that does not read is no problem either.
        assert_eq!(answer("echo done").unwrap(), b"done\n");
    }

    #[test]
    fn a_command_that_fails_hangs_or_floods_is_an_error() {
        assert!(refused("cat; exit 3").contains("exit status: 3"));
        assert!(refused("exec no-such-program-here 2>/dev/null").contains("exit status: 127"));
        assert!(refused("kill -9 $$").contains("signal: 9"));
        let start = Instant::now();
        assert!(refused("exec sleep 60").contains("--signer-timeout"));
        assert!(refused("exec yes").contains("more than 1024 bytes"));
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
