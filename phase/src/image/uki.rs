//! `phase image uki`: one UEFI program that is kernel, initramfs and command line, for 64-bit UEFI without a boot loader, and
//! for Secure Boot with keys of one's own.

use std::path::PathBuf;

use init::mode::Mode;
use initramfs::{
    image::{Signer, Uki},
    pack::kernel::Arch,
};
use serde::Serialize;

use super::parts::{KERNEL_BYTES, Output, Parts};
use crate::{output, progress};

/// Makes a unified kernel image: one UEFI program with everything in it, which one signature covers.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct UkiArgs {
    /// What is booted
    #[command(flatten)]
    pub parts: Parts,
    /// internet, local or private; without it, Phase Boot's menu asks
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Who signs it
    #[command(flatten)]
    pub signing: Signing,
    /// What it begins with
    #[command(flatten)]
    pub stub: Stub,
    /// Where the image goes
    #[command(flatten)]
    pub output: Output,
}

/// Whose signature a UKI gets, if it gets one.
#[derive(Debug, Clone, clap::Args)]
pub struct Signing {
    /// The private key (PEM) that the UKI is signed with, for Secure Boot; sbsign asks for its passphrase
    #[arg(long = "sign-key", value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// The key's certificate (PEM), which the firmware has to have in its db
    #[arg(long = "sign-cert", value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
}

/// What a UKI begins with.
#[derive(Debug, Clone, clap::Args)]
pub struct Stub {
    /// systemd's stub, which the UKI begins with, instead of Debian's for the kernel's architecture
    #[arg(long = "stub", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Signing {
    fn signer(&self) -> Option<Signer> {
        let (key, certificate) = self.key.clone().zip(self.certificate.clone())?;
        Some(Signer { key, certificate })
    }
}

const EXAMPLES: &str = "\
Examples:
  phase image uki --kernel vmlinuz --initramfs boot.cpio.zst --out phase.efi
  phase image uki --kernel vmlinuz --initramfs boot.cpio.zst --mode internet \\
      --sign-key db.key --sign-cert db.pem --out phase.efi
  phase image uki --kernel vmlinuz-arm64 --initramfs boot-arm64.cpio.zst --stub \\
      build/package/aarch64/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxaa64.efi.stub \\
      --out arm64.efi

A firmware starts it as EFI/BOOT/BOOTX64.EFI (arm64: BOOTAA64.EFI) of a FAT partition.
docs/secure-boot.md has how keys are made and enrolled.";

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub out: PathBuf,
    /// Bytes.
    pub size: u64,
    /// What it runs on.
    pub arch: &'static str,
    /// All that the kernel is told.
    pub command_line: String,
    /// The certificate of whoever signed it.
    pub signed_by: Option<PathBuf>,
}

/// Makes the program and writes it.
///
/// # Errors
/// Kernel or initramfs are not what a machine would take, the stub or a program is missing, or the output exists.
pub fn uki(args: &UkiArgs) -> anyhow::Result<Report> {
    let existing = args.output.existing()?;
    let kernel = args.parts.check(&Arch::ALL)?.kernel;
    let parameters = args.parts.parameters(kernel.arch)?;
    let mode = args.mode.map(|mode| format!("phase.mode={mode} "));
    let command_line = mode.unwrap_or_default() + parameters;
    let bar = progress::spinner("making the UKI");
    let bytes = Uki {
        stub: args.stub.file.clone(),
        kernel: &output::read_limited(&args.parts.kernel, KERNEL_BYTES)?,
        arch: kernel.arch,
        version: kernel.version.as_deref(),
        initramfs: &output::read_limited(&args.parts.initramfs, u64::from(u32::MAX))?,
        command_line: &command_line,
        os_release: concat!(
            "ID=phase-boot\nNAME=\"Phase Boot\"\nPRETTY_NAME=\"Phase Boot\"\nVERSION_ID=",
            env!("CARGO_PKG_VERSION"),
            "\n"
        ),
        mtime: args.parts.mtime,
    }
    .make()?;
    let image = output::temporary_beside(&args.output.out)?;
    std::fs::write(image.path(), &bytes)?;
    // sbsign may ask for a passphrase, where the bar would stand.
    bar.finish_and_clear();
    let signer = args.signing.signer();
    if let Some(signer) = &signer {
        signer.sign(image.path())?;
    }
    let size = image.path().metadata()?.len();
    output::persist(image, &args.output.out, 0o644, existing)?;
    Ok(Report {
        out: args.output.out.clone(),
        size,
        arch: kernel.arch.as_str(),
        command_line,
        signed_by: signer.map(|signer| signer.certificate),
    })
}

/// Prints what was made.
pub fn print(report: &Report) {
    println!("UKI          {}", report.out.display());
    println!("size         {} KiB, for {}", report.size.div_ceil(1024), report.arch);
    println!("parameters   {}", report.command_line);
    match &report.signed_by {
        Some(certificate) => println!("signature    by {}", certificate.display()),
        None => println!("signature    none: Secure Boot refuses it (--sign-key, --sign-cert, or sbsign)"),
    }
}
