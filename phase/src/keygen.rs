//! `phase keygen`: a new Ed25519 key pair on disk, mode 0600, never over an existing file.

use std::{ffi::OsString, fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde::Serialize;
use verify::KeyId;

use crate::{
    key::{PrivateKey, passphrase},
    output::{self, Existing},
};

/// Makes an Ed25519 key pair: NAME (private, mode 0600) and NAME.pub.
#[derive(clap::Args)]
#[command(after_help = "\
The passphrase is asked twice on the terminal; scripts set PHASE_PASSPHRASE. \
Existing files are never overwritten.

Examples:
  phase keygen --out keys/release
  PHASE_PASSPHRASE=... phase keygen --out keys/release --json
  openssl pkey -in keys/release -text     # the files are PKCS#8 and SPKI PEM")]
pub struct Args {
    /// Where the private key goes; the public key gets the same name with `.pub`. A missing directory is made (0700)
    #[arg(long, value_name = "DIR/NAME")]
    pub out: PathBuf,
    /// Store the private key unencrypted
    #[arg(long)]
    pub no_passphrase: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The new key pair; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file with the private key.
    pub private: PathBuf,
    /// The file with the public key.
    pub public: PathBuf,
    /// What signatures call it.
    pub key_id: KeyId,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = generate(args)?;
    output::show(&report, args.json, |report| {
        println!("private key  {}", report.private.display());
        println!("public key   {}", report.public.display());
        println!("key id       {}", report.key_id);
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the key pair.
///
/// # Errors
/// One of the files exists, there is no passphrase, or the host has no randomness.
pub fn generate(args: &Args) -> anyhow::Result<Report> {
    let public_path = public_path(&args.out);
    // Before the passphrase is asked: nobody types it twice for nothing.
    output::refuse_existing(&args.out)?;
    output::refuse_existing(&public_path)?;
    let secret = if args.no_passphrase { None } else { Some(passphrase::new(&args.out)?) };
    let key = PrivateKey::generate()?;
    make_directory(&args.out)?;
    output::write(&args.out, key.to_pem(secret.as_deref().map(String::as_str))?.as_bytes(), 0o600, Existing::Keep)?;
    output::write(&public_path, key.public().to_pem()?.as_bytes(), 0o644, Existing::Keep)?;
    Ok(Report { private: args.out.clone(), public: public_path, key_id: key.public().id() })
}

/// `NAME.pub` beside `NAME`.
pub fn public_path(private: &Path) -> PathBuf {
    let mut name = OsString::from(private);
    name.push(".pub");
    PathBuf::from(name)
}

fn make_directory(file: &Path) -> anyhow::Result<()> {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot make {}", directory.display())),
        _ => Ok(()),
    }
}
