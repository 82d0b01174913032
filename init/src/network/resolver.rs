//! `/etc/resolv.conf`, for the resolver of the C library that `init` is linked with (musl).

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// Most name servers that musl asks (`MAXNS`).
const MOST: usize = 3;

/// Writes `etc/resolv.conf` under `root`.
pub(super) fn write(root: &Path, interface: &str, servers: &[IpAddr], domain: Option<&str>) -> io::Result<()> {
    let directory = root.join("etc");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("resolv.conf"), text(interface, servers, domain))
}

/// What musl does with the servers: it asks all of them at once, every `timeout / attempts` seconds again until one has
/// answered, for `timeout` seconds in all. So a dead server costs nothing, and a lossy network many packets.
const OPTIONS: &str = "options timeout:6 attempts:6\n";

/// The file's text.
fn text(interface: &str, servers: &[IpAddr], domain: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(domain) = domain {
        _ = writeln!(text, "search {domain}");
    }
    for server in servers.iter().take(MOST) {
        _ = match server {
            // A link-local address is one only together with its link.
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                writeln!(text, "nameserver {address}%{interface}")
            }
            address => writeln!(text, "nameserver {address}"),
        };
    }
    text.push_str(OPTIONS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domain_stand_in_order() {
        let servers = ["10.0.2.3", "fe80::1", "2001:db8::53", "9.9.9.9"].map(|server| server.parse().unwrap());
        assert_eq!(
            text("eth0", &servers, Some("lan")),
            "search lan\nnameserver 10.0.2.3\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\n\
             options timeout:6 attempts:6\n"
        );
        assert_eq!(text("eth0", &[], None), "options timeout:6 attempts:6\n");
    }

    #[test]
    fn the_file_is_made_with_its_directory() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "eth0", &["10.0.2.3".parse().unwrap()], None).unwrap();
        let text = std::fs::read_to_string(root.path().join("etc/resolv.conf")).unwrap();
        assert!(text.starts_with("nameserver 10.0.2.3\n"), "{text}");
    }
}
