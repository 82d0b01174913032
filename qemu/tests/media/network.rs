//! The folder of `phase image pxe`, given away by real servers in a LAN of namespaces: PXE of a BIOS and of a UEFI, iPXE, HTTP
//! boot of a UEFI, and a proxy-DHCP server beside another one. What the servers are told stands in the documents.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use qemu::{
    Bus, Machine, NetworkBoot,
    lan::{Dhcp, Faults, Host, Lan, NEIGHBOUR, ROUTER},
};

use crate::{
    arrival::{Arrival, bytes},
    row::{Outcome, Row},
    scene::{Firmware, Mode},
    support::{Boot, KERNEL_PARAMETERS, Lab, Medium, QuickStart, Release, Tree, run, text},
};

pub(crate) const PXE: &str = "docs/quick-start-pxe.md";
pub(crate) const HTTP: &str = "docs/quick-start-uefi-http.md";
/// What the documents call the folder, and the files of the two servers.
pub(crate) const FOLDER: &str = "/srv/phase";
pub(crate) const DNSMASQ: &str = "# /etc/dnsmasq.d/phase.conf\n";
const PROXY: &str = "# /etc/dnsmasq.d/phase-proxy.conf\n";
pub(crate) const NGINX: &str = "# /etc/nginx/conf.d/phase.conf\n";
/// Where the documents have releases, which the receipt names.
pub(crate) const RELEASES: &str = "http://10.77.0.1/releases";
/// The same where the neighbour serves them.
const OF_THE_NEIGHBOUR: &str = "http://10.77.0.2/releases";

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, sentence, run| Row::new(name, sentence, run).isolated();
    vec![
        row("PXE-BIOS", "boots in local mode by iPXE, from the place that DHCP names", ipxe),
        row("PXE-BIOS-GRUB", "boots in private mode by GRUB, where the server has TFTP alone", tftp_alone),
        row("PXE-x64", "docs/quick-start-pxe.md boots as it stands, in internet mode", quick_start),
        row("PXE-ia32", "boots in local mode, from the place that DHCP names", ia32),
        row("PXE-BIOS-proxy", "boots in local mode beside a DHCP server that knows nothing of it", || {
            proxy(Firmware::Bios)
        }),
        row("PXE-x64-proxy", "boots in local mode beside a DHCP server that knows nothing of it", || {
            proxy(Firmware::X64)
        }),
        row("HTTP-x64", "docs/quick-start-uefi-http.md boots in private mode from a stick", http),
    ]
}

/// The configuration in the document `name` that begins with the line `first`.
#[track_caller]
pub(crate) fn configuration(name: &str, first: &str) -> String {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(checkout.join(name)).unwrap();
    let block = document.split("```conf\n").skip(1).find(|block| block.starts_with(first));
    let block = block.unwrap_or_else(|| panic!("{name} has no configuration that begins with {first:?}"));
    block.split("```").next().unwrap().to_owned()
}

/// A LAN whose hosts have an empty /srv.
pub(crate) fn lan() -> Lan {
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/srv"]));
    Lan::new().unwrap()
}

/// Makes the folder. Returns how many bytes somebody serves.
fn make_folder() -> u64 {
    make_folder_with("", &[])
}

/// The same with more parameters of the kernel, and options of `phase image pxe`.
fn make_folder_with(more: &str, options: &[&str]) -> u64 {
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
    let parameters = format!("console=ttyS0 {KERNEL_PARAMETERS} phase.on_failure=poweroff {more}");
    let parts = ["--kernel", text(&kernel), "--initramfs", text(&initramfs), "--parameters", parameters.trim_end()];
    Lab::ready().phase(&[&["image", "pxe", "--out", FOLDER], &parts[..], options].concat());
    bytes(Path::new(FOLDER))
}

/// Publishes the tiny release where the servers have releases.
fn put_release() {
    put(&Release::default().publish());
}

/// Puts a published tree there.
pub(crate) fn put(tree: &Tree) {
    run(Command::new("cp").arg("-r").arg(tree.path()).arg(format!("{FOLDER}/releases")));
}

pub(crate) fn serve(host: &Host, address: &str, dhcp: &str, http: Option<&str>) {
    if let Some(http) = http {
        host.nginx(http, address, 80).unwrap();
    }
    host.dnsmasq(&Dhcp::of(dhcp)).unwrap();
}

/// A machine on the link that starts from its card.
pub(crate) fn plugged(lan: &mut Lan, machine: Machine, how: NetworkBoot) -> Machine {
    let machine = lan.plug(machine, &Faults::default()).unwrap();
    machine.memory_mib(512).boot_from_network(how)
}

/// Presses the key of the mode once GRUB's menu is there, and follows the boot to the tiny release.
#[track_caller]
fn arrives(boot: &mut Boot, mode: Mode, source: &str, artefact: u64) -> Outcome {
    boot.shows("Phase Boot: Private");
    boot.types(mode.key());
    let arrival = Arrival { mode, handoff: "kexec", source, login: false };
    Outcome { artefact, ..arrival.of(boot, Path::new(FOLDER)) }
}

/// What this host's nginx was asked for, by which program.
pub(crate) fn asked(host: &Host) -> String {
    fs::read_to_string(host.files().join("access.log")).unwrap_or_default()
}

