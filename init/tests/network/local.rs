//! What local mode takes of a network: addresses and places, and no way to anywhere else.

use std::time::{Duration, Instant};

use init::network::Settings;

use crate::lan::{ENVELOPE, Machine, Server, fetched, inside, ip};

fn on_link(machine: &Machine) -> Settings {
    Settings { on_link: true, ..machine.settings() }
}

/// All routes but those of the loopback interface.
fn routes() -> String {
    ip("-4 route show") + &ip("-6 route show")
}

#[test]
fn nothing_leads_beyond_the_link_and_the_place_that_dhcp_names_is_known() {
    if !inside("local::nothing_leads_beyond_the_link_and_the_place_that_dhcp_names_is_known") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24", "fd00:77::1/64"]);
    server.dnsmasq(&[
        "--port=0",
        "--enable-ra",
        "--dhcp-range=fd00:77::,ra-only",
        "--dhcp-option=option6:dns-server,[fd00:77::53]",
        "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h",
        "--dhcp-option=option:dns-server,10.77.0.53",
        "--dhcp-option=option:domain-name,lan.test",
        "--dhcp-option=option:classless-static-route,10.9.0.0/16,10.77.0.9,10.10.0.0/16,0.0.0.0,0.0.0.0/0,10.77.0.1",
        // Only for those who say that they are Phase Boot.
        "--dhcp-userclass=set:phase,PhaseBoot",
        "--dhcp-boot=tag:phase,/tree,,10.77.0.7",
    ]);
    server.web();
    let connection = machine.up(&on_link(&machine));
    assert_eq!((connection.router, &*connection.dns), (None, &[][..]));
    assert_eq!(connection.boot_urls, ["http://10.77.0.7/tree"]);
    assert_eq!(machine.resolver(), "options timeout:6 attempts:6\n");
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
    // The advertisement comes within a second or two; then it is in force.
    let begin = Instant::now();
    while !routes().contains("fd00:77::/64") {
        assert!(begin.elapsed() < Duration::from_secs(10), "no advertisement is followed:\n{}", routes());
        std::thread::sleep(Duration::from_millis(50));
    }
    let routes = routes();
    assert!(routes.contains("10.77.0.0/24") && routes.contains("10.10.0.0/16"), "{routes}");
    assert!(!routes.contains("via") && !routes.contains("default"), "{routes}");

    // The same network leads anywhere in internet mode.
    let connection = machine.up(&machine.settings());
    assert!(connection.router.is_some() && !connection.dns.is_empty(), "{connection:?}");
    assert!(ip("-4 route show").contains("default via 10.77.0.1"));
}

#[test]
fn a_link_local_address_is_enough() {
    if !inside("local::a_link_local_address_is_enough") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    // Nobody gives addresses here.
    server.plugged("eth0", &["fe80::77/64"]);
    server.web();
    let settings = Settings { link_local_grace: Duration::from_secs(3), ..on_link(&machine) };
    let connection = machine.up(&settings);
    assert!(connection.address.starts_with("fe80::") && connection.address.ends_with("/64"), "{connection:?}");
    assert_eq!((connection.router, connection.lease_seconds), (None, None));
    assert_eq!(fetched("[fe80::77%25eth0]").unwrap(), ENVELOPE);

    // Internet mode has no use for it.
    let short = Settings { lease: Duration::from_secs(2), on_link: false, ..settings };
    assert!(machine.down(&short).to_string().contains("no DHCP server answered"));
}

#[test]
fn a_fixed_address_stays_on_the_link_too() {
    if !inside("local::a_fixed_address_stays_on_the_link_too") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    server.web();
    let told = machine.told("ip=10.77.0.5::10.77.0.1:255.255.255.0::eth0:none:10.77.0.53");
    let connection = machine.up(&Settings { on_link: true, ..told });
    assert_eq!((connection.router, &*connection.dns), (None, &[][..]));
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
    assert!(!routes().contains("via"), "{}", routes());
}
