//! `phase image pxe`: a folder that a server of TFTP or HTTP gives away as it is, and that machines are started from over a
//! network, by PXE, iPXE or UEFI's HTTP boot.
//!
//! Guarantees: nothing in it names a server or a path unless `--server` does, so that it may stand anywhere; the same kernel,
//! initramfs, parameters and GRUB give the same bytes; a server sees all of its files, or none.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use initramfs::{
    image::{BootFile, Content, network_loaders},
    pack::kernel::Arch,
};
use serde::Serialize;

use super::{
    folder::Folder,
    parts::{Grub, Parts},
};
use crate::{
    cli::UsageError,
    output::{self, Existing},
    progress,
};

/// Where kernel and initramfs are for a GRUB that was fetched; stands behind the menu.
const NETWORK: &str = include_str!("../../../grub/network.cfg");
/// The menu for iPXE, with [`PLACEHOLDER`] for the kernel's parameters.
const IPXE: &str = include_str!("../../../grub/boot.ipxe");
const PLACEHOLDER: &str = "PARAMETERS";
/// What a DHCP server says.
const DNSMASQ: &str = include_str!("../../../grub/dnsmasq.conf");
/// What stands before that in the folder's README.txt, with [`LOADERS`] for what an architecture has.
const README: &str = "\
Machines are started from this folder over a network: serve it over TFTP, and over HTTP on port 80
besides, which is faster. Nothing in it names a server; it may stand in any folder of one.

  boot.ipxe                what iPXE is given
