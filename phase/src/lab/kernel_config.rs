//! Configurations of kernels: whether one has what init needs (`kernel-configs/required.config`), and the fragments of
//! `kernel-configs/` that a boot kernel of our own is made of.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, bail, ensure};
use verify::Arch;

/// What is required, each with its reason.
const REQUIRED: &str = include_str!("../../../kernel-configs/required.config");
/// What a boot kernel of our own has, whatever it runs on.
const COMMON: Fragment<'static> = Fragment::new("common", include_str!("../../../kernel-configs/common.config"));
/// Machines that one can touch.
const HARDWARE: Fragment<'static> = Fragment::new("hardware", include_str!("../../../kernel-configs/hardware.config"));
/// Virtual machines.
const QEMU: Fragment<'static> = Fragment::new("qemu", include_str!("../../../kernel-configs/qemu.config"));
const X86_64: Fragment<'static> = Fragment::new("x86_64", include_str!("../../../kernel-configs/x86_64.config"));
const AARCH64: Fragment<'static> = Fragment::new("aarch64", include_str!("../../../kernel-configs/aarch64.config"));

/// The requirements that `config` (a kernel's `.config`) does not meet, each as `CONFIG_NAME (reason)`.
///
/// A module is as good as a built-in: which of them the initramfs has to carry is its packer's concern.
pub(super) fn missing(config: &str) -> Vec<String> {
    required()
        .filter(|(name, _)| {
            !config.lines().any(|line| line.strip_prefix(name).is_some_and(|value| matches!(value, "=y" | "=m")))
        })
        .map(|(name, reason)| format!("{name} ({reason})"))
        .collect()
}

fn required() -> impl Iterator<Item = (&'static str, &'static str)> {
    REQUIRED.lines().filter_map(|line| {
        let (setting, reason) = line.split_once('#')?;
        Some((setting.trim().strip_suffix("=y")?, reason.trim()))
    })
}

/// Options that belong together, in lines `CONFIG_NAME=value # reason`; a line that begins with `#` is for people.
#[derive(Debug, Clone, Copy)]
struct Fragment<'a> {
    name: &'a str,
    text: &'a str,
}

/// One line of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting<'a> {
    /// `CONFIG_…`
    name: &'a str,
    /// `y`, `m`, `n` or a text in quotes.
    value: &'a str,
    reason: &'a str,
}

impl<'a> Fragment<'a> {
    const fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text }
    }

    fn options(self) -> anyhow::Result<Vec<Setting<'a>>> {
        let lines = self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let options = lines.map(|line| Setting::parse(line).with_context(|| format!("{}: {line:?}", self.name)));
        options.collect()
    }
}

impl<'a> Setting<'a> {
    fn parse(line: &'a str) -> anyhow::Result<Self> {
        let (setting, reason) = line.split_once('#').map_or((line, ""), |(setting, reason)| (setting, reason.trim()));
        let (name, value) = setting.split_once('=').context("wanted CONFIG_NAME=value # reason")?;
        ensure!(name.starts_with("CONFIG_"), "an option's name begins with CONFIG_");
        Ok(Self { name, value: value.trim(), reason })
    }
}

/// What a kernel is asked to have: every option of some fragments, once.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Value and reason by name.
    options: BTreeMap<String, (String, String)>,
}

impl Wanted {
    /// Our fragments for `arch`, and those of somebody else.
    ///
    /// # Errors
    /// A fragment cannot be read, or two of them disagree.
    pub(super) fn of(arch: Arch, further: &[impl AsRef<Path>]) -> anyhow::Result<Self> {
        let own = match arch {
            Arch::X86_64 => X86_64,
            Arch::Aarch64 => AARCH64,
        };
        let mut wanted = Self::merged(&[COMMON, own, QEMU, HARDWARE])?;
        for path in further {
            let path = path.as_ref();
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            wanted.add(Fragment { name: &path.display().to_string(), text: &text })?;
        }
        Ok(wanted)
    }

