//! The system that runs: whether it lets anybody start another kernel, said before anything is loaded.
//!
//! [`System::read`] looks below a root directory, and [`System::allows`] judges without looking at anything else.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use init::{
    fit::{self, NoFit, Peak, Sizes},
    kexec,
    meminfo::{self, Memory},
    progress::Mib,
};
use rustix::io::Errno;

/// The bit of `CAP_SYS_BOOT` in a set of capabilities (`include/uapi/linux/capability.h` of Linux).
const CAP_SYS_BOOT: u32 = 22;

/// What the running system says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct System {
    /// Whether this process has `CAP_SYS_BOOT`.
    privileged: bool,
    kexec: Kexec,
    /// The kind of lockdown, if there is one: `integrity` or `confidentiality` (`kernel_lockdown(7)`).
    pub(super) lockdown: Option<String>,
    /// Whether the firmware is UEFI of 32 bits, and the kernel uses it.
    uefi_of_32_bits: bool,
    memory: Option<Memory>,
    /// The text of /proc/cmdline.
    pub(super) command_line: String,
    /// Whether systemd is PID 1 (`sd_booted(3)`).
    pub(super) systemd: bool,
}

/// Whether the kernel can be left for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kexec {
    /// It was built without (`CONFIG_KEXEC_CORE`).
    Absent,
    /// The sysctl `kernel.kexec_load_disabled` is set, which no one can clear.
    Disabled,
    Available,
}

impl System {
    /// Looks below `root`, which is `/` outside of tests. What is not there is what a kernel without it shows.
    pub(super) fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let kexec =
            match (root.join("sys/kernel/kexec_loaded").exists(), text("proc/sys/kernel/kexec_load_disabled").trim()) {
                (false, _) => Kexec::Absent,
                (true, "1") => Kexec::Disabled,
                (true, _) => Kexec::Available,
            };
        Self {
            privileged: may_boot(&text("proc/self/status")),
            kexec,
            lockdown: lockdown(&text("sys/kernel/security/lockdown")),
            uefi_of_32_bits: kexec::hindered(root, &text("proc/cmdline")),
            memory: meminfo::parse(&text("proc/meminfo")),
            command_line: text("proc/cmdline").trim_end().to_owned(),
            systemd: root.join("run/systemd/system").is_dir(),
        }
    }

    /// Whether a kernel and an initramfs of these sizes may be loaded here; what loading them takes.
    ///
    /// # Errors
    /// They may not, or would not fit. The message says what helps.
    pub(super) fn allows(&self, sizes: &Sizes) -> anyhow::Result<Peak> {
        ensure!(
            self.kexec != Kexec::Absent,
            "this kernel has no kexec (CONFIG_KEXEC_FILE): start Phase Boot from a stick instead"
        );
        ensure!(
            self.kexec != Kexec::Disabled,
            "kernel.kexec_load_disabled is 1, which holds until the next restart: find out who sets it (grep -r \
             kexec_load_disabled /etc/sysctl.d /usr/lib/sysctl.d), and restart without it"
        );
        ensure!(self.privileged, "this process may not start another kernel (CAP_SYS_BOOT): run it as root");
        ensure!(
            !self.uefi_of_32_bits,
            "the firmware is UEFI of 32 bits, from which no 64-bit kernel is started by kexec: start this system with \
             efi=noruntime on its own kernel command line, and try again"
        );
        let memory = self.memory.context("/proc/meminfo does not say MemTotal and MemAvailable")?;
        fit::kexec(sizes, memory).map_err(|refusal| anyhow::anyhow!(too_little(&refusal)))
    }

    /// What an answer of `kexec_file_load(2)` means here, and what helps (`kernel/kexec_file.c` of Linux).
    pub(super) fn meaning(&self, errno: Errno) -> String {
        let lockdown = self.lockdown.as_deref().unwrap_or("none");
        let meaning = match errno {
            Errno::NOSYS => "this kernel has no CONFIG_KEXEC_FILE; Debian's for arm64 have none",
            // Whatever was wrong with the signature (kimage_validate_signature).
            Errno::PERM if self.lockdown.is_some() => {
                "the kernel has no signature by a key that this system trusts; without Secure Boot, Debian trusts none: \
                 start from a stick, or start this system without lockdown="
            }
            Errno::PERM => "a container, the sysctl kernel.kexec_load_limit_reboot, or a security module forbids it",
            Errno::NODATA | Errno::BADMSG => {
                "the kernel has no signature, which this system wants: take the distribution's own boot kernel"
            }
            Errno::KEYREJECTED | Errno::NOKEY => {
                "the kernel was changed after it was signed, or signed by no key that this system trusts: take the distribution's own \
                 kernel, or enrol the key (mokutil --import)"
            }
            Errno::NOEXEC => "it is no kernel that can be started from this one",
            Errno::NOMEM | Errno::INVAL | Errno::ADDRNOTAVAIL => {
                "there is too little memory in one piece: end programs"
            }
            Errno::BUSY => "somebody else is loading a kernel",
            _ => "see the kernel log",
        };
        format!("{errno} ({meaning}; lockdown: {lockdown})")
    }
}

