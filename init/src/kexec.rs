//! The jump into the verified kernel: its command line, the kernel's refusals in words, and the last step.

use std::convert::Infallible;
use std::ffi::CString;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::system::{RebootCommand, reboot};

use crate::cmdline;
use crate::compose::Next;
use crate::progress::Mib;
use crate::sys::kexec::file_load;
use crate::timeline::Kind;

/// Longest command line that x86 and arm64 take (`COMMAND_LINE_SIZE` of Linux), NUL included.
const LONGEST: usize = 2048;

/// Largest file in bytes that `kexec_file_load` reads (`kernel_read_file` of `fs/kernel_read_file.c` in Linux).
const LARGEST_FILE: u64 = i32::MAX as u64;

/// A kernel that could not be loaded or entered.
#[derive(Debug, thiserror::Error)]
pub enum KexecError {
    /// The command line is too long.
    #[error("the next kernel's command line has {seen} bytes; a kernel takes {}", LONGEST - 1)]
    CommandLine {
        /// Bytes.
        seen: usize,
    },
    /// The next initramfs is too large.
    #[error(
        "the release's initramfs and root take {}; kexec_file_load reads at most {}: make the root smaller",
        Mib(*.seen),
        Mib(LARGEST_FILE)
    )]
    TooLarge {
        /// Bytes.
        seen: u64,
    },
    /// The kernel refused to load it.
    #[error("kexec_file_load refused the release's kernel: {}", meaning(*.0))]
    Load(Errno),
    /// The kernel loads no other one while it uses a UEFI of 32 bits.
    #[error(
        "this machine's UEFI has 32 bits, and while it is in use, the kernel loads no other one (ENOEXEC): start stage one with \
         efi=noruntime, as the menus of `phase image` do"
    )]
    Firmware32,
    /// A driver does not let go of its device.
    #[error(
        "the driver of {device} does not let go of it within {} s, and the jump would wait for it for ever; \
         switch the machine off and on again",
        .patience.as_secs()
    )]
    Stuck {
        /// Name on its bus.
        device: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The kernel refused to jump.
    #[error("the kernel did not jump into the release's kernel: {0}")]
    Jump(Errno),
}

impl Kind for KexecError {
    fn kind(&self) -> &'static str {
        match self {
            Self::CommandLine { .. } => "cmdline",
            Self::Load(_) | Self::TooLarge { .. } | Self::Firmware32 => "kexec-load",
            Self::Jump(_) => "kexec-jump",
            Self::Stuck { .. } => "driver",
        }
    }
}

/// The kernel's answer, what it means here and what helps (`kernel/kexec_file.c` and, for signatures, `certs/system_keyring.c`
/// and `crypto/asymmetric_keys/verify_pefile.c` of Linux; docs/secure-boot.md has how each of them was provoked).
fn meaning(errno: Errno) -> String {
    let meaning = match errno {
        Errno::NOSYS => "this boot kernel has no CONFIG_KEXEC_FILE",
        Errno::NOEXEC => {
            "it is no kernel that this machine can start from here; under 32-bit UEFI start stage one with efi=noruntime"
        }
        Errno::INVAL => "too little memory in one piece, or a kernel without the entry point that is needed",
        Errno::NOMEM => "too little memory",
        Errno::NODATA => "it has no signature",
        Errno::NOKEY => "it is signed by no key that this machine trusts",
        Errno::KEYREJECTED | Errno::BADMSG => "its signature does not fit it, or was revoked",
        Errno::PERM => {
            "kernel.kexec_load_disabled is set, or kexec_load_limit_reboot used up, or it has no signature that this machine trusts"
        }
        Errno::ADDRNOTAVAIL => "the place where it has to stand is taken",
        _ => "see the kernel log",
    };
    let help = match errno {
        Errno::NODATA | Errno::NOKEY | Errno::KEYREJECTED | Errno::BADMSG | Errno::PERM => UNTRUSTED,
        _ => "",
    };
    format!("{errno}: {meaning}{help}")
}

/// What helps where lockdown demands a signature.
const UNTRUSTED: &str = "; under lockdown (Secure Boot) wanted: a kernel signed by a key of the firmware's db, of shim's list \
                         (MOK) or of the boot kernel itself, or the hand-off direct in the manifest";

