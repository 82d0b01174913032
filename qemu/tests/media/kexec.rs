//! `phase kexec` in a Debian that runs: what it refuses leaves nothing loaded, and what it starts boots to a release's login.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use qemu::Event;

use crate::{
    arrival::bytes,
    row::{Outcome, Row},
    scene::{Mode, Scene},
    support::{Boot, Lab, run, text},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![Row::new(
        "kexec-from-Debian",
        "refuses what cannot be and loads nothing; then boots in local mode to a release's login",
        boots,
    )]
}

fn boots() -> Outcome {
    let scene = Scene::debian(Mode::Internet);
    let lab = Lab::ready();
    let files = Files::make(&scene);
    let machine = scene.with_memory(lab.machine()).append(&scene.parameters()).disk(&files.image);
    let mut boot = Boot::start(&machine);
    boot.reaches("handoff", Event::Begin);
    boot.at_prompt(" login:", "root");
    boot.at_prompt("~#", "mount -o ro /dev/vda /mnt");
    refusals(&mut boot);
    boot.at_prompt("~#", &format!("/mnt/phase kexec {GOOD} --dry-run"));
    boot.shows("Nothing was loaded (--dry-run).");
    boot.at_prompt("~#", "echo \"loaded: $(cat /sys/kernel/kexec_loaded)\"");
    boot.shows("loaded: 0");
    let stop = "-p ExecStop='/bin/sh -c \"echo phase-test: a service was stopped >/dev/console\"'";
    boot.at_prompt("~#", &format!("systemd-run --quiet {stop} sleep infinity"));

    // As a person types it: where the messages go is this system's own, so that nobody has to know.
    boot.at_prompt("~#", &format!("/mnt/phase kexec {GOOD} --mode local --append \"{}\"", scene.parameters()));
    let jumped = Instant::now();
    boot.shows("parameters  console=ttyS0 quiet");
    boot.shows("systemd shuts this system down now");
    // Not a jump under running programs.
    boot.shows("phase-test: a service was stopped");
    boot.reaches("start", Event::Begin);
    let to_init = jumped.elapsed();
    assert_eq!(boot.reaches("handoff", Event::Begin).field("kind"), Some("kexec"));
    boot.at_prompt(" login:", "root");
    let to_release = jumped.elapsed();
    boot.at_prompt("~#", "cat /run/phase/receipt.json");
    lasting_refusals(&mut boot);
    boot.at_prompt("~#", "poweroff");
    boot.powers_off();
    let receipt = boot.json_after("cat /run/phase/receipt.json");
    assert_eq!((&receipt["mode"], &receipt["handoff"]), (&"local".into(), &"kexec".into()), "{receipt}");
    Outcome {
        words: "local mode, kexec, login; times from the command, with Debian's shutdown".to_owned(),
        to_init,
        to_release,
        artefact: bytes(&files.kernel) + bytes(&files.initramfs),
    }
}

/// What is right.
const GOOD: &str = "--kernel /mnt/vmlinuz --initramfs /mnt/boot.cpio.zst";

/// What is wrong, each with the words that say so.
#[track_caller]
fn refusals(boot: &mut Boot) {
    let as_nobody = "setpriv --reuid 65534 --clear-groups ";
    refuses(boot, as_nobody, GOOD, "may not start another kernel (CAP_SYS_BOOT): run it as root");
    let no_kernel = "--kernel /mnt/nothing --initramfs /mnt/boot.cpio.zst";
    refuses(boot, "", no_kernel, "/mnt/nothing: cannot read /mnt/nothing");
    let of_a_release = "--kernel /mnt/vmlinuz --initramfs /mnt/release.cpio.zst";
    refuses(boot, "", of_a_release, "this is no boot initramfs: its etc/phase/stage is \"root\", wanted \"boot\"");
    boot.at_prompt("~#", "mount -o remount,size=100% /dev/shm && head -c \"$(($(sed -n 's/^MemAvailable: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) * 1024 - 60000000))\" /dev/zero >/dev/shm/full");
    refuses(boot, "", GOOD, "too little memory: loading kernel and initramfs takes");
    boot.at_prompt("~#", "rm /dev/shm/full");
}

/// What only a restart undoes: a lockdown, and the sysctl. Debian's kernels trust the keys of Secure Boot, which is not on here.
#[track_caller]
fn lasting_refusals(boot: &mut Boot) {
    boot.at_prompt("~#", "mount -o ro /dev/vda /mnt && echo integrity >/sys/kernel/security/lockdown");
    refuses(boot, "", GOOD, "no signature by a key that this system trusts");
    boot.at_prompt("~#", "sysctl -w kernel.kexec_load_disabled=1");
    refuses(boot, "", GOOD, "kernel.kexec_load_disabled is 1, which holds until the next restart");
}

/// `phase kexec` fails with these words, and nothing is loaded.
#[track_caller]
fn refuses(boot: &mut Boot, before: &str, options: &str, words: &str) {
    let asked = "echo \"status $? loaded $(cat /sys/kernel/kexec_loaded)\"";
    boot.at_prompt("~#", &format!("{before}/mnt/phase kexec {options}; {asked}"));
    boot.shows(words);
    boot.shows("status 1 loaded 0");
}

/// What a person brings on a disk: the program, a boot kernel and a boot initramfs; and what is none.
struct Files {
    image: PathBuf,
    kernel: PathBuf,
    initramfs: PathBuf,
}

impl Files {
    fn make(scene: &Scene) -> Self {
        let lab = Lab::ready();
        let folder = scene.place("disk");
        fs::create_dir(&folder).unwrap();
        let (kernel, initramfs) = (lab.kernel(), lab.part("boot.cpio.zst"));
        let copy = |from: &Path, name: &str| fs::copy(from, folder.join(name)).unwrap();
        copy(lab.phase_program(), "phase");
        copy(&kernel, "vmlinuz");
        copy(&initramfs, "boot.cpio.zst");
        copy(&lab.part("release.cpio.zst"), "release.cpio.zst");
        let image = scene.place("disk.img");
        let mut mke2fs = Command::new("/usr/sbin/mke2fs");
        run(mke2fs.args(["-q", "-t", "ext4", "-d", text(&folder), text(&image), "128m"]));
        Self { image, kernel, initramfs }
    }
}
