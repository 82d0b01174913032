//! What every way in is made of: a boot kernel, a boot initramfs, parameters, and a release if one is carried.
//!
//! Guarantees: [`Parts::check`] refuses what a machine would refuse, before anything is made: a kernel for another
//! architecture, an initramfs that is not one of stage one, a configuration that init does not take.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use initramfs::{
    image::{BootFile, Content, GRUB_FOLDER, Uuid},
    newc::Archive,
    pack::{
        compress::Format,
        kernel::{Arch, KernelInfo},
        size::Limits,
    },
};
use verify::{Fields, LIMITS, Store};

use super::config;
use crate::{
    cli::UsageError,
    output::{self, Existing},
};

/// The menu's entries, and the configuration around them.
const ENTRIES: &str = include_str!("../../../grub/phase.cfg");
const CONFIGURATION: &str = include_str!("../../../grub/image.cfg");
/// What GRUB writes with on a framebuffer: letters, arrows and the lines of the menu's frame.
const FONT: &str = "/usr/share/grub/ascii.pf2";
/// What published trees call a release, in the folder of its channel and architecture.
const MANIFEST: &str = "manifest.dsse.json";
/// Largest kernel in bytes.
pub(super) const KERNEL_BYTES: u64 = 1 << 30;
/// Longest `--parameters` in bytes: with the menu's own they stay below the 2,048 of x86 kernels.
const LONGEST: usize = 1024;

/// What is booted, and what it is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Parts {
    /// The boot kernel
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The boot initramfs, of `phase image initramfs --stage boot`
    #[arg(long, value_name = "FILE")]
    pub initramfs: PathBuf,
    /// Kernel parameters, instead of `console=ttyS0,115200 console=tty0 quiet`, of which arm64 has only `quiet`
    #[arg(long, value_name = "TEXT")]
    pub parameters: Option<String>,
    /// Time of every file in seconds since 1970
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    pub mtime: u32,
}

/// Where GRUB comes from.
#[derive(Debug, Clone, clap::Args)]
pub struct Grub {
    /// The folder that has GRUB's modules, one folder for each platform
    #[arg(long = "grub", value_name = "DIR", default_value = GRUB_FOLDER)]
    pub folder: PathBuf,
}

/// Where one file goes.
#[derive(Debug, Clone, clap::Args)]
pub struct Output {
    /// Where the image goes
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What a look into the parts found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the kernel says of itself.
    pub kernel: KernelInfo,
    /// The PARTUUID that the initramfs remembers on, if it does so on a disk.
    pub remembers_on: Option<Uuid>,
}

impl Output {
    /// What happens to a file that is there.
    ///
    /// # Errors
    /// There is one, and nobody said `--force`.
    pub fn existing(&self) -> anyhow::Result<Existing> {
        let existing = Existing::from_force(self.force);
        existing.allows(&self.out)?;
        Ok(existing)
    }
}

impl Parts {
    /// Looks into kernel and initramfs. `wanted` are the architectures that can be started.
    ///
    /// # Errors
    /// One of them is not what a machine would take.
    pub fn check(&self, wanted: &[Arch]) -> anyhow::Result<Checked> {
        self.given_parameters()?;
        let kernel = check_kernel(&self.kernel, wanted).with_context(|| self.kernel.display().to_string())?;
        let remembers_on = remembers_on(&self.initramfs).with_context(|| self.initramfs.display().to_string())?;
        Ok(Checked { kernel, remembers_on })
    }

    /// What a kernel for `arch` is told, besides what an entry of a menu adds.
    ///
    /// # Errors
    /// There are characters that GRUB, iPXE or the kernel would read otherwise, or too many.
    pub fn parameters(&self, arch: Arch) -> anyhow::Result<&str> {
        Ok(self.given_parameters()?.unwrap_or(usual_parameters(arch)))
    }

    fn given_parameters(&self) -> anyhow::Result<Option<&str>> {
        let Some(text) = self.parameters.as_deref() else { return Ok(None) };
        let plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !br#"'"\*?$"#.contains(&byte);
        // GRUB's menu would take an empty text for none, and its own parameters.
        if text.trim().is_empty() || text.len() > LONGEST || !text.bytes().all(plain) {
            let problem = format!(
                "--parameters is {text:?}; wanted a word or more, of at most {LONGEST} printable ASCII characters without ' \" \\ * ? $"
            );
            return Err(UsageError(problem).into());
        }
        Ok(Some(text))
    }

    /// GRUB's menu: `boot/grub/grub.cfg`, and the entries beside it.
    ///
    /// # Errors
    /// Those of [`Self::parameters`].
    pub fn menu(&self) -> anyhow::Result<Vec<BootFile>> {
        // Without --parameters, phase.cfg knows what is usual on the machine that it finds itself on.
        let given = self.given_parameters()?;
        let given = given.map_or(String::new(), |given| format!("set phase_parameters='{given}'\n"));
        let configuration = format!("{given}{CONFIGURATION}");
        Ok(vec![
            file("boot/grub/grub.cfg", Content::Bytes(configuration.into_bytes())),
            file("boot/grub/phase.cfg", Content::Bytes(ENTRIES.into())),
        ])
    }