/// iPXE shows its menu on the screen alone: its key is pressed when it has fetched the menu, and waits in the BIOS's buffer.
#[track_caller]
fn arrives_by_ipxe(machine: &Machine, server: &Host, source: &str, artefact: u64) -> Outcome {
    let mut boot = Boot::start(machine);
    let fetched = (0..1800).any(|_| {
        thread::sleep(Duration::from_millis(100));
        asked(server).contains("GET /boot.ipxe")
    });
    assert!(fetched, "iPXE did not ask for its menu within 180 s: {}", asked(server));
    boot.presses(&[Mode::Local.key()]);
    let arrival = Arrival { mode: Mode::Local, handoff: "kexec", source, login: false };
    let outcome = arrival.of(&mut boot, Path::new(FOLDER));
    for file in ["GET /vmlinuz", "GET /boot.cpio.zst"] {
        assert!(asked(server).contains(file), "{file} was not asked for over HTTP: {}", asked(server));
    }
    Outcome { artefact, ..outcome }
}

fn ipxe() -> Outcome {
    let mut lan = lan();
    let artefact = make_folder();
    put_release();
    serve(&lan.router, ROUTER, &configuration(PXE, DNSMASQ), Some(&configuration(PXE, NGINX)));
    let machine = plugged(&mut lan, Machine::from_firmware(), NetworkBoot::Pxe);
    arrives_by_ipxe(&machine, &lan.router, RELEASES, artefact)
}

/// A firmware whose PXE is no iPXE, as far as the server is told; and nobody has HTTP.
fn tftp_alone() -> Outcome {
    let mut lan = lan();
    let artefact = make_folder();
    let dhcp = configuration(PXE, DNSMASQ).replace("dhcp-userclass=set:ipxe,iPXE\n", "");
    serve(&lan.router, ROUTER, &dhcp, None);
    let stick = stick();
    let machine = plugged(&mut lan, Machine::from_firmware(), NetworkBoot::Pxe);
    let mut boot = Boot::start(&machine.disk_on(Bus::Usb, &stick.path()));
    let outcome = arrives(&mut boot, Mode::Private, "/dev/sd", artefact);
    assert!(boot.says("Phase Boot: not over HTTP; over TFTP, which takes longer"), "who gave the kernel?");
    outcome
}

fn quick_start() -> Outcome {
    let mut lan = lan();
    let _made = QuickStart::follow(PXE);
    serve(&lan.router, ROUTER, &configuration(PXE, DNSMASQ), Some(&configuration(PXE, NGINX)));
    let (machine, _chips) = Firmware::X64.machine();
    let mut boot = Boot::start(&plugged(&mut lan, machine, NetworkBoot::Pxe));
    let outcome = arrives(&mut boot, Mode::Internet, RELEASES, 0);
    let asked = asked(&lan.router);
    // Only GRUB itself and its menu came over TFTP.
    assert!(asked.lines().any(|line| line.contains("GET /vmlinuz") && line.contains("GRUB")), "{asked}");
    let releases = bytes(Path::new(&format!("{FOLDER}/releases")));
    Outcome { artefact: bytes(Path::new(FOLDER)) - releases, ..outcome }
}

fn ia32() -> Outcome {
    let mut lan = lan();
    let artefact = make_folder();
    put_release();
    serve(&lan.router, ROUTER, &configuration(PXE, DNSMASQ), Some(&configuration(PXE, NGINX)));
    let (machine, _chips) = Firmware::Ia32.machine();
    let mut boot = Boot::start(&plugged(&mut lan, machine, NetworkBoot::Pxe));
    arrives(&mut boot, Mode::Local, RELEASES, artefact)
}

/// The router gives addresses; a neighbour gives the rest.
fn proxy(firmware: Firmware) -> Outcome {
    let mut lan = lan();
    // The neighbour's DHCP answers PXE alone: Phase Boot is told where releases are in another way.
    let artefact = make_folder_with(&format!("phase.origin={OF_THE_NEIGHBOUR}"), &["--server", NEIGHBOUR]);
    put_release();
    lan.router.dnsmasq(&Dhcp::v4()).unwrap();
    serve(&lan.neighbour, NEIGHBOUR, &configuration(PXE, PROXY), Some(&configuration(PXE, NGINX)));
    let (machine, _chips) = firmware.machine();
    let machine = plugged(&mut lan, machine, NetworkBoot::Pxe);
    if firmware == Firmware::Bios {
        return arrives_by_ipxe(&machine, &lan.neighbour, OF_THE_NEIGHBOUR, artefact);
    }
    arrives(&mut Boot::start(&machine), Mode::Local, OF_THE_NEIGHBOUR, artefact)
}

fn http() -> Outcome {
    let mut lan = lan();
    let artefact = make_folder();
    serve(&lan.router, ROUTER, &configuration(HTTP, DNSMASQ), Some(&configuration(HTTP, NGINX)));
    let (machine, _chips) = Firmware::X64.machine();
    let stick = stick();
    let machine = plugged(&mut lan, machine, NetworkBoot::Http);
    let mut boot = Boot::start(&machine.disk_on(Bus::Usb, &stick.path()));
    let outcome = arrives(&mut boot, Mode::Private, "/dev/sd", artefact);
    let asked = asked(&lan.router);
    assert!(asked.contains("\"GET /grub/x86_64.efi HTTP/1.1\" 200"), "{asked}");
    assert!(asked.contains("UefiHttpBoot"), "{asked}");
    outcome
}

/// A stick that has a release and no boot loader.
fn stick() -> Medium {
    Medium::fat("PHASE", &Release::default().publish())
}
