//! `network` against real servers: a veth pair joins the namespace of the test, where `init`'s code runs as on a machine,
//! with the namespace of the server. Needs `unshare`, `nsenter`, `ip`, `dnsmasq`, `radvd`, `kea-dhcp4`, `kea-dhcp6`, `busybox` and `nginx`;
//! without one of them the tests fail and say so.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dhcp;
mod dhcp6;
mod fetch;
mod fixed;
mod hostile;
mod ipv6;
mod lan;
mod layers;
mod local;
#[path = "../../../discover/tests/support/namespaces.rs"]
mod namespaces;
#[path = "../../../discover/tests/support/nginx.rs"]
mod nginx;
mod servers;

/// docs/network.md names a test for each promise; each has to be there.
#[test]
fn the_document_names_tests_that_there_are() {
    let sources = [
        ("dhcp", include_str!("dhcp.rs")),
        ("dhcp6", include_str!("dhcp6.rs")),
        ("fetch", include_str!("fetch.rs")),
        ("fixed", include_str!("fixed.rs")),
        ("hostile", include_str!("hostile.rs")),
        ("ipv6", include_str!("ipv6.rs")),
        ("layers", include_str!("layers.rs")),
        ("local", include_str!("local.rs")),
        ("servers", include_str!("servers.rs")),
    ];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut named = 0;
    let promises = include_str!("../../../docs/network.md").split_once("## Promises").unwrap().1;
    for word in promises.split('`').skip(1).step_by(2) {
        if let Some((module, test)) = word.split_once("::") {
            let source = sources.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{word}")).1;
            assert!(source.contains(&format!("fn {test}()")), "{word}");
            named += 1;
        } else if word.contains('/') && root.join(word).extension().is_some_and(|extension| extension == "rs") {
            assert!(root.join(word).is_file(), "{word}");
            named += 1;
        }
    }
    assert!(named > 25, "{named}");
}
