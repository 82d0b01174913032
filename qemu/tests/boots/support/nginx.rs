//! A real nginx on a folder.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Ended, bound_to_us, lab::text, origin};

/// A running nginx.
pub(crate) struct Nginx {
    port: u16,
    // In this order: the program ends before its folder goes.
    _program: Ended,
    _directory: TempDir,
}

impl Nginx {
    /// Serves `folder` on a free port.
    pub(crate) fn folder(folder: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = text(directory.path());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {own};\n"))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid {own}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
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
        Self { port, _program: program, _directory: directory }
    }

    /// The kernel parameter that leads to it.
    pub(crate) fn origin(&self) -> String {
        origin(self.port)
    }
}
