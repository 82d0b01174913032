//! What stands between a lease and an origin: proxies, and networks that want a login first.

use discover::{Origin, Proxy};

use crate::lan::{ENVELOPE, Machine, Server, fetched_from, inside};

/// A network without a router, so that nothing beyond it is reached directly.
const CLOSED: &[&str] =
    &["--port=0", "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,1h", "--dhcp-option=option:router"];

#[test]
fn a_proxy_leads_to_an_origin_that_is_not_reached_without_it() {
    if !inside("fetch::a_proxy_leads_to_an_origin_that_is_not_reached_without_it") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    server.address("lo", &["198.51.100.1/32"]);
    server.dnsmasq(CLOSED);
    server.web();
    server.nginx("server { listen 10.77.0.1:3128; location / { proxy_pass http://$http_host$request_uri; } }");
    assert_eq!(machine.up(&machine.settings()).router, None);

    let origin = Origin::parse("http://198.51.100.1:8000").unwrap();
    assert_eq!(fetched_from(&origin).unwrap_err().kind(), "unreachable");
    let through = |proxy: &str| fetched_from(&origin.clone().through(&Proxy::parse(proxy).unwrap()));
    assert_eq!(through("http://10.77.0.1:3128").unwrap(), ENVELOPE);
    let away = through("http://10.77.0.1:3129").unwrap_err();
    assert!(away.to_string().contains("through the proxy http://10.77.0.1:3129"), "{away}");
    // A proxy of the network proves nothing and is asked for nothing but the file: what it makes up is an envelope like any
    // other, for `verify` to refuse.
    server.nginx("server { listen 10.77.0.1:3130; location / { return 200 'made up'; } }");
    assert_eq!(through("http://10.77.0.1:3130").unwrap(), b"made up");
}

#[test]
fn a_captive_portal_is_called_by_its_name() {
    if !inside("fetch::a_captive_portal_is_called_by_its_name") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.plugged("eth0", &["10.77.0.1/24"]);
    server.dnsmasq(CLOSED);
    // A page at once, a page behind a redirect, and the status of RFC 6585.
    server.nginx(
        "server { listen 80; location / { default_type text/html; return 200 '<!doctype html><p>Welcome!'; } }
         server { listen 81; location / { return 302 http://10.77.0.1/login?from=$uri; } }
         server { listen 82; location / { return 511; } }",
    );
    machine.up(&machine.settings());
    for (port, seen) in [(80, "begins like HTML"), (81, "it came from http://10.77.0.1/login"), (82, "status 511")] {
        let error = fetched_from(&Origin::parse(&format!("http://10.77.0.1:{port}")).unwrap()).unwrap_err();
        assert_eq!(error.kind(), "captive-portal", "{error}");
        assert!(error.to_string().contains(seen), "{error}");
    }
}
