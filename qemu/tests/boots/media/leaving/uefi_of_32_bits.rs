//! A kernel of 64 bits that uses a UEFI of 32 starts no other kernel. That is said before the download, and again when it turns out
//! to be so, with what helps; with that, it boots (`screen.rs` and `disk_image.rs`).

use qemu::{Event, Machine, Optical};

use crate::support::{Boot, GrubDisc, KERNEL_PARAMETERS, Lab, Medium, Release, Uefi};

/// A machine with the menu's entry, but without the word that it adds.
#[track_caller]
fn starts(handoff: &'static str) -> Boot {
    let (firmware, medium) =
        (Uefi::of_32_bits(), Medium::fat("PHASE", &Release { handoff, ..Release::default() }.publish()));
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
    let words = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff phase.mode=private");
    let script = format!("linux /vmlinuz {words}\ninitrd /boot.cpio.zst\nboot\n");
    let disc = GrubDisc::new(&kernel, &initramfs, &script);
    let machine = Machine::from_firmware().memory_mib(512).disc(Optical::Sata, &disc.path()).disk(&medium.path());
    let mut boot = Boot::start(&firmware.plug(machine));
    boot.reaches("download", Event::Begin);
    let lines = boot.lines_after("");
    let line = |words: &str| lines.iter().position(|line| line.contains(words)).unwrap_or(usize::MAX);
    let said = line("the hand-off kexec is likely to fail: this machine's UEFI has 32 bits");
    assert!(said < line("phase: download: begin"), "{lines:#?}");
    if handoff == "kexec" {
        boot.is_refused(
            "load",
            "kexec-load",
            &["loads no other one", "(ENOEXEC)", "start stage one with efi=noruntime"],
        );
        boot.powers_off();
    } else {
        boot.reaches_the_release("direct");
    }
    boot
}

#[test]
#[ignore = "one row of `make test-media`"]
fn says_what_helps_where_the_menu_did_not() {
    starts("kexec");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn is_no_obstacle_to_the_hand_off_direct() {
    starts("kexec,direct");
}
