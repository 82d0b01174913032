//! The persistent upper: what it outlives, where it is left alone, and that a machine which cannot have it boots all the same, and
//! says why.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use qemu::Event;

use crate::support::{Boot, KERNEL_PARAMETERS, Keeper, Lab, Medium, PhaseData, Release, Serve, Tree, text};

/// A release that keeps changes, once with a kernel of its own and once without.
fn both(name: &str, more: &str) -> [Keeper; 2] {
    [Keeper::new(1, name, more), Keeper::new(1, name, more).direct()]
}

#[test]
#[ignore = "make test-media"]
fn outlives_a_newer_release_which_shows_its_own_files() {
    let disk = PhaseData::ext4();
    Keeper::new(1, "A", ":").boots(Some(&disk), "").keeps("");
    let newer = Keeper::new(2, "B", ":").boots(Some(&disk), "");
    newer.keeps("A");
    assert!(newer.boot.says("phase-test: this is root B"), "the newer release's own file is hidden");
    let older = Keeper::new(1, "A", ":").direct().boots(Some(&disk), "");
    older.keeps("A B");
    assert!(older.boot.says("phase-test: this is root A"), "the older release's own file is hidden");
}

#[test]
#[ignore = "make test-media"]
fn is_left_alone_if_the_command_line_says_so() {
    let disk = PhaseData::ext4();
    Keeper::new(1, "A", ":").boots(Some(&disk), "").keeps("");
    for keeper in both("B", ":") {
        let without = keeper.boots(Some(&disk), "phase.upper=tmpfs");
        without.has_no_upper();
        assert!(without.boot.says("are not kept in this boot: phase.upper=tmpfs is on the kernel command line"));
    }
    Keeper::new(1, "A", ":").direct().boots(Some(&disk), "phase.upper=persistent").keeps("A");
}

#[test]
#[ignore = "make test-media"]
fn is_not_there_in_private_mode_which_leaves_every_byte() {
    let disk = PhaseData::ext4();
    Keeper::new(1, "A", ":").boots(Some(&disk), "").keeps("");
    let before = fs::read(disk.path()).unwrap();
    for keeper in both("B", ":") {
        let medium = Medium::ext4("PHASE", Some(&keeper.publish()));
        let private = keeper.machine(Some(&disk)).disk(&medium.path()).append("phase.mode=private");
        let private = keeper.booted_by(&private);
        assert_eq!(private.receipt["mode"], "private");
        private.has_no_upper();
        assert!(private.boot.says("are not kept in this boot: private mode writes to no disk"));
        assert!(fs::read(disk.path()).unwrap() == before, "the disk was written");
    }
    Keeper::new(1, "A", ":").direct().boots(Some(&disk), "").keeps("A");
}

#[test]
#[ignore = "make test-media"]
fn that_is_on_no_disk_is_done_without() {
    for keeper in both("A", ":") {
        let outcome = keeper.boots(None, "");
        outcome.loses("no disk has a partition with PARTUUID");
        assert!(outcome.boot.says("waiting for it for up to 20 s"), "it was silent while it waited");
    }
}

#[test]
#[ignore = "make test-media"]
fn that_the_releases_initramfs_has_no_drivers_for_is_done_without() {
    let lab = Lab::ready();
    let [kernel, key] = [lab.kernel(), lab.part("release")];
    let [initramfs, rootfs] = ["release.cpio.zst", "tiny.squashfs"].map(|name| lab.part(name));
    let files = ["--kernel", text(&kernel), "--initramfs", text(&initramfs), "--rootfs", text(&rootfs)];
    let options = ["--version", "1", "--key", text(&key), "--upper", "persistent", "--cmdline", KERNEL_PARAMETERS];
    let server = Serve::tree(Tree::publish(&[&options[..], &files].concat()));
    let (disk, folder) = (PhaseData::ext4(), tempfile::tempdir().unwrap());
    let machine = lab.keeping_machine(Some(&disk), folder.path()).append(&server.origin());
    let mut boot = Boot::start(&machine);
    let receipt = boot.reaches_the_release("kexec");
    assert_eq!(receipt["x-upper"]["kind"], "tmpfs", "{receipt}");
    assert!(boot.says("is its driver in the initramfs (--modules disk)?"), "what helps is not said");
}

#[test]
#[ignore = "make test-media"]
fn that_is_no_ext4_is_done_without() {
    for keeper in both("A", ":") {
        keeper.boots(Some(&PhaseData::vfat()), "").loses("has file system vfat, wanted ext4");
    }
}

