//! What the boots of a row need of their own: a certificate authority that nobody else trusts, a locator key, and a boot
//! initramfs that knows them.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
    process::Command,
};

use qemu::Machine;
use tempfile::TempDir;

use crate::support::{Lab, run, text};

/// The https server's name; it is in no name server of the world.
pub(crate) const HTTPS_NAME: &str = "origin.test";

/// The first node of the DHT; the addresses behind it are those of the others.
pub(crate) const DHT_NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 20), 6881);

/// The files, as long as this is kept.
pub(crate) struct Parts(TempDir);

impl Parts {
    /// Makes them. The certificates are valid for ten years from today: not in 1970, and not in 2099.
    pub(crate) fn make() -> Self {
        let parts = Self(tempfile::tempdir().unwrap());
        Lab::ready().phase(&["keygen", "--no-passphrase", "--out", text(&parts.locator())]);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        parts.openssl(&format!("req -x509 {key} -subj /CN=root -days 3650 -keyout root.key -out root.pem"));
        let name = format!("-subj /CN={HTTPS_NAME} -addext subjectAltName=DNS:{HTTPS_NAME}");
        parts.openssl(&format!("req {key} {name} -keyout https.key -out https.csr"));
        let authority = "-CA root.pem -CAkey root.key -CAcreateserial";
        parts.openssl(&format!("x509 -req -in https.csr {authority} -copy_extensions copy -days 3650 -out https.pem"));
        parts
    }

    fn openssl(&self, arguments: &str) {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()));
    }

    /// One of the files.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The key that signs lists of places.
    pub(crate) fn locator(&self) -> PathBuf {
        self.part("locator")
    }

    /// The image of a root of several pieces.
    pub(crate) fn larger_root(&self) -> PathBuf {
        let root = self.part("larger.squashfs");
        Lab::ready().phase(&["lab", "tiny-root", "--size", "8", "--out", text(&root)]);
        root
    }

    /// A machine without a network card or much memory, which knows the authority; and the DHT, if it is to look there.
    pub(crate) fn machine(&self, dht: bool) -> Machine {
        let (roots, locator, node) = (self.part("root.pem"), self.part("locator.pub"), DHT_NODE.to_string());
        let mut options = vec!["--tls-roots", text(&roots)];
        if dht {
            options.extend(["--dht-locator", text(&locator), "--dht-bootstrap", &node]);
        }
        Lab::ready().machine_of(&self.part("boot.cpio.zst"), &options).memory_mib(256)
    }
}
