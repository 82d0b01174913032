//! The whole chain with a real system: a Debian, its systemd, a login on the serial console.

use qemu::Event;

use crate::support::{Boot, Lab, PhaseData, Release, Serve};

#[test]
fn where_root_finds_the_receipt_and_a_healthy_system_and_acknowledges_it() {
    let lab = Lab::ready();
    let server = Serve::tree(Release { rootfs: Some(lab.debian()), ..Release::default() }.publish());
    let disk = PhaseData::ext4();
    let mut boot = Boot::start(&lab.disk_machine(&disk).memory_mib(1024).append(&server.origin()));
    boot.reaches("switch", Event::Begin);
    boot.at_prompt(" login:", "root");
    boot.at_prompt("#", "cat /run/phase/receipt.json");
    boot.shows("\"schema\": \"phase.receipt/1\"");
    boot.shows("\"root_timings\": [");
    // The words of the answer are not those of the question, which the terminal echoes.
    boot.at_prompt("#", "echo \"system is $(systemctl is-system-running --wait): $(systemctl --failed --plain)\"");
    boot.shows("system is running: ");
    // With udev, and with the partition mounted by somebody else already.
    boot.at_prompt("#", "mount PARTLABEL=PHASE-DATA /mnt && /run/phase/acknowledge && cat /mnt/state.json");
    boot.shows("acknowledged release 1 of e2e");
    boot.shows("{\"schema\":\"phase.state/1\",\"channel\":\"e2e\"");
    boot.at_prompt("#", "cmp /run/phase/receipt.json /mnt/receipts/1.json && echo \"the receipt is $(echo kept)\"");
    boot.shows("the receipt is kept");
    boot.at_prompt("#", "/run/phase/acknowledge; umount /mnt");
    boot.shows("acknowledged before: release 1 of e2e");
    boot.at_prompt("#", "poweroff");
    boot.powers_off();
}
