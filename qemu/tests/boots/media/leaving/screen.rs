//! What stands on the screen is passed on, or given up aloud before the jump.

use std::{fs, path::Path, thread, time::Duration};

use qemu::{Event, Machine, Optical};
use serde_json::json;

use crate::support::{Boot, GrubDisc, KERNEL_PARAMETERS, Lab, Medium, Release, Uefi, root_with};

/// Stays until somebody presses Enter on the serial line.
const INIT: &str = r#"#!/bin/busybox sh
echo "phase-test: release pid $$ reached"
echo "on the screen, too" >/dev/tty0
echo "phase-test: waits"
read enter
exec /bin/busybox poweroff -f
"#;

/// What init says of a screen that cannot be passed on.
const LOST: &str = "the next kernel cannot use this screen";

/// The words for the kernel: both consoles, and private mode.
fn parameters() -> String {
    format!("console=tty0 console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff phase.mode=private")
}

/// A medium with a release that waits. Its kernel and its root fit the media of all tests.
fn medium(folder: &Path) -> Medium {
    let rootfs = Some(root_with(INIT, folder));
    Medium::fat("PHASE", &Release { rootfs, ..Release::default() }.publish())
}

/// Whether the screen changes after the jump. Stage two has begun when it is looked at first, and the release has written to the
/// screen when it is looked at last.
#[track_caller]
fn goes_on(machine: &Machine, medium: &Medium, said: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut boot = Boot::start(&machine.clone().memory_mib(512).disk(&medium.path()));
    assert_eq!(boot.reaches("handoff", Event::Begin).field("kind"), Some("kexec"));
    let before = picture(&boot, &folder.path().join("before.ppm"));
    boot.shows("phase-test: waits");
    // The screen is redrawn some time after it was written to.
    thread::sleep(Duration::from_secs(2));
    let after = picture(&boot, &folder.path().join("after.ppm"));
    assert_eq!(boot.says(LOST), said);
    boot.types("\r");
    boot.powers_off();
    before != after
}

fn picture(boot: &Boot, path: &Path) -> Vec<u8> {
    boot.qmp().execute("screendump", &json!({"filename": path})).unwrap();
    fs::read(path).unwrap()
}

/// The same from a disc whose GRUB sets a framebuffer up.
#[track_caller]
fn goes_on_from_grub(uefi: Option<&Uefi>) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
    let firmware = "if [ \"$grub_cpu-$grub_platform\" = i386-efi ]; then set firmware=efi=noruntime; fi";
    let linux = format!("linux /vmlinuz {} $firmware", parameters());
    let script = format!(
        "{firmware}\ninsmod all_video\nset gfxpayload=1024x768x32,1024x768,auto\n{linux}\ninitrd /boot.cpio.zst\nboot\n"
    );
    let disc = GrubDisc::new(&kernel, &initramfs, &script);
    let machine = Machine::from_firmware().disc(Optical::Sata, &disc.path());
    goes_on(&uefi.iter().fold(machine, |machine, uefi| uefi.plug(machine)), &medium(folder.path()), false)
}

#[test]
#[ignore = "one row of `make test-media`"]
fn goes_on_in_vga_text() {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
    assert!(goes_on(&Machine::new(&kernel, &initramfs).append(&parameters()), &medium(folder.path()), false));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn goes_on_in_the_framebuffer_of_grub_and_a_bios() {
    assert!(goes_on_from_grub(None));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn goes_on_in_the_framebuffer_of_uefi() {
    assert!(goes_on_from_grub(Some(&Uefi::new())));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn goes_on_in_the_framebuffer_of_a_uefi_of_32_bits() {
    assert!(goes_on_from_grub(Some(&Uefi::of_32_bits())));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn stands_still_after_a_driver_has_changed_its_mode_which_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let modules = "media,root,bochs";
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs_with(modules, folder.path());
    assert!(!goes_on(&Machine::new(&kernel, &initramfs).append(&parameters()), &medium(folder.path()), true));
}
