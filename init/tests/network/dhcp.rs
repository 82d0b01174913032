//! DHCPv4 by dnsmasq: leases and what they carry, and things that come late or never.

use std::thread;
use std::time::{Duration, Instant};

use init::network::{self, DownReason, Settings};

use crate::lan::{ENVELOPE, Machine, Server, address, fetched, impatient, inside, ip};

const RANGE: &str = "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h";
const NO_DNS: &str = "--port=0";

#[test]
fn a_lease_is_put_into_force() {
    if !inside("dhcp::a_lease_is_put_into_force") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    // The name servers only go to those who say that they are Phase Boot.
    server.dnsmasq(&[
        NO_DNS,
        RANGE,
        "--dhcp-userclass=set:phase,PhaseBoot",
        "--dhcp-option=tag:phase,option:dns-server,10.77.0.53,10.77.0.54",
        "--dhcp-option=option:domain-name,lan.test",
        "--dhcp-option-force=option:mtu,1400",
    ]);
    server.web();

    let connection = machine.up(&machine.settings());
    assert_eq!(connection.interface, "eth0");
    assert!(connection.address.starts_with("10.77.0.5") && connection.address.ends_with("/24"), "{connection:?}");
    assert_eq!(connection.router, Some(address("10.77.0.1")));
    assert_eq!(connection.dns, ["10.77.0.53", "10.77.0.54"].map(address));
    assert_eq!(connection.lease_seconds, Some(3600));
    let shown = ip("-4 -o address show dev eth0");
    assert!(shown.contains(&format!("inet {}", connection.address)), "{shown}");
    let route = ip("-4 route show default");
    assert!(route.contains("default via 10.77.0.1 dev eth0"), "{route}");
    assert!(ip("link show dev eth0").contains("mtu 1400"));
    assert_eq!(
        machine.resolver(),
        "search lan.test\nnameserver 10.77.0.53\nnameserver 10.77.0.54\noptions timeout:6 attempts:6\n"
    );
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);

    // A second attempt to boot finds things as the first left them.
    assert_eq!(machine.up(&machine.settings()), connection);

    network::down(&machine.console);
    let link = ip("link show dev eth0");
    assert!(!link.contains(",UP") && link.contains("state DOWN"), "{link}");
}

#[test]
fn an_unplugged_port_costs_nothing() {
    if !inside("dhcp::an_unplugged_port_costs_nothing") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth1", &["10.77.0.1/24"]);
    server.dnsmasq(&[NO_DNS, RANGE]);
    let took = || {
        let begin = Instant::now();
        assert_eq!(machine.up(&machine.settings()).interface, "eth1");
        let took = begin.elapsed();
        network::down(&machine.console);
        took
    };
    // The server may start after the first question.
    took();
    let alone = took();
    server.cable("eth0");
    server.cable("eth2");
    let beside_dead_ones = took();
    let waited_for = alone + machine.settings().carrier / 3;
    assert!(beside_dead_ones < waited_for, "{beside_dead_ones:?} with two unplugged ports, {alone:?} without");
}

#[test]
fn an_interface_and_a_carrier_may_come_late() {
    if !inside("dhcp::an_interface_and_a_carrier_may_come_late") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    let settings = machine.settings();
    let late = |server: &Server| {
        thread::sleep(Duration::from_millis(400));
        server.cable("eth7");
        thread::sleep(Duration::from_millis(400));
        server.plug_in("eth7", &["10.77.0.1/24"]);
    };
    server.dnsmasq(&[NO_DNS, RANGE]);
    server.web();
    let connection = thread::scope(|scope| {
        scope.spawn(|| late(&server));
        machine.up(&settings)
    });
    assert_eq!(connection.interface, "eth7");
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
}

#[test]
fn a_late_server_is_asked_again() {
    if !inside("dhcp::a_late_server_is_asked_again") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    let settings = machine.settings();
    let begin = Instant::now();
    let connection = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(4));
            server.dnsmasq(&[NO_DNS, RANGE]);
        });
        machine.up(&settings)
    });
    assert_eq!(connection.interface, "eth0");
    assert!(begin.elapsed() < settings.lease / 2, "asked too rarely: {:?}", begin.elapsed());
}

