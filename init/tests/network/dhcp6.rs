//! `DHCPv6` by dnsmasq and ISC Kea: addresses where routers say so, and else what a server knows about the network.

use std::fs;
use std::process::Command;
use std::time::Instant;

use init::network::Settings;

use crate::lan::{ENVELOPE, Machine, Server, address, fetched, inside, ip, run};

/// The address of a connection, without its prefix.
fn host(address: &str) -> String {
    address.split_once('/').unwrap().0.to_owned()
}

fn on_link(machine: &Machine) -> Settings {
    Settings { on_link: true, ..machine.settings() }
}

#[test]
fn an_address_of_dnsmasq_is_used_where_routers_give_none() {
    if !inside("dhcp6::an_address_of_dnsmasq_is_used_where_routers_give_none") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["fd00:77::1/64"]);
    // The flag M, and no prefix of which a machine may make an address; the name servers are told to Phase Boot alone.
    server.dnsmasq(&[
        "--port=0",
        "--enable-ra",
        "--dhcp-range=fd00:77::50,fd00:77::60,64,1h",
        "--dhcp-userclass=set:phase,PhaseBoot",
        "--dhcp-option=tag:phase,option6:dns-server,[fd00:77::53]",
    ]);
    server.web();
    let begin = Instant::now();
    let connection = machine.up(&machine.settings());
    assert!(begin.elapsed() < machine.settings().lease / 2, "{:?}", begin.elapsed());
    assert!(connection.address.starts_with("fd00:77::") && connection.address.ends_with("/128"), "{connection:?}");
    assert_eq!(connection.lease_seconds, Some(3600));
    assert!(connection.router.is_some_and(|router| router.to_string().starts_with("fe80::")), "{connection:?}");
    assert_eq!(connection.dns, [address("fd00:77::53")]);
    assert!(ip("-6 -o address show dev eth0").contains(&host(&connection.address)));
    assert_eq!(fetched("[fd00:77::1]").unwrap(), ENVELOPE);
}

#[test]
fn isc_kea_gives_an_address_and_names_a_place() {
    if !inside("dhcp6::isc_kea_gives_an_address_and_names_a_place") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["fd00:77::1/64"]);
    let config = server.files().join("kea6.json");
    // Its class test shows that the user class arrives in the form of RFC 8415.
    fs::write(
        &config,
        r#"{"Dhcp6": {
            "interfaces-config": {"interfaces": ["to-eth0"],
                "service-sockets-max-retries": 100, "service-sockets-retry-wait-time": 100},
            "lease-database": {"type": "memfile", "persist": false},
            "server-id": {"type": "LL", "persist": false},
            "preferred-lifetime": 600, "valid-lifetime": 900,
            "client-classes": [{"name": "phase", "test": "substring(option[15].hex,2,9) == 'PhaseBoot'",
                "option-data": [{"name": "bootfile-url", "data": "http://[fd00:77::1]:8000"},
                                {"name": "dns-servers", "data": "fd00:77::53"}]}],
            "subnet6": [{"subnet": "fd00:77::/64", "interface": "to-eth0", "pools": [{"pool": "fd00:77::50 - fd00:77::60"}]}],
            "loggers": [{"name": "kea-dhcp6", "output_options": [{"output": "stderr"}], "severity": "WARN"}]
        }}"#,
    )
    .unwrap();
    run(Command::new("kea-dhcp6").arg("-v"));
    let mut command = server.command("kea-dhcp6");
    for place in ["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR", "KEA_DHCP_DATA_DIR"] {
        command.env(place, server.files());
    }
    command.arg("-c").arg(&config);
    server.start(&mut command);
    let router = server.files().join("radvd.conf");
    let text = "interface to-eth0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
                  prefix fd00:77::/64 { AdvAutonomous off; }; };";
    fs::write(&router, text).unwrap();
    let mut command = server.command("radvd");
    command.args(["--nodaemon", "--logmethod", "stderr", "--config"]).arg(&router);
    command.arg("--pidfile").arg(server.files().join("radvd.pid"));
    server.start(&mut command);
    server.web();
    let connection = machine.up(&machine.settings());
    assert!(connection.address.starts_with("fd00:77::") && connection.address.ends_with("/128"), "{connection:?}");
    assert_eq!((connection.lease_seconds, &*connection.dns), (Some(900), &[address("fd00:77::53")][..]));
    assert_eq!(connection.boot_urls, ["http://[fd00:77::1]:8000"]);
    assert_eq!(fetched("[fd00:77::1]").unwrap(), ENVELOPE);
}

#[test]
fn name_servers_are_asked_for_where_routers_say_so_and_name_none() {
    if !inside("dhcp6::name_servers_are_asked_for_where_routers_say_so_and_name_none") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["fd00:77::1/64"]);
    // The flags A and O. What dnsmasq tells DHCP clients it advertises too, but for those of one class.
    server.dnsmasq(&[
        "--port=0",
        "--enable-ra",
        "--dhcp-range=fd00:77::,ra-stateless",
        "--dhcp-userclass=set:phase,PhaseBoot",
        "--dhcp-option=tag:phase,option6:dns-server,[fd00:77::54]",
        "--dhcp-option=option6:dns-server",
    ]);
    let connection = machine.up(&machine.settings());
    assert!(connection.address.starts_with("fd00:77::") && connection.address.ends_with("/64"), "{connection:?}");
    assert_eq!((connection.lease_seconds, &*connection.dns), (None, &[address("fd00:77::54")][..]));
}

/// What a server of IPv4 is told.
const IPV4: [&str; 2] = ["--port=0", "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h"];

#[test]
fn local_mode_asks_for_a_place_beside_ipv4() {
    if !inside("dhcp6::local_mode_asks_for_a_place_beside_ipv4") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24", "fd00:77::1/64"]);
    let six = [
        "--dhcp-range=fd00:77::,static",
        "--dhcp-userclass=set:phase,PhaseBoot",
        "--dhcp-option=tag:phase,option6:59,http://[fd00:77::1]:8000/tree",
    ];
    server.dnsmasq(&[&IPV4[..], &six].concat());
    let connection = machine.up(&on_link(&machine));
    assert!(connection.address.starts_with("10.77.0."), "{connection:?}");
    assert_eq!(connection.boot_urls, ["http://[fd00:77::1]:8000/tree"]);
    // No router said that anybody is to be asked, and internet mode does not.
    assert_eq!(machine.up(&machine.settings()).boot_urls, [] as [&str; 0]);
}

#[test]
fn local_mode_does_not_wait_for_long_where_nobody_speaks_dhcpv6() {
    if !inside("dhcp6::local_mode_does_not_wait_for_long_where_nobody_speaks_dhcpv6") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    server.dnsmasq(&IPV4);
    // The server may start after the first question.
    machine.up(&machine.settings());
    let begin = Instant::now();
    let connection = machine.up(&on_link(&machine));
    assert!(connection.address.starts_with("10.77.0.") && connection.boot_urls.is_empty(), "{connection:?}");
    assert!(begin.elapsed() < machine.settings().lease / 4, "{:?}", begin.elapsed());
}