/// The next kernel's command line: the signed one, and of this machine's own only what is on the allow-list of
/// docs/cmdline.md.
pub fn command_line(signed: &str, machine: &str) -> Result<CString, KexecError> {
    // No value of these has a space; what the next kernel takes for one (0xa0 too) cannot bring further words in.
    let plain = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic());
    let allowed = cmdline::words(machine).filter(|(key, value)| match (key.as_ref(), value.as_deref()) {
        ("console" | "phase.mode", Some(value)) => plain(value),
        word => matches!(word, ("phase.quiet", None) | ("efi", Some("noruntime"))),
    });
    let own: Vec<_> = allowed.filter(|word| !cmdline::words(signed).any(|signed| signed == *word)).collect();
    // What follows `--` is for the release's init; ours is for the kernel and stands before it.
    let (kernel, init) = cmdline::cut(signed.trim());
    let mut line = kernel.to_owned();
    if !line.is_empty() && !own.is_empty() {
        line.push(' ');
    }
    line.push_str(&cmdline::join(own.into_iter()));
    if let Some(init) = init {
        line.push_str(" -- ");
        line.push_str(init);
    }
    if line.len() >= LONGEST {
        return Err(KexecError::CommandLine { seen: line.len() });
    }
    let seen = line.len();
    CString::new(line).map_err(|_| KexecError::CommandLine { seen })
}

/// Whether an initramfs of `size` bytes can be loaded at all: asked before it is downloaded.
pub fn takes(size: u64) -> Result<(), KexecError> {
    if size > LARGEST_FILE { Err(KexecError::TooLarge { seen: size }) } else { Ok(()) }
}

/// How often a kernel may still be loaded, -1 without end (`kernel.kexec_load_limit_reboot`, Linux 6.3 and later).
const LIMIT: &str = "proc/sys/kernel/kexec_load_limit_reboot";

/// Whether this boot kernel, of the machine below `root` (normally `/`), loads kernels at all, which Debian's for arm64 do not:
/// asked before anything is downloaded for that. An image that is loaded already stays.
pub fn possible(root: &Path) -> Result<(), KexecError> {
    // Every attempt counts, whatever becomes of it: the only one may be needed.
    match std::fs::read_to_string(root.join(LIMIT)).unwrap_or_default().trim_end() {
        "" | "-1" => {}
        "0" => return Err(KexecError::Load(Errno::PERM)),
        _ => return Ok(()),
    }
    // Which is no regular file: a kernel that could be asked answers EINVAL, and has done nothing (`kernel_read_file` of
    // `fs/kernel_read_file.c`, before `kexec_image` of `kernel/kexec_file.c` is touched).
    let Ok(nothing) = std::fs::File::open("/dev/null") else { return Ok(()) };
    answer_to_nothing(file_load(&nothing, &nothing, c""))
}

/// What the answer to an attempt that cannot succeed says of one that could.
fn answer_to_nothing(answer: Result<(), Errno>) -> Result<(), KexecError> {
    match answer {
        Err(errno @ (Errno::NOSYS | Errno::PERM)) => Err(KexecError::Load(errno)),
        _ => Ok(()),
    }
}

/// Whether the kernel that runs, told `command_line`, uses a UEFI of 32 bits, which it says below `root` (normally `/`). Then it
/// answers ENOEXEC to every other kernel (`bzImage64_probe` of `arch/x86/kernel/kexec-bzimage64.c` in Linux).
pub fn hindered(root: &Path, command_line: &str) -> bool {
    let bits = std::fs::read_to_string(root.join("sys/firmware/efi/fw_platform_size")).unwrap_or_default();
    let unused = cmdline::words(command_line).any(|(key, value)| match (key.as_ref(), value.as_deref()) {
        ("noefi", _) => true,
        ("efi", Some(options)) => options.split(',').any(|option| option == "noruntime"),
        _ => false,
    });
    bits.trim_end() == "32" && !unused
}

/// Gives the next kernel and initramfs to the kernel that runs, which may be [`hindered`].
pub fn load(next: &Next, command_line: &CString, hindered: bool) -> Result<(), KexecError> {
    file_load(&next.kernel, &next.initramfs, command_line).map_err(|errno| match errno {
        Errno::NOEXEC if hindered => KexecError::Firmware32,
        errno => KexecError::Load(errno),
    })
}

