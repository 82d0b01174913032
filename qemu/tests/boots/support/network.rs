//! What tests/network/ needs besides: a certificate authority that nobody else trusts, a locator key, a release of several
//! pieces, and a machine that knows them.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    process::Command,
};

use qemu::Machine;

use super::{
    Lab,
    lab::{run, text},
};

/// The https server's name; it is in no name server of the world.
pub(crate) const HTTPS_NAME: &str = "origin.test";

/// The first node of the DHT; the addresses behind it are those of the others.
pub(crate) const DHT_NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 20), 6881);

impl Lab {
    /// A machine without a mode, a network card or much memory, which knows the DHT, the locator key and the authority.
    pub(crate) fn network_machine(&self) -> Machine {
        self.asking_machine_with(&self.part("network.cpio.zst")).memory_mib(256)
    }

    /// Runs a command that has to succeed.
    pub(crate) fn run(command: &mut Command) {
        run(command);
    }

    pub(super) fn network_parts(&self, init: &Path) {
        let [locator, larger, trust] = ["locator", "larger.squashfs", "trust.json"].map(|name| self.part(name));
        if !locator.exists() {
            self.phase(&["keygen", "--no-passphrase", "--out", text(&locator)]);
        }
        certificates(&self.part(""));
        self.phase(&["lab", "tiny-root", "--size", "8", "--out", text(&larger)]);
        let [key, roots] = ["locator.pub", "https-roots.pem"].map(|name| self.part(name));
        let options =
            ["--stage", "boot", "--modules", "qemu-net,root", "--trust", text(&trust), "--tls-roots", text(&roots)];
        let dht = ["--dht-locator", text(&key), "--dht-bootstrap", &DHT_NODE.to_string()];
        self.image("network.cpio.zst", init, &[&options, &dht]);
    }
}

/// Makes `https-roots.pem`, `https.pem` and `https.key` in `directory`, unless they are there. They are valid for ten years
/// from today: not in 1970, and not in 2099.
fn certificates(directory: &Path) {
    if directory.join("https.pem").exists() {
        return;
    }
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(directory));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -subj /CN=root -days 3650 -keyout https-roots.key -out https-roots.pem"));
    let name = format!("-subj /CN={HTTPS_NAME} -addext subjectAltName=DNS:{HTTPS_NAME}");
    openssl(&format!("req {key} {name} -keyout https.key -out https.csr"));
    let authority = "-CA https-roots.pem -CAkey https-roots.key -CAcreateserial";
    openssl(&format!("x509 -req -in https.csr {authority} -copy_extensions copy -days 3650 -out https.pem"));
}
