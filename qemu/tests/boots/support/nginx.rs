//! A real nginx on a folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    bound_to_us,
    lab::{run, text},
};

/// Starts it.
#[path = "../../../../discover/tests/support/nginx.rs"]
mod program;

/// Its certificate, in its own folder.
const CERTIFICATE: &str = "certificate.pem";

/// A running nginx.
pub(crate) struct Nginx {
    port: u16,
    // In this order: the program ends before its folder goes.
    _program: program::Nginx,
    directory: TempDir,
}

impl Nginx {
    /// Serves `folder` on a free port.
    pub(crate) fn folder(folder: &Path) -> Self {
        Self::with(folder, tempfile::tempdir().unwrap(), "")
    }

    /// The same over https, as 10.0.2.2. Its certificate is valid for ten years from today: not in 1970, and not in 2099.
    pub(crate) fn https(folder: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = "-addext subjectAltName=IP:10.0.2.2 -addext basicConstraints=critical,CA:FALSE";
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem";
        let arguments = format!("req -x509 {key} -subj /CN=server {server} -days 3650 -out {CERTIFICATE}");
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(directory.path()));
        let files = format!("ssl_certificate {CERTIFICATE}; ssl_certificate_key key.pem; ssl_protocols TLSv1.3;");
        Self::with(folder, directory, &files)
    }

    /// The certificate of [`Self::https`], which is its own root.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join(CERTIFICATE)
    }

    /// Serves `folder` with `tls`, the files of a certificate in `directory`, or without.
    fn with(folder: &Path, directory: TempDir, tls: &str) -> Self {
        let ssl = if tls.is_empty() { "" } else { " ssl" };
        let nginx = || bound_to_us(&program::program());
        let (program, ports) = program::Nginx::start_by(&nginx, directory.path(), 1, |ports| {
            format!("access_log off; server {{ listen 127.0.0.1:{}{ssl}; {tls} root {}; }}", ports[0], text(folder))
        });
        Self { port: ports[0], _program: program, directory }
    }

    /// The kernel parameter that leads to it.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.certificate().exists() { "https" } else { "http" };
        format!("phase.origin={scheme}://10.0.2.2:{}", self.port)
    }
}