/// Jumps. What was loaded stays loaded if the kernel refuses.
pub fn jump() -> Result<Infallible, KexecError> {
    match reboot(RebootCommand::Kexec) {
        // The kernel does not return from a jump that it began.
        Ok(()) => Err(KexecError::Jump(Errno::IO)),
        Err(errno) => Err(KexecError::Jump(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(signed: &str, machine: &str) -> String {
        command_line(signed, machine).unwrap().into_string().unwrap()
    }

    #[test]
    fn only_the_allow_list_is_taken_from_the_machine() {
        let machine = "console=ttyS0,115200 init=/bin/sh phase.mode=internet phase.origin=http://evil phase.quiet \
                       efi=noruntime efi=debug rdinit=/x quiet phase.shell";
        assert_eq!(
            line("root=none quiet", machine),
            "root=none quiet console=ttyS0,115200 phase.mode=internet phase.quiet efi=noruntime"
        );
    }

    #[test]
    fn a_word_that_is_signed_already_is_not_added_again() {
        assert_eq!(line("console=ttyS0 quiet", "console=ttyS0 console=tty0"), "console=ttyS0 quiet console=tty0");
    }

    #[test]
    fn the_machines_words_stand_before_those_of_the_releases_init() {
        assert_eq!(line("quiet -- single", "console=ttyS0"), "quiet console=ttyS0 -- single");
    }

    #[test]
    fn a_value_cannot_bring_further_words_in() {
        for space in [" ", "\n", "\u{b}", "\u{a0}"] {
            assert_eq!(line("", &format!("console=\"ttyS0{space}init=/bin/sh\"")), "");
        }
    }

    #[test]
    fn a_line_that_no_kernel_takes_is_refused() {
        assert!(matches!(
            command_line(&"x".repeat(1500), &format!("console={}", "y".repeat(600))),
            Err(KexecError::CommandLine { seen: 2109 })
        ));
    }

    #[test]
    fn a_file_that_the_kernel_cannot_read_is_refused_before_it_is_downloaded() {
        assert!(takes(LARGEST_FILE).is_ok());
        let error = takes(3 << 30).unwrap_err().to_string();
        assert!(error.contains("3072.0 MiB") && error.contains("2047.9 MiB"), "{error}");
    }

    #[test]
    fn only_a_kernel_that_never_loads_another_is_not_asked_again() {
        assert!(answer_to_nothing(Err(Errno::INVAL)).is_ok());
        let error = answer_to_nothing(Err(Errno::NOSYS)).unwrap_err().to_string();
        assert!(error.contains("this boot kernel has no CONFIG_KEXEC_FILE"), "{error}");
        assert!(matches!(answer_to_nothing(Err(Errno::PERM)), Err(KexecError::Load(Errno::PERM))));
    }

    #[test]
    fn a_kernel_that_counts_attempts_is_not_asked_for_nothing() {
        let root = tempfile::tempdir().unwrap();
        let limit = root.path().join(LIMIT);
        std::fs::create_dir_all(limit.parent().unwrap()).unwrap();
        std::fs::write(&limit, "1\n").unwrap();
        possible(root.path()).unwrap();
        std::fs::write(&limit, "0\n").unwrap();
        let error = possible(root.path()).unwrap_err();
        assert!(matches!(error, KexecError::Load(Errno::PERM)), "{error}");
        assert!(error.to_string().contains("kexec_load_limit_reboot"), "{error}");
    }

    #[test]
    fn only_a_uefi_of_32_bits_that_is_in_use_hinders() {
        let root = tempfile::tempdir().unwrap();
        assert!(!hindered(root.path(), ""), "a BIOS");
        let firmware = root.path().join("sys/firmware/efi");
        std::fs::create_dir_all(&firmware).unwrap();
        std::fs::write(firmware.join("fw_platform_size"), "64\n").unwrap();
        assert!(!hindered(root.path(), ""));
        std::fs::write(firmware.join("fw_platform_size"), "32\n").unwrap();
        for in_use in ["", "quiet", "efi=debug", "efi", "xefi=noruntime"] {
            assert!(hindered(root.path(), in_use), "{in_use}");
        }
        for unused in ["quiet efi=noruntime", "efi=debug,noruntime", "noefi"] {
            assert!(!hindered(root.path(), unused), "{unused}");
        }
        assert!(KexecError::Firmware32.to_string().contains("efi=noruntime"));
    }

    #[test]
    fn every_refusal_says_what_helps() {
        assert!(KexecError::Load(Errno::NOEXEC).to_string().contains("efi=noruntime"));
        for (errno, seen) in [
            (Errno::NODATA, "it has no signature"),
            (Errno::NOKEY, "signed by no key that this machine trusts"),
            (Errno::KEYREJECTED, "does not fit it, or was revoked"),
            (Errno::PERM, "kernel.kexec_load_disabled is set"),
        ] {
            let said = KexecError::Load(errno).to_string();
            assert!(said.contains(seen) && said.contains("wanted: a kernel signed by a key"), "{said}");
        }
        assert!(!KexecError::Load(Errno::NOMEM).to_string().contains("lockdown"));
    }
}