    /// Kernel and initramfs, where the menu looks for them.
    pub fn boot_files(&self) -> Vec<BootFile> {
        vec![
            file("boot/phase/vmlinuz", Content::File(self.kernel.clone())),
            file("boot/phase/boot.cpio.zst", Content::File(self.initramfs.clone())),
        ]
    }

    /// All that stands on a medium which GRUB starts: menu and its font, kernel, initramfs, and the release if there is one.
    ///
    /// # Errors
    /// Those of [`Self::menu`] and [`release_files`], or there is no font.
    pub fn medium(&self, release: Option<&Path>) -> anyhow::Result<Vec<BootFile>> {
        anyhow::ensure!(Path::new(FONT).exists(), "{FONT} is not there: apt-get install grub-common");
        let mut files = [self.menu()?, self.boot_files()].concat();
        files.push(file("boot/grub/ascii.pf2", Content::File(FONT.into())));
        files.extend(release.map_or(Ok(Vec::new()), release_files)?);
        Ok(files)
    }
}

/// What the kernel is told if nobody says otherwise, as grub/phase.cfg has it: screen and first serial line, and no more messages
/// than needed. Which serial line there is, the firmware of arm64 says.
fn usual_parameters(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "console=ttyS0,115200 console=tty0 quiet",
        Arch::Aarch64 => "quiet",
    }
}

fn file(path: &str, content: Content) -> BootFile {
    BootFile { path: path.to_owned(), content }
}

fn check_kernel(path: &Path, wanted: &[Arch]) -> anyhow::Result<KernelInfo> {
    let info = KernelInfo::parse(&output::read_limited(path, KERNEL_BYTES)?)?;
    let names: Vec<_> = wanted.iter().map(|arch| arch.as_str()).collect();
    anyhow::ensure!(
        wanted.contains(&info.arch),
        "the kernel is for {}; this starts kernels for {}",
        info.arch.as_str(),
        names.join(" or ")
    );
    Ok(info)
}

/// The partition that a boot initramfs remembers on; fails for anything but a boot initramfs.
fn remembers_on(path: &Path) -> anyhow::Result<Option<Uuid>> {
    let limit = Limits::DEFAULT.unpacked;
    let bytes = output::read_limited(path, limit)?;
    let archive = Format::of(&bytes)?.decompress(&mut bytes.as_slice(), limit)?;
    let mut members = BTreeMap::new();
    for entry in Archive::new(&archive) {
        let entry = entry?;
        members.insert(entry.name, entry.data);
    }
    let stage = members.get(&b"etc/phase/stage"[..]).map(|data| data.trim_ascii());
    anyhow::ensure!(
        stage == Some(b"boot"),
        "this is no boot initramfs: its etc/phase/stage is {}, wanted \"boot\" (phase image initramfs --stage boot)",
        stage.map_or("not there".to_owned(), |stage| format!("\"{}\"", stage.escape_ascii()))
    );
    members.get(&b"etc/phase/config.json"[..]).map_or(Ok(None), |config| partition_of(config))
}

/// The partition that a configuration names.
fn partition_of(bytes: &[u8]) -> anyhow::Result<Option<Uuid>> {
    config::check(bytes)?;
    let mut fields = Fields::parse("config", bytes, LIMITS.trust_bytes)?;
    let Some(mut state) = fields.optional("state", Fields::object)? else { return Ok(None) };
    match Store::read(&mut state)? {
        Store::Disk { partuuid } => Ok(Some(Uuid::parse_str(partuuid.as_str())?)),
        Store::None | Store::Tpm { .. } => Ok(None),
    }
}

/// The files of a published tree, below `phase/`, where private mode looks.
///
/// # Errors
/// The tree cannot be read, or there is no release in it.
pub fn release_files(tree: &Path) -> anyhow::Result<Vec<BootFile>> {
    let mut files = Vec::new();
    let mut folders = vec![(tree.to_owned(), "phase".to_owned())];
    while let Some((folder, path)) = folders.pop() {
        let context = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(context)? {
            let entry = entry.with_context(context)?;
            let (source, name) = (entry.path(), entry.file_name());
            let name = name.to_str().with_context(|| format!("the name of {} is not UTF-8", source.display()))?;
            let path = format!("{path}/{name}");
            let kind = entry.file_type().with_context(context)?;
            if kind.is_dir() {
                folders.push((source, path));
            } else {
                anyhow::ensure!(kind.is_file(), "{} is neither a file nor a directory", source.display());
                files.push(BootFile { path, content: Content::File(source) });
            }
        }
    }
    let published = |path: &str| matches!(path.split('/').collect::<Vec<_>>()[..], [_, _, _, MANIFEST]);
    anyhow::ensure!(
        files.iter().any(|file| published(&file.path)),
        "{} has no CHANNEL/ARCH/{MANIFEST} in it: wanted a tree of `phase publish --tree`",
        tree.display()
    );
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_and_a_uki_tell_the_kernel_the_same_if_nobody_says_otherwise() {
        let [other, of_arm64] = [Arch::X86_64, Arch::Aarch64].map(usual_parameters);
        assert!(ENTRIES.contains(&format!("set phase_parameters=\"{other}\"\n")), "{ENTRIES}");
        assert!(ENTRIES.contains(&format!("set phase_parameters={of_arm64}\n")), "{ENTRIES}");
    }
}