/// Thirty real seconds: a bridge with spanning tree lets nothing through until it has listened and learned.
#[test]
fn a_switch_port_that_opens_after_30_s_is_waited_for() {
    if !inside("dhcp::a_switch_port_that_opens_after_30_s_is_waited_for") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.ip("link add br0 type bridge stp_state 1 forward_delay 1500");
    server.address("br0", &["10.77.0.1/24"]);
    server.ip("link set br0 up");
    server.cable("eth0");
    server.ip("link set to-eth0 master br0");
    server.dnsmasq(&[NO_DNS, RANGE]);
    server.web();
    server.ip("link set to-eth0 up");
    let begin = Instant::now();
    // Which gives up after 45 s without an address.
    let connection = machine.up(&machine.settings());
    assert!(begin.elapsed() > Duration::from_secs(20), "the bridge did not hold anything back: {:?}", begin.elapsed());
    assert_eq!(connection.interface, "eth0");
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
}

#[test]
fn classless_routes_are_followed() {
    if !inside("dhcp::classless_routes_are_followed") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24", "10.77.0.9/24"]);
    // Behind the routers: on the server's loopback.
    server.address("lo", &["10.9.0.1/32", "10.10.0.1/32"]);
    server.dnsmasq(&[
        NO_DNS,
        RANGE,
        "--dhcp-option=option:router,10.77.0.66",
        "--dhcp-option=option:classless-static-route,10.9.0.0/16,10.77.0.9,0.0.0.0/0,10.77.0.1",
    ]);
    server.web();
    let connection = machine.up(&machine.settings());
    assert_eq!(connection.router, Some(address("10.77.0.1")), "RFC 3442: option 3 does not count beside routes");
    assert!(ip("-4 route show 10.9.0.0/16").contains("via 10.77.0.9 dev eth0"));
    assert_eq!(fetched("10.9.0.1").unwrap(), ENVELOPE);
    assert_eq!(fetched("10.10.0.1").unwrap(), ENVELOPE);
}

#[test]
fn an_address_that_another_machine_uses_is_declined() {
    if !inside("dhcp::an_address_that_another_machine_uses_is_declined") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    server.dnsmasq(&[NO_DNS, "--dhcp-range=10.77.0.50,10.77.0.51,255.255.255.0,1h"]);
    let first = machine.up(&machine.settings());
    // The address that the server gives us is somebody's now; the server does not know (--no-ping).
    ip("address flush dev eth0");
    network::down(&machine.console);
    let taken = first.address.strip_suffix("/24").unwrap();
    server.address("lo", &[&format!("{taken}/32")]);
    let second = machine.up(&machine.settings());
    assert_ne!(second.address, first.address);
    assert!(second.address.starts_with("10.77.0.5"), "{second:?}");
}

#[test]
fn having_no_network_is_an_answer_with_a_reason() {
    if !inside("dhcp::having_no_network_is_an_answer_with_a_reason") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    let short = impatient(machine.settings());
    assert!(matches!(machine.down(&short), DownReason::NoInterface { .. }));
    server.cable("eth0");
    let no_carrier = machine.down(&short);
    assert!(matches!(&no_carrier, DownReason::NoCarrier { interfaces, .. } if interfaces == "eth0"), "{no_carrier}");
    server.plug_in("eth0", &["10.77.0.1/24"]);
    // The kernel may tell of a carrier late; the address alone is not waited for.
    let Settings { carrier, deadline, .. } = machine.settings();
    let begin = Instant::now();
    let no_address = machine.down(&Settings { carrier, deadline, ..short });
    assert!(matches!(&no_address, DownReason::NoAddress { reasons } if reasons.contains("eth0")), "{no_address}");
    assert!(begin.elapsed() < carrier / 2, "{:?}", begin.elapsed());
}
