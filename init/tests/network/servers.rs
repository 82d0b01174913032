//! Other DHCP servers than dnsmasq.

use std::fs;
use std::process::Command;

use crate::lan::{ENVELOPE, Machine, Server, address, fetched, inside, run};

#[test]
fn busybox_udhcpd_is_understood() {
    if !inside("servers::busybox_udhcpd_is_understood") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    let (config, leases) = (server.files().join("udhcpd.conf"), server.files().join("leases"));
    fs::write(&leases, "").unwrap();
    let text = format!(
        "start 10.77.0.50\nend 10.77.0.59\ninterface to-eth0\nlease_file {}\npidfile {}\noption subnet 255.255.255.0\n\
         option router 10.77.0.1\noption dns 10.77.0.53\noption lease 120\n",
        leases.display(),
        server.files().join("udhcpd.pid").display()
    );
    fs::write(&config, text).unwrap();
    let mut command = server.command("busybox");
    command.args(["udhcpd", "-f"]).arg(&config);
    server.start(&mut command);
    server.web();
    let connection = machine.up(&machine.settings());
    assert!(connection.address.starts_with("10.77.0.5"), "{connection:?}");
    assert_eq!((connection.router, connection.dns), (Some(address("10.77.0.1")), vec![address("10.77.0.53")]));
    assert_eq!(connection.lease_seconds, Some(120));
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
}

#[test]
fn isc_kea_is_understood() {
    if !inside("servers::isc_kea_is_understood") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    let config = server.files().join("kea.json");
    // Its class test shows that the user class arrives in the form of RFC 3004.
    fs::write(
        &config,
        r#"{"Dhcp4": {
            "interfaces-config": {"interfaces": ["to-eth0"]},
            "lease-database": {"type": "memfile", "persist": false},
            "valid-lifetime": 900, "next-server": "10.77.0.7", "boot-file-name": "http://10.77.0.8:8000/tree",
            "client-classes": [{"name": "phase", "test": "substring(option[77].hex,1,9) == 'PhaseBoot'",
                "option-data": [{"name": "domain-name-servers", "data": "10.77.0.53"},
                                {"name": "boot-file-name", "data": "/tree"}]}],
            "subnet4": [{"subnet": "10.77.0.0/24", "pools": [{"pool": "10.77.0.50 - 10.77.0.59"}],
                "option-data": [{"name": "routers", "data": "10.77.0.1"}, {"name": "interface-mtu", "data": "1400"}]}],
            "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stderr"}], "severity": "WARN"}]
        }}"#,
    )
    .unwrap();
    run(Command::new("kea-dhcp4").arg("-v"));
    let mut command = server.command("kea-dhcp4");
    for place in ["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"] {
        command.env(place, server.files());
    }
    command.arg("-c").arg(&config);
    server.start(&mut command);
    server.web();
    let connection = machine.up(&machine.settings());
    assert!(connection.address.starts_with("10.77.0.5"), "{connection:?}");
    assert_eq!((connection.router, connection.dns), (Some(address("10.77.0.1")), vec![address("10.77.0.53")]));
    assert_eq!(connection.lease_seconds, Some(900));
    // By option 67, and by the field of the header.
    assert_eq!(connection.boot_urls, ["http://10.77.0.7/tree", "http://10.77.0.8:8000/tree"]);
    assert_eq!(fetched("10.77.0.1").unwrap(), ENVELOPE);
}
