//! The whole chain with a real system: a Debian, its systemd, a login on the serial console.

use qemu::Event;

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn where_root_finds_the_receipt_and_a_healthy_system() {
    let lab = Lab::ready();
    let server = Serve::tree(Release { rootfs: Some(lab.debian()), ..Release::default() }.publish());
    let mut boot = Boot::start(&lab.machine().memory_mib(1024).append(&server.origin()));
    boot.reaches("switch", Event::Begin);
    boot.at_prompt(" login:", "root");
    boot.at_prompt("#", "cat /run/phase/receipt.json");
    boot.shows("\"schema\": \"phase.receipt/1\"");
    boot.shows("\"root_timings\": [");
    // The words of the answer are not those of the question, which the terminal echoes.
    boot.at_prompt("#", "echo \"system is $(systemctl is-system-running --wait): $(systemctl --failed --plain)\"");
    boot.shows("system is running: ");
    boot.at_prompt("#", "poweroff");
    boot.powers_off();
}