    fn merged(fragments: &[Fragment<'_>]) -> anyhow::Result<Self> {
        let mut wanted = Self { options: BTreeMap::new() };
        for fragment in fragments {
            wanted.add(*fragment)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, fragment: Fragment<'_>) -> anyhow::Result<()> {
        for Setting { name, value, reason } in fragment.options()? {
            let known = self.options.get(name).map(|(value, _)| value.as_str());
            if let Some(other) = known.filter(|other| *other != value) {
                bail!("{} wants {name}={value}, and another fragment wants {name}={other}", fragment.name);
            }
            self.options.insert(name.to_owned(), (value.to_owned(), reason.to_owned()));
        }
        Ok(())
    }

    /// The options as a kernel's `.config` has them, for `make allnoconfig KCONFIG_ALLCONFIG=FILE`.
    pub(super) fn config(&self) -> String {
        let line = |(name, (value, _)): (&String, &(String, String))| match value.as_str() {
            "n" => format!("# {name} is not set\n"),
            value => format!("{name}={value}\n"),
        };
        self.options.iter().map(line).collect()
    }

    /// Whether `config`, which the kernel's own rules made of [`Self::config`], still has every option: they drop those whose
    /// conditions do not hold, without a word.
    ///
    /// # Errors
    /// It does not; each option that did not take is named, with the value that it has, and its reason.
    pub(super) fn check(&self, config: &str) -> anyhow::Result<()> {
        let made: BTreeMap<&str, &str> =
            config.lines().filter(|line| line.starts_with("CONFIG_")).filter_map(|line| line.split_once('=')).collect();
        let lost = self.options.iter().filter_map(|(name, (value, reason))| {
            let seen = made.get(name.as_str()).copied().unwrap_or("n");
            (seen != value).then(|| format!("\n  {name} is {seen}, wanted {value} ({reason})"))
        });
        let lost: Vec<String> = lost.collect();
        ensure!(
            lost.is_empty(),
            "{} of {} options did not take: the kernel has no such option, or what it depends on is missing{}",
            lost.len(),
            self.options.len(),
            lost.concat()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_met_or_named() {
        let all = required().map(|(name, _)| format!("{name}=m\n")).collect::<Vec<_>>().concat();
        assert_eq!(missing(&all), Vec::<String>::new());
        let without = all.replace("CONFIG_KEXEC_FILE=m", "# CONFIG_KEXEC_FILE is not set\nCONFIG_KEXEC_FILE_SIG=y");
        assert_eq!(missing(&without), ["CONFIG_KEXEC_FILE (the jump (boot kernel only; `direct` works without))"]);
        assert_eq!(missing("").len(), required().count());
        assert!(required().count() > 15);
    }

    #[test]
    fn every_option_of_ours_has_one_value_and_a_reason() {
        for fragment in [COMMON, HARDWARE, QEMU, X86_64, AARCH64] {
            let options = fragment.options().unwrap();
            assert!(options.len() > 5, "{}", fragment.name);
            for option in options {
                assert!(option.reason.len() > 3, "{}: {} has no reason", fragment.name, option.name);
                let plain = matches!(option.value, "y" | "m" | "n") || option.value.parse::<u32>().is_ok();
                assert!(plain || option.value.starts_with('"'), "{}: {}", fragment.name, option.name);
            }
        }
        for arch in [Arch::X86_64, Arch::Aarch64] {
            assert!(Wanted::of(arch, &[] as &[&Path]).unwrap().options.len() > 100);
        }
    }

    /// As `make olddefconfig` leaves it when `CRYPTO_SHA256` is a module: `KEXEC_FILE` depends on a built-in.
    const MADE: &str = "# Automatically generated file\nCONFIG_CRYPTO=y\nCONFIG_CRYPTO_SHA256=m\nCONFIG_LOCALVERSION=\"-x\"\n\
                        # CONFIG_SWAP is not set\nCONFIG_NR_CPUS=64\n";

    fn wanted(text: &str) -> anyhow::Result<Wanted> {
        Wanted::merged(&[Fragment::new("sample", text)])
    }

    #[test]
    fn an_option_that_did_not_take_is_named_with_its_value_and_its_reason() {
        let taken = "CONFIG_CRYPTO=y # digests\nCONFIG_SWAP=n\n# for people\n\nCONFIG_LOCALVERSION=\"-x\" # its name\nCONFIG_NR_CPUS=64";
        wanted(taken).unwrap().check(MADE).unwrap();
        let lost = "CONFIG_CRYPTO=y # digests\nCONFIG_CRYPTO_SHA256=y # purgatory\nCONFIG_KEXEC_FILE=y # the jump\n";
        let error = wanted(lost).unwrap().check(MADE).unwrap_err().to_string();
        assert!(error.starts_with("2 of 3 options did not take"), "{error}");
        assert!(error.contains("\n  CONFIG_CRYPTO_SHA256 is m, wanted y (purgatory)"), "{error}");
        assert!(error.contains("\n  CONFIG_KEXEC_FILE is n, wanted y (the jump)"), "{error}");
        let unwanted = wanted("CONFIG_CRYPTO=n # none").unwrap().check(MADE).unwrap_err().to_string();
        assert!(unwanted.contains("CONFIG_CRYPTO is y, wanted n"), "{unwanted}");
    }

    #[test]
    fn the_kernel_is_asked_in_its_own_words() {
        let wanted = wanted("CONFIG_SWAP=n # no disk to swap to\nCONFIG_NR_CPUS=64# enough\n").unwrap();
        assert_eq!(wanted.config(), "CONFIG_NR_CPUS=64\n# CONFIG_SWAP is not set\n");
    }

    #[test]
    fn fragments_that_disagree_or_are_none_are_refused() {
        let mut wanted = wanted("CONFIG_SWAP=n # no disk").unwrap();
        wanted.add(Fragment::new("same", "CONFIG_SWAP=n")).unwrap();
        let error = wanted.add(Fragment::new("mine.config", "CONFIG_SWAP=y")).unwrap_err().to_string();
        assert_eq!(error, "mine.config wants CONFIG_SWAP=y, and another fragment wants CONFIG_SWAP=n");
        let error = format!("{:#}", wanted.add(Fragment::new("mine.config", "SWAP=y")).unwrap_err());
        assert!(error.contains("mine.config: \"SWAP=y\"") && error.contains("begins with CONFIG_"), "{error}");
    }
}