fn too_little(refusal: &NoFit) -> String {
    match refusal {
        NoFit::Loading(Peak { need, have }) => format!(
            "too little memory: loading kernel and initramfs takes {}, {} are available; end programs that have the rest",
            Mib(*need),
            Mib(*have)
        ),
        NoFit::Unpacking(Peak { need, have }) => format!(
            "too little memory: unpacking the initramfs takes {}, and the next kernel gives it {} at most",
            Mib(*need),
            Mib(*have)
        ),
        other @ NoFit::Unknown => other.to_string(),
    }
}

/// Whether the effective capabilities of /proc/self/status have `CAP_SYS_BOOT`.
fn may_boot(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    set.is_some_and(|set| set >> CAP_SYS_BOOT & 1 == 1)
}

/// The word in brackets, unless it is `none`.
fn lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    (word != "none").then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Debian's boot kernel for virtual machines and its initramfs.
    const SIZES: Sizes =
        Sizes { kernel: 8 * MIB, kernel_init: 45 * MIB, composed: 3 * MIB, initramfs_unpacked: 8 * MIB, rootfs: 0 };

    /// A machine that allows it, with these files in place of its own.
    fn machine(files: &[(&str, &str)]) -> System {
        let root = tempfile::tempdir().unwrap();
        let usual = [
            ("proc/self/status", "Name:\tphase\nCapEff:\t000001ffffffffff\n"),
            ("proc/sys/kernel/kexec_load_disabled", "0\n"),
            ("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n"),
            ("proc/cmdline", "root=/dev/sda1 console=ttyS0\n"),
            ("sys/kernel/kexec_loaded", "0\n"),
            ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n"),
            ("sys/firmware/efi/fw_platform_size", "64\n"),
            ("run/systemd/system/unit", ""),
        ];
        for (path, text) in usual.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        System::read(root.path())
    }

    fn refusal(files: &[(&str, &str)]) -> String {
        machine(files).allows(&SIZES).unwrap_err().to_string()
    }

    #[test]
    fn a_machine_that_allows_it_says_what_it_takes() {
        let system = machine(&[]);
        assert_eq!(system.allows(&SIZES).unwrap().need, (3 * 3 + 2 * 8 + 45 + 16) * MIB);
        assert!(system.systemd && system.lockdown.is_none());
        assert_eq!(system.command_line, "root=/dev/sda1 console=ttyS0");
    }

    #[test]
    fn a_user_without_privileges_is_told_to_be_root() {
        let message = refusal(&[("proc/self/status", "CapEff:\t0000000000000000\n")]);
        assert!(message.contains("CAP_SYS_BOOT") && message.contains("as root"), "{message}");
        // All others do not help.
        let message = refusal(&[("proc/self/status", "CapEff:\t000001ffffbfffff\n")]);
        assert!(message.contains("CAP_SYS_BOOT"), "{message}");
    }

    #[test]
    fn a_kernel_that_may_not_or_cannot_is_named() {
        let message = refusal(&[("proc/sys/kernel/kexec_load_disabled", "1\n")]);
        assert!(message.contains("kernel.kexec_load_disabled is 1, which holds until the next restart"), "{message}");
        let old_mac = ("sys/firmware/efi/fw_platform_size", "32\n");
        let message = refusal(&[old_mac]);
        assert!(message.contains("efi=noruntime"), "{message}");
        machine(&[old_mac, ("proc/cmdline", "root=/dev/sda1 efi=noruntime\n")]).allows(&SIZES).unwrap();
        let nothing = System::read(Path::new("/nowhere")).allows(&SIZES).unwrap_err().to_string();
        assert!(nothing.contains("this kernel has no kexec (CONFIG_KEXEC_FILE)"), "{nothing}");
    }

    #[test]
    fn too_little_memory_says_how_much_there_is_and_how_much_is_wanted() {
        let message = refusal(&[("proc/meminfo", "MemTotal: 90000 kB\nMemAvailable: 80000 kB\n")]);
        assert!(message.contains("takes 86.0 MiB, 78.1 MiB are available"), "{message}");
        let large = Sizes { initramfs_unpacked: 500 * MIB, ..SIZES };
        let message = machine(&[]).allows(&large).unwrap_err().to_string();
        assert!(message.contains("unpacking the initramfs takes 516.0 MiB"), "{message}");
        let message = refusal(&[("proc/meminfo", "")]);
        assert!(message.contains("/proc/meminfo"), "{message}");
    }

    #[test]
    fn a_lockdown_is_said_with_every_refusal_of_the_kernel() {
        let locked = machine(&[("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")]);
        assert_eq!(locked.lockdown.as_deref(), Some("integrity"));
        // It does not forbid a kernel whose signature it trusts.
        locked.allows(&SIZES).unwrap();
        let message = locked.meaning(Errno::KEYREJECTED);
        assert!(message.contains("mokutil --import") && message.contains("lockdown: integrity"), "{message}");
        assert!(locked.meaning(Errno::NODATA).contains("no signature"));
        assert!(locked.meaning(Errno::PERM).contains("no signature by a key that this system trusts"));
        assert!(machine(&[]).meaning(Errno::PERM).contains("a container"));
        assert!(machine(&[]).meaning(Errno::NOMEM).contains("end programs; lockdown: none"));
    }
}