LOADERS
  grub/*.cfg               GRUB's menu
  vmlinuz, boot.cpio.zst   kernel and initramfs

Lines for dnsmasq, if it is the network's only DHCP server. 10.77.0.1 stands for the server, /srv/phase for
the folder of PCs, and /srv/phase/arm64 for that of arm64, if there is one. Beside another DHCP server:
docs/quick-start-pxe.md. HTTP boot: docs/quick-start-uefi-http.md.

";
const LOADERS: &str = "LOADERS";
/// What each GRUB is for.
const OF_PCS: &str = "\
  grub/i386-pc.0           what PXE of a BIOS is given
  grub/x86_64.efi          what PXE, or HTTP boot, of a 64-bit UEFI is given
  grub/i386.efi            the same of a 32-bit UEFI";
const OF_ARM64: &str = "\
  grub/arm64.efi           what PXE, or HTTP boot, of a UEFI is given";

/// Makes a folder that machines are started from over a network: PXE, iPXE, UEFI's HTTP boot.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PxeArgs {
    /// What is booted
    #[command(flatten)]
    pub parts: Parts,
    /// Where GRUB comes from
    #[command(flatten)]
    pub grub: Grub,
    /// The server's address, if DHCP may not tell it to GRUB: beside a proxy-DHCP server, and for HTTP boot where `next server`
    /// cannot be set. The folder has to be the root of that server then, or that of arm64 `arm64` there
    #[arg(long, value_name = "ADDRESS", value_parser = server)]
    pub server: Option<String>,
    /// Where the folder goes
    #[command(flatten)]
    pub folder: Folder,
}

const EXAMPLES: &str = "\
Examples:
  phase image pxe --kernel vmlinuz --initramfs boot.cpio.zst --out /srv/phase
  phase image pxe --kernel vmlinuz --initramfs boot.cpio.zst --out /srv/phase \\
      --parameters 'console=ttyS0 quiet phase.origin=http://10.77.0.1/releases'
  phase image pxe --kernel vmlinuz-arm64 --initramfs boot-arm64.cpio.zst --out /srv/phase/arm64 \\
      --grub build/package/aarch64/grub-efi-arm64-bin/usr/lib/grub

The initramfs needs the drivers of network cards: phase image initramfs
--modules net,root. What a DHCP server has to say stands in README.txt of the
folder.";

/// What was made; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder.
    pub out: PathBuf,
    /// Its files, by name.
    pub files: Vec<Made>,
}

/// A file of the folder.
#[derive(Debug, Serialize)]
pub struct Made {
    /// Where it stands in the folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// Makes the folder.
///
/// # Errors
/// Kernel or initramfs are not what a machine would take, GRUB is missing, or the folder has files already.
pub fn pxe(args: &PxeArgs) -> anyhow::Result<Report> {
    args.folder.existing()?;
    let arch = args.parts.check(&Arch::ALL)?.kernel.arch;
    let bar = progress::spinner("making the folder");
    let mut files = texts(&args.parts, arch)?;
    files.extend(network_loaders(&args.grub.folder, arch, args.server.as_deref())?);
    for (path, source) in [("boot.cpio.zst", &args.parts.initramfs), ("vmlinuz", &args.parts.kernel)] {
        files.push(BootFile { path: path.to_owned(), content: Content::File(source.clone()) });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let staging = args.folder.stage()?;
    let mut made = Vec::new();
    for file in files {
        let size = put(staging.path(), &file)?;
        made.push(Made { path: file.path, size });
    }
    let paths: Vec<&str> = made.iter().map(|file| file.path.as_str()).collect();
    staging.finish(&paths, None)?;
    bar.finish_and_clear();
    Ok(Report { out: args.folder.out.clone(), files: made })
}

/// Prints what was made.
pub fn print(report: &Report) {
    println!("folder       {}", report.out.display());
    for Made { path, size } in &report.files {
        println!("{:>9} KiB  {path}", size.div_ceil(1024));
    }
    println!("serve it     over TFTP, and over HTTP on port 80; for DHCP, see README.txt there");
}

/// An IPv4 address or a host's name, which GRUB takes as it is.
fn server(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if (1..=253).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("wanted an IPv4 address or a host's name: letters, digits, dots and hyphens".to_owned())
    }
}

/// The files that are written by hand: menus and README.txt.
fn texts(parts: &Parts, arch: Arch) -> anyhow::Result<Vec<BootFile>> {
    let parameters = parts.parameters(arch)?;
    if let Some(word) = parameters.split(' ').find(|word| matches!(*word, "||" | "&&")) {
        return Err(UsageError(format!("--parameters has the word {word}, where iPXE ends a command")).into());
    }
    let mut files = parts.menu()?;
    for file in &mut files {
        // On media, GRUB's folder is that of an installed GRUB.
        file.path = file.path.trim_start_matches("boot/").to_owned();
        if let ("grub/grub.cfg", Content::Bytes(text)) = (file.path.as_str(), &mut file.content) {
            text.extend_from_slice(NETWORK.as_bytes());
        }
    }
    let text =
        |path: &str, text: String| BootFile { path: path.to_owned(), content: Content::Bytes(text.into_bytes()) };
    files.push(text("boot.ipxe", IPXE.replace(PLACEHOLDER, parameters)));
    let loaders = match arch {
        Arch::X86_64 => OF_PCS,
        Arch::Aarch64 => OF_ARM64,
    };
    files.push(text("README.txt", README.replace(LOADERS, loaders) + DNSMASQ));
    Ok(files)
}

/// Writes one file to `folder`, where none is yet; returns its size in bytes.
fn put(folder: &Path, file: &BootFile) -> anyhow::Result<u64> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    let mut temporary = output::temporary_beside(&path)?;
    let context = || format!("cannot write {}", path.display());
    let size = match &file.content {
        Content::Bytes(bytes) => {
            temporary.write_all(bytes).with_context(context)?;
            bytes.len() as u64
        }
        Content::File(source) => fs::File::open(source)
            .and_then(|mut source| std::io::copy(&mut source, temporary.as_file_mut()))
            .with_context(|| format!("cannot copy {} to {}", source.display(), path.display()))?,
    };
    output::persist(temporary, &path, 0o644, Existing::Keep)?;
    Ok(size)
}
