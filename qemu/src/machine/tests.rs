use super::*;

fn command(machine: &Machine) -> String {
    let arguments = machine.arguments(Path::new("/run/q,mp")).unwrap();
    arguments.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn machine() -> Machine {
    Machine::new(Path::new("/k"), Path::new("/i"))
}

#[test]
fn defaults_are_tcg_and_one_user_network() {
    let command = command(&machine());
    for part in [
        "-accel tcg -cpu max",
        "-m 1024 -smp 1",
        "-no-reboot",
        "-netdev user,id=net0 -device virtio-net-pci,netdev=net0,romfile=",
        "-kernel /k -initrd /i -append console=ttyS0 no_timer_check",
        "unix:/run/q,,mp,server=on,wait=off",
    ] {
        assert!(command.contains(part), "{part:?} is not in {command:?}");
    }
    assert!(!["kvm", "-rtc", "tpm"].iter().any(|word| command.contains(word)));
}

#[test]
fn networks_and_disks_are_numbered_and_the_rest_is_passed_on() {
    let machine = machine()
        .network(Network::Restricted)
        .netdev("socket,mcast=230.0.0.1:1234", "e1000")
        .backend("hubport,id=a,hubid=0")
        .disk(Path::new("/a"))
        .read_only_disk(Path::new("/b"))
        .tpm(Path::new("/run/tp,m"))
        .watchdog()
        .append("phase.quiet")
        .capture(Path::new("/run/c,ap"))
        .capture(Path::new("/run/second"))
        .clock("1970-01-01T00:00:00");
    let command = command(&machine);
    for part in [
        "user,restrict=on,id=net0",
        "socket,mcast=230.0.0.1:1234,id=net1 -device e1000,netdev=net1",
        "file=/a,format=raw,if=none,id=disk0 ",
        "file=/b,format=raw,if=none,id=disk1,readonly=on",
        "socket,id=swtpm,path=/run/tp,,m -tpmdev emulator,id=tpm0,chardev=swtpm -device tpm-tis,tpmdev=tpm0",
        "-device i6300esb -action watchdog=reset",
        "console=ttyS0 no_timer_check phase.quiet",
        "-object filter-dump,id=capture0,netdev=net0,file=/run/c,,ap -object filter-dump,id=capture1,netdev=net1,file=/run/second",
        "-rtc base=1970-01-01T00:00:00",
    ] {
        assert!(command.contains(part), "{part:?} is not in {command:?}");
    }
    assert!(!self::command(&self::machine().network(Network::None)).contains("-netdev"));
}

#[test]
fn drives_share_their_controllers_and_take_the_ports_in_order() {
    let image = Path::new("/d");
    let command = command(
        &machine()
            .disk_on(Bus::Sata, image)
            .disc(Optical::Sata, image)
            .disk_on(Bus::Usb, image)
            .disk_on(Bus::UsbAttachedScsi, image)
            .usb_keyboard()
            .disk_on(Bus::VirtioScsi, image)
            .disc(Optical::VirtioScsi, image)
            .disk_on(Bus::Nvme, image)
            .disk_on(Bus::Sd, image),
    );
    for part in [
        "-device ide-hd,bus=ide.0,drive=disk0",
        "id=disk1,readonly=on,media=cdrom -device ide-cd,bus=ide.1,drive=disk1",
        "-device usb-storage,bus=usb.0,drive=disk2",
        "-device usb-uas,id=uas3,bus=usb.0 -device scsi-hd,bus=uas3.0,drive=disk3",
        "-device usb-kbd,bus=usb.0",
        "-device scsi-hd,bus=virtio.0,drive=disk4",
        "-device scsi-cd,bus=virtio.0,drive=disk5",
        "-device nvme,serial=disk6,drive=disk6",
    ] {
        assert!(command.contains(part), "{part:?} is not in {command:?}");
    }
    assert!(command.ends_with("-device sdhci-pci -device sd-card,drive=disk7"), "{command:?}");
    for controller in ["qemu-xhci", "virtio-scsi-pci"] {
        assert_eq!(command.matches(controller).count(), 1, "{command:?}");
    }
    assert!(!command.contains("bootindex"), "{command:?}");
}

#[test]
fn a_machine_without_a_kernel_boots_its_first_drive_from_its_firmware() {
    let machine = Machine::from_firmware().disc(Optical::Sata, Path::new("/d,1")).disk(Path::new("/e"));
    let command = command(&machine.uefi(Path::new("/code"), Path::new("/vars")));
    for part in [
        "-drive if=pflash,unit=0,format=raw,readonly=on,file=/code -drive if=pflash,unit=1,format=raw,file=/vars",
        "file=/d,,1,",
        "ide-cd,bus=ide.0,drive=disk0,bootindex=0",
    ] {
        assert!(command.contains(part), "{part:?} is not in {command:?}");
    }
    assert_eq!(command.matches("bootindex").count(), 1);
    assert!(!command.contains("-kernel") && !command.contains("-append"), "{command:?}");
}

#[test]
fn only_a_guarded_firmware_keeps_its_variables_from_the_kernel() {
    let guard = "-global driver=cfi.pflash01,property=secure,value=on";
    let [code, variables] = ["/code", "/vars"].map(Path::new);
    assert!(command(&Machine::from_firmware().guarded_uefi(code, variables)).contains(guard));
    assert!(!command(&Machine::from_firmware().uefi(code, variables)).contains("-global"));
}

#[test]
fn another_architecture_has_a_board_a_console_and_controllers_of_its_own() {
    let machine = machine().architecture(Architecture::Aarch64).disk_on(Bus::Sata, Path::new("/a"));
    let command = command(&machine.tpm(Path::new("/t")).append("quiet"));
    for part in [
        "-vga none -machine virt -accel tcg -cpu max",
        "-append console=ttyAMA0 quiet",
        "-device ich9-ahci,id=ide -drive file=/a,format=raw,if=none,id=disk0 -device ide-hd,bus=ide.0,drive=disk0",
        "-device tpm-tis-device,tpmdev=tpm0",
    ] {
        assert!(command.contains(part), "{part:?} is not in {command:?}");
    }
    assert!(!["q35", "ttyS0", NO_TIMER_CHECK].iter().any(|word| command.contains(word)), "{command:?}");
    let without_sata = self::command(&self::machine().architecture(Architecture::Aarch64));
    assert!(!without_sata.contains("ahci"), "{without_sata:?}");
}

#[test]
fn a_missing_kernel_is_named() {
    let error = Machine::new(Path::new("/nowhere/vmlinuz"), Path::new("/i")).start().unwrap_err();
    assert_eq!(error.to_string(), "the machine's kernel /nowhere/vmlinuz cannot be read");
}

#[test]
fn the_network_is_booted_from_before_any_drive() {
    let machine = Machine::from_firmware().disk(Path::new("/a"));
    let bios = command(&machine.clone().boot_from_network(NetworkBoot::Pxe));
    // With the ROM that QEMU gives the card.
    assert!(bios.contains("-device virtio-net-pci,netdev=net0,bootindex=0 "), "{bios}");
    assert_eq!(bios.matches("bootindex").count(), 1, "{bios}");
    assert!(!bios.contains("PXESupport"), "{bios}");

    let uefi = machine.uefi(Path::new("/code"), Path::new("/variables")).boot_from_network(NetworkBoot::Http);
    let uefi = command(&uefi);
    assert!(uefi.contains("-device virtio-net-pci,netdev=net0,romfile=,bootindex=0 "), "{uefi}");
    assert!(uefi.contains("-fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n"), "{uefi}");
}
