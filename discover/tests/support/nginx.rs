//! nginx for the test programs of several crates (each includes this file by its path): a process of its own files that ends with
//! the test, on ports that nobody else has.

#![allow(dead_code, reason = "every test program takes what it needs")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often other ports are tried.
const ATTEMPTS: usize = 10;

/// Where nginx is: for who is not root, that is in no `PATH`. (A command with a `PATH` of its own would be started by a fork, and a
/// copy of the test program's memory is what nobody can seal a memfd under: EBUSY.)
pub(crate) fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join("nginx")).find(|file| file.is_file()).expect("nginx (package nginx-light)")
}

/// Writes a configuration with `http` in its block of that name into `folder`, where all that nginx writes is then, too.
pub(crate) fn configured(folder: &Path, http: &str) -> PathBuf {
    let (file, place) = (folder.join("nginx.conf"), folder.display());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .concat();
    // Else root's nginx would give its folders to somebody whom a namespace may not know.
    let user = if fs::metadata("/proc/self").unwrap().uid() == 0 { "user root;" } else { "" };
    let text = format!(
        "{user} daemon off; master_process off; pid {place}/nginx.pid; error_log stderr crit; events {{ }} http {{ {temporary} {http} }}\n"
    );
    fs::write(&file, text).unwrap();
    file
}

/// Waits until an nginx that was [`configured`] in `folder` listens everywhere; `false` if it has ended instead.
pub(crate) fn listens(nginx: &mut Child, folder: &Path) -> bool {
    let begin = Instant::now();
    // That file is written when the sockets are there.
    while fs::read(folder.join("nginx.pid")).unwrap_or_default().is_empty() {
        if nginx.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "nginx does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A running nginx, until it is dropped.
pub(crate) struct Nginx(Child);

impl Nginx {
    /// Starts one on as many free ports of 127.0.0.1, of which `http` makes its configuration; it listens.
    pub(crate) fn start(folder: &Path, ports: usize, http: impl Fn(&[u16]) -> String) -> (Self, Vec<u16>) {
        Self::start_by(&|| Command::new(program()), folder, ports, http)
    }

    /// The same by a command that has no arguments yet. A port that was free may be somebody's when nginx begins: then others are
    /// taken.
    pub(crate) fn start_by(
        command: &dyn Fn() -> Command,
        folder: &Path,
        ports: usize,
        http: impl Fn(&[u16]) -> String,
    ) -> (Self, Vec<u16>) {
        for _ in 0..ATTEMPTS {
            let held: Vec<_> = (0..ports).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let ports: Vec<_> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
            drop(held);
            let mut command = command();
            command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c");
            command.arg(configured(folder, &http(&ports))).stdin(Stdio::null());
            let mut nginx = Self(command.spawn().unwrap());
            if listens(&mut nginx.0, folder) {
                return (nginx, ports);
            }
        }
        panic!("nginx ended {ATTEMPTS} times; it says why above");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
