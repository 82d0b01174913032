//! Addresses and interfaces of the command line, without any DHCP server.

use std::time::Instant;

use init::network::DownReason;

use crate::lan::{ENVELOPE, Machine, Server, address, fetched, impatient, inside, ip};

#[test]
fn a_fixed_address_needs_no_server() {
    if !inside("fixed::a_fixed_address_needs_no_server") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.cable("eth0");
    server.plugged("eth1", &["192.0.2.1/24"]);
    // Behind the router.
    server.address("lo", &["198.51.100.1/32"]);
    server.web();
    let begin = Instant::now();
    let connection = machine.up(&machine.told("ip=192.0.2.5::192.0.2.1:255.255.255.0::eth1:none:192.0.2.53"));
    assert!(begin.elapsed() < machine.settings().lease / 4, "{:?}", begin.elapsed());
    assert_eq!((&*connection.interface, &*connection.address), ("eth1", "192.0.2.5/24"));
    assert_eq!((connection.router, connection.lease_seconds), (Some(address("192.0.2.1")), None));
    assert_eq!(machine.resolver(), "nameserver 192.0.2.53\noptions timeout:6 attempts:6\n");
    assert_eq!(fetched("198.51.100.1").unwrap(), ENVELOPE);
    let other = ip("link show dev eth0");
    assert!(!other.contains(",UP"), "another interface than the named one was switched on: {other}");
    // A second attempt to boot finds things as the first left them.
    assert_eq!(machine.up(&machine.told("ip=192.0.2.5::192.0.2.1:24::eth1:none:192.0.2.53")), connection);
}

#[test]
fn a_fixed_ipv6_address_is_used_at_once() {
    if !inside("fixed::a_fixed_ipv6_address_is_used_at_once") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["fd00:77::1/64"]);
    server.address("lo", &["fd00:99::1/128"]);
    server.web();
    let begin = Instant::now();
    let connection = machine.up(&machine.told("ip=[fd00:77::5]::[fd00:77::1]:64::eth0:none:[fd00:77::53]"));
    assert!(begin.elapsed() < machine.settings().lease / 4, "{:?}", begin.elapsed());
    assert_eq!((&*connection.address, connection.router), ("fd00:77::5/64", Some(address("fd00:77::1"))));
    assert!(machine.resolver().starts_with("nameserver fd00:77::53\n"), "{}", machine.resolver());
    assert_eq!(fetched("[fd00:99::1]").unwrap(), ENVELOPE);
}

#[test]
fn without_a_device_the_first_interface_with_a_carrier_has_the_address() {
    if !inside("fixed::without_a_device_the_first_interface_with_a_carrier_has_the_address") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.cable("eth0");
    server.plugged("eth1", &["192.0.2.1/24"]);
    assert_eq!(machine.up(&machine.told("ip=192.0.2.5:::24")).interface, "eth1");
}

#[test]
fn dhcp_on_a_named_interface_leaves_others_alone() {
    if !inside("fixed::dhcp_on_a_named_interface_leaves_others_alone") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.66.0.1/24"]);
    server.plugged("eth1", &["10.77.0.1/24"]);
    ip("link set eth1 address 02:00:00:00:00:07");
    server.dnsmasq(&[
        "--port=0",
        "--dhcp-range=10.66.0.50,10.66.0.60,255.255.255.0,1h",
        "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h",
    ]);
    let connection = machine.up(&machine.told("ip=:::::02-00-00-00-00-07:dhcp"));
    assert_eq!(connection.interface, "eth1");
    let other = ip("link show dev eth0");
    assert!(!other.contains(",UP"), "{other}");
}

#[test]
fn an_interface_that_is_not_there_is_named_beside_those_that_are() {
    if !inside("fixed::an_interface_that_is_not_there_is_named_beside_those_that_are") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["192.0.2.1/24"]);
    let reason = machine.down(&impatient(machine.told("ip=192.0.2.5:::24::eth5:none")));
    let DownReason::NotThere { named, seen, .. } = &reason else { panic!("{reason}") };
    assert_eq!((&**named, &**seen), ("eth5", "eth0"));
    assert!(!ip("-4 address show").contains("192.0.2.5"));
}

#[test]
fn off_is_off() {
    if !inside("fixed::off_is_off") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["192.0.2.1/24"]);
    assert!(matches!(machine.down(&machine.told("ip=off")), DownReason::Off));
    assert!(!ip("link show dev eth0").contains(",UP"));
}
