//! Networks that have IPv6, alone or beside IPv4.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::lan::{ENVELOPE, Machine, Server, address, fetched, inside};

/// A network with IPv6 only.
fn ipv6_only(server: &mut Server) {
    server.plugged("eth0", &["fd00:77::1/64"]);
    server.dnsmasq(&[
        "--port=0",
        "--enable-ra",
        "--dhcp-range=fd00:77::,ra-only",
        "--dhcp-option=option6:dns-server,[fd00:77::53]",
        "--ra-param=to-eth0,mtu:1400,60,600",
    ]);
    server.web();
}

#[test]
fn router_advertisements_are_enough_and_dhcp_is_not_waited_for() {
    if !inside("ipv6::router_advertisements_are_enough_and_dhcp_is_not_waited_for") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    ipv6_only(&mut server);
    let settings = machine.settings();
    let begin = Instant::now();
    let connection = machine.up(&settings);
    assert!(begin.elapsed() < settings.lease / 2, "it waited for a DHCP server: {:?}", begin.elapsed());
    assert!(connection.address.starts_with("fd00:77::") && connection.address.ends_with("/64"), "{connection:?}");
    assert!(connection.router.is_some_and(|router| router.to_string().starts_with("fe80::")), "{connection:?}");
    assert_eq!(connection.dns, [address("fd00:77::53")]);
    assert!(machine.resolver().contains("nameserver fd00:77::53\n"), "{}", machine.resolver());
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/mtu").unwrap(), "1400\n");
    assert_eq!(fetched("[fd00:77::1]").unwrap(), ENVELOPE);

    // The kernel asks the routers once; a second attempt has to ask them itself.
    let again = machine.up(&settings);
    assert_eq!((again.address, again.dns), (connection.address, connection.dns));
}

#[test]
fn radvd_is_understood() {
    if !inside("ipv6::radvd_is_understood") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["fd00:77::1/64"]);
    let config = server.files().join("radvd.conf");
    let text = "interface to-eth0 { AdvSendAdvert on; AdvLinkMTU 1400; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
                  prefix fd00:77::/64 { }; RDNSS fd00:77::53 fd00:77::54 { }; };";
    fs::write(&config, text).unwrap();
    Command::new("radvd").arg("--version").output().expect("radvd has to be installed");
    let mut command = server.command("radvd");
    command.args(["--nodaemon", "--logmethod", "stderr", "--config"]).arg(&config);
    command.arg("--pidfile").arg(server.files().join("radvd.pid"));
    server.start(&mut command);
    server.web();
    let connection = machine.up(&machine.settings());
    assert_eq!(connection.dns, ["fd00:77::53", "fd00:77::54"].map(address));
    assert_eq!(fetched("[fd00:77::1]").unwrap(), ENVELOPE);
}

#[test]
fn where_there_are_both_dhcp_wins() {
    if !inside("ipv6::where_there_are_both_dhcp_wins") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24", "fd00:77::1/64"]);
    let range = "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h";
    server.dnsmasq(&["--port=0", "--enable-ra", "--dhcp-range=fd00:77::,ra-only", range]);
    let connection = machine.up(&machine.settings());
    assert!(connection.address.starts_with("10.77.0."), "{connection:?}");
}

#[test]
fn a_dhcp_server_without_addresses_does_not_keep_ipv6_away() {
    if !inside("ipv6::a_dhcp_server_without_addresses_does_not_keep_ipv6_away") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24", "fd00:77::1/64"]);
    // It knows nobody.
    server.dnsmasq(&["--port=0", "--enable-ra", "--dhcp-range=fd00:77::,ra-only", "--dhcp-range=10.77.0.0,static"]);
    let begin = Instant::now();
    let connection = machine.up(&machine.settings());
    assert!(connection.address.starts_with("fd00:77::"), "{connection:?}");
    assert!(begin.elapsed() < machine.settings().lease / 2, "{:?}", begin.elapsed());
}
