//! The folder of `phase image pxe` for arm64, which stands in that of PCs, as docs/quick-start-pxe.md has it: PXE, and UEFI's HTTP
//! boot.

use std::{fs, path::Path};

use qemu::{Bus, Machine, NetworkBoot, lan::ROUTER};

use super::{Firmware, Kernel, PARAMETERS, chooses, grub, publish};
use crate::{
    arrival::{Arrival, bytes},
    network::{self, DNSMASQ, NGINX},
    row::Outcome,
    scene::Mode,
    support::{Boot, Lab, Medium, text},
};

/// Where it stands.
fn folder() -> String {
    format!("{}/arm64", network::FOLDER)
}

fn make_folder() {
    let (kernel, folder, grub) = (Kernel::general(), folder(), grub());
    let parameters = format!("{PARAMETERS} phase.on_failure=poweroff");
    let parts = ["--kernel", text(&kernel.image), "--initramfs", text(&kernel.boot), "--parameters", &parameters];
    fs::create_dir(network::FOLDER).unwrap();
    Lab::ready().phase(&[&["image", "pxe", "--out", &folder, "--grub", &grub], &parts[..]].concat());
}

/// Follows the boot to the tiny release, in the mode that is chosen at the menu.
fn starts(machine: &Machine, mode: Mode, source: &str) -> Outcome {
    let mut boot = Boot::start(machine);
    chooses(&mut boot, mode);
    let folder = folder();
    let outcome = Arrival { mode, handoff: "direct", source, login: false }.of(&mut boot, Path::new(&folder));
    Outcome { artefact: bytes(Path::new(&folder)), ..outcome }
}

pub(super) fn pxe() -> Outcome {
    let mut lan = network::lan();
    make_folder();
    network::put(&publish(None, "direct"));
    let [dhcp, http] = [DNSMASQ, NGINX].map(|first| network::configuration(network::PXE, first));
    network::serve(&lan.router, ROUTER, &dhcp, Some(&http));
    let firmware = Firmware::new();
    let machine = network::plugged(&mut lan, firmware.machine(), NetworkBoot::Pxe).memory_mib(1024);
    starts(&machine, Mode::Local, network::RELEASES)
}

/// The release is on a stick, which has no boot loader.
pub(super) fn http() -> Outcome {
    let mut lan = network::lan();
    make_folder();
    let stick = Medium::fat("PHASE", &publish(None, "direct"));
    let [dhcp, http] = [DNSMASQ, NGINX].map(|first| network::configuration(network::HTTP, first));
    network::serve(&lan.router, ROUTER, &dhcp, Some(&http));
    let firmware = Firmware::new();
    let machine = network::plugged(&mut lan, firmware.machine(), NetworkBoot::Http).memory_mib(1024);
    let outcome = starts(&machine.disk_on(Bus::Usb, &stick.path()), Mode::Private, "/dev/sd");
    let asked = network::asked(&lan.router);
    // GRUB is told of the server alone, and finds its folder there by itself.
    for file in ["grub/arm64.efi", "grub/grub.cfg", "vmlinuz", "boot.cpio.zst"] {
        assert!(asked.contains(&format!("\"GET /arm64/{file} HTTP/1.1\" 200")), "{file}: {asked}");
    }
    assert!(asked.contains("UefiHttpBoot"), "{asked}");
    outcome
}
