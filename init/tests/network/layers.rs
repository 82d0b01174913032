//! VLANs and bonds. A kernel that has them gives a lease over them; one that has not is told apart from a network that has
//! not: both are looked for, since the kernel of the tests may be either. The real ones of Debian's kernel: qemu/tests.

use std::process::Command;

use init::network::DownReason;

use crate::lan::{ENVELOPE, Machine, Server, fetched, impatient, inside, ip};

const DHCP: &[&str] = &["--port=0", "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h"];

/// Whether this kernel makes interfaces of a kind.
fn kernel_has(kind: &str) -> bool {
    let made =
        Command::new("ip").args(["link", "add", "link", "lo", "name", "probe", "type"]).args(kind.split(' ')).output();
    let made = made.unwrap().status.success();
    if made {
        ip("link delete probe");
    }
    made
}

#[test]
fn a_vlan_carries_the_lease_or_the_missing_module_is_named() {
    if !inside("layers::a_vlan_carries_the_lease_or_the_missing_module_is_named") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.66.0.1/24"]);
    let settings = machine.told("phase.vlan=42@eth0");
    if !kernel_has("vlan id 7") {
        let reason = machine.down(&settings);
        let DownReason::Layer { what, module, .. } = &reason else { panic!("{reason}") };
        assert_eq!((&**what, *module), ("VLAN 42 on eth0", "8021q"));
        return;
    }
    server.ip("link add link to-eth0 name v42 type vlan id 42");
    server.address("v42", &["10.77.0.1/24"]);
    server.ip("link set v42 up");
    server.dnsmasq(DHCP);
    server.web();
    assert_eq!(machine.up(&settings).interface, "eth0.42");
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
}

#[test]
fn a_bond_carries_the_lease_or_the_missing_module_is_named() {
    if !inside("layers::a_bond_carries_the_lease_or_the_missing_module_is_named") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.cable("eth0");
    server.plugged("eth1", &["10.77.0.1/24"]);
    let settings = machine.told("phase.bond=active-backup:eth0,eth1");
    if !kernel_has("bond mode 1") {
        let reason = machine.down(&settings);
        let DownReason::Layer { what, module, .. } = &reason else { panic!("{reason}") };
        assert_eq!((&**what, *module), ("the bond bond0", "bonding"));
        return;
    }
    server.dnsmasq(DHCP);
    server.web();
    assert_eq!(machine.up(&settings).interface, "bond0");
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
}

#[test]
fn a_vlan_on_an_interface_that_is_not_there_is_not_made_elsewhere() {
    if !inside("layers::a_vlan_on_an_interface_that_is_not_there_is_not_made_elsewhere") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.66.0.1/24"]);
    let reason = machine.down(&impatient(machine.told("phase.vlan=42@eth5")));
    let DownReason::NotThere { named, seen, .. } = &reason else { panic!("{reason}") };
    assert_eq!((&**named, &**seen), ("eth5", "eth0"));
    assert!(!ip("link show dev eth0").contains(",UP"), "untagged frames would have left");
}