#[test]
#[ignore = "make test-media"]
fn that_is_damaged_is_done_without() {
    let disk = PhaseData::ext4();
    // Its superblock: blocks of an impossible size (`s_log_block_size`).
    let image = File::options().write(true).open(disk.path()).unwrap();
    image.write_all_at(&[0xff; 4], (1 << 20) + 1024 + 24).unwrap();
    for keeper in both("A", ":") {
        keeper.boots(Some(&disk), "").loses("fsck repairs it");
    }
}

#[test]
#[ignore = "make test-media"]
fn that_cannot_be_written_is_done_without() {
    let disk = PhaseData::ext4();
    for keeper in both("A", ":") {
        let server = Serve::tree(keeper.publish());
        let machine = keeper.machine(None).read_only_disk(&disk.path()).append(&server.origin());
        keeper.booted_by(&machine).loses("the disk cannot be written");
    }
}

/// The first boot leaves the partition as these lines do; the second cannot use it.
#[track_caller]
fn is_done_without(lines: &str, words: &str) {
    let disk = PhaseData::ext4();
    Keeper::new(1, "A", lines).direct().boots(Some(&disk), "").keeps("");
    for keeper in both("B", ":") {
        keeper.boots(Some(&disk), "").loses(words);
    }
}

#[test]
#[ignore = "make test-media"]
fn that_is_full_is_done_without() {
    is_done_without("$b dd if=/dev/zero of=/etc/all bs=4096 2>/dev/null", "is full: ");
}

#[test]
#[ignore = "make test-media"]
fn that_lost_the_releases_init_is_done_without() {
    is_done_without("$b rm /sbin/init", "has no /sbin/init that could be used");
}

#[test]
#[ignore = "make test-media"]
fn in_which_a_link_leads_to_other_places_is_done_without() {
    is_done_without("$b umount -l /dev; $b rmdir /dev; $b ln -s /etc /dev", "has no /dev that could be used");
}

#[test]
#[ignore = "make test-media"]
fn takes_no_harm_from_what_a_lost_power_left_in_its_work_directory() {
    let disk = PhaseData::ext4();
    // Deeper than what the kernel removes by itself.
    let lines = "$b mkdir -p /run/phase/upper/work/work/a/b/c/d; echo >/run/phase/upper/work/work/a/b/c/d/file";
    Keeper::new(1, "A", lines).direct().boots(Some(&disk), "").keeps("");
    for (keeper, kept) in both("B", ":").iter().zip(["A", "A B"]) {
        keeper.boots(Some(&disk), "").keeps(kept);
    }
}

/// Logs in on the serial line.
fn logs_in(machine: &qemu::Machine) -> Boot {
    let mut boot = Boot::start(machine);
    boot.reaches("switch", Event::Begin);
    assert_eq!(boot.upper(), "persistent");
    boot.at_prompt(" login:", "root");
    // The words of the answer are not those of the question, which the terminal echoes.
    boot.at_prompt("#", "echo \"system is $(systemctl is-system-running --wait): $(systemctl --failed --plain)\"");
    boot.shows("system is running: ");
    boot
}

#[test]
#[ignore = "make test-media"]
fn lets_a_debian_come_up_healthy_and_keeps_its_files_and_their_rights() {
    let lab = Lab::ready();
    let server = Serve::tree(Release { rootfs: Some(lab.debian()), keeps: true, ..Release::default() }.publish());
    let (disk, folder) = (PhaseData::large(), tempfile::tempdir().unwrap());
    let machine = lab.keeping_machine(Some(&disk), folder.path()).memory_mib(1024).append(&server.origin());
    let mut first = logs_in(&machine);
    first.at_prompt(
        "#",
        "echo by hand >/etc/by-hand; cp -p /usr/bin/id /usr/local/bin/who; chmod 4755 /usr/local/bin/who; echo $?",
    );
    first.at_prompt("#", "systemctl poweroff");
    first.powers_off();

    let mut second = logs_in(&machine);
    second.at_prompt("#", "echo it was written $(cat /etc/by-hand)");
    second.shows("it was written by hand");
    // Of the root, a program that was written lends its rights; seen where it is kept, it cannot even be executed.
    second.at_prompt("#", "setpriv --reuid 1000 --clear-groups sh -c 'echo effective $(who -u)'; which who");
    second.shows("effective 0");
    second.at_prompt("#", "/run/phase/upper/data/usr/local/bin/who; echo refused with $?");
    second.shows("refused with 126");
    // It may acknowledge on the same partition, which is in use.
    second.at_prompt("#", "/run/phase/acknowledge");
    second.shows("acknowledged release 1 of e2e");
    second.at_prompt("#", "systemctl poweroff");
    second.powers_off();
}
