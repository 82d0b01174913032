//! A watchdog that the firmware started restarts the machine in the middle of the boot, unless the initramfs has its driver: then
//! the kernel takes it over, and stops it before the jump.

use qemu::{Event, Machine, Optical};

use crate::support::{Boot, GrubDisc, KERNEL_PARAMETERS, Lab, Medium, Release, root_with};

/// Reaches the end only if the watchdog does not run any more: its time is 138 s, and the release has no driver for it.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
echo "phase-test: waits"
$b sleep 150
echo "phase-test: release pid $$ reached"
$b poweroff -f
"#;

/// Starts the watchdog as firmware does (Intel 6300ESB datasheet, chapter 16), just before the kernel: two times of 70,000 ticks
/// of 0.98 ms, then a reset. 80h and 86h unlock one write each.
const START: &str = "
insmod setpci
insmod memrw
setpci -d 8086:25ab 4.w=0
setpci -d 8086:25ab 10.l=e0000000
setpci -d 8086:25ab 4.w=3
setpci -d 8086:25ab 60.w=3
write_byte 0xe000000c 0x80
write_byte 0xe000000c 0x86
write_dword 0xe0000000 0x11170
write_byte 0xe000000c 0x80
write_byte 0xe000000c 0x86
write_dword 0xe0000004 0x11170
setpci -d 8086:25ab 68.b=2
";

/// A machine whose initramfs has these drivers, and whose watchdog runs.
fn watched(modules: &str) -> Boot {
    let folder = tempfile::tempdir().unwrap();
    let rootfs = Some(root_with(INIT, folder.path()));
    let medium = Medium::fat("PHASE", &Release { rootfs, ..Release::default() }.publish());
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs_with(modules, folder.path());
    let words = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff phase.mode=private");
    let script = format!("linux /vmlinuz {words}\ninitrd /boot.cpio.zst\n{START}boot\n");
    let disc = GrubDisc::new(&kernel, &initramfs, &script);
    let machine = Machine::from_firmware().memory_mib(512).disc(Optical::Sata, &disc.path()).disk(&medium.path());
    let mut boot = Boot::start(&machine.watchdog());
    // From now on QEMU has the disc and the medium open.
    boot.reaches("start", Event::Begin);
    boot
}

#[test]
#[ignore = "one row of `make test-media`"]
fn resets_a_machine_that_has_no_driver_for_it() {
    let mut boot = watched("media,root");
    boot.is_reset();
    assert!(!boot.says("phase-test: release pid 1 reached"), "the watchdog did not run");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn is_stopped_by_its_driver_and_stays_so_after_the_jump() {
    let mut boot = watched("media,root,watchdog");
    assert_eq!(boot.reaches("handoff", Event::Begin).field("kind"), Some("kexec"));
    boot.shows("phase-test: waits");
    boot.shows("phase-test: release pid 1 reached");
    boot.powers_off();
}
