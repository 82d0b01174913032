//! A real nginx on a folder.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    Ended, bound_to_us,
    lab::{run, text},
};

/// Its certificate, in its own folder.
const CERTIFICATE: &str = "certificate.pem";

/// A running nginx.
pub(crate) struct Nginx {
    port: u16,
    // In this order: the program ends before its folder goes.
    _program: Ended,
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
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = text(directory.path());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {own};\n"))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid {own}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}{ssl}; {tls} root {}; }} }}\n",
            text(folder)
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let nginx = Path::new("/usr/sbin/nginx");
        assert!(nginx.exists(), "nginx is not installed: apt-get install nginx-light");
        let program = bound_to_us(nginx).args(["-p", own, "-c", text(&file)]).stderr(Stdio::null()).spawn();
        let program = Ended(program.unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen on port {port}");
            thread::sleep(Duration::from_millis(20));
        }
        Self { port, _program: program, directory }
    }

    /// The kernel parameter that leads to it.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.certificate().exists() { "https" } else { "http" };
        format!("phase.origin={scheme}://10.0.2.2:{}", self.port)
    }
}
