//! `phase serve`, asked by curl.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::common::{command, directory, fails, program, text};

const ARGUMENTS: [&str; 5] = ["serve", "--tree", "tree", "--listen", "127.0.0.1:0"];

/// A running `phase serve`, killed with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::run(&mut command(directory, &ARGUMENTS))
    }

    /// With limits of open files as `ulimit` sets them.
    pub(crate) fn start_limited(directory: &Path, limits: &str) -> Self {
        let script = format!("{limits}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("bash");
        Self::run(shell.args(["-c", &script, env!("CARGO_BIN_EXE_phase")]).args(ARGUMENTS).current_dir(directory))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{line}");
        Self { child, url }
    }

    /// Ctrl-C; returns whether it ended well, and its log.
    pub(crate) fn stop(mut self) -> (bool, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let stderr = self.child.stderr.take().unwrap();
        let log = BufReader::new(stderr).lines().map(|line| line.unwrap() + "\n").collect();
        (self.child.wait().unwrap().success(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // gone already after `stop`
        let _ = self.child.wait();
    }
}

pub(crate) fn home() -> tempfile::TempDir {
    let home = directory();
    fs::create_dir_all(home.path().join("tree/blobs")).unwrap();
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(home.path().join("tree/blobs/file"), bytes).unwrap();
    fs::write(home.path().join("secret"), b"not of the tree").unwrap();
    home
}

/// The status that curl got.
pub(crate) fn status(home: &Path, more: &[&str]) -> String {
    let arguments = [&["-s", "-o", "body", "-w", "%{http_code}"], more].concat();
    text(&program(home, "curl", &arguments))
}

#[test]
fn whole_files_ranges_and_heads() {
    let home = home();
    let home = home.path();
    let bytes = fs::read(home.join("tree/blobs/file")).unwrap();
    let server = Server::start(home);
    let file = format!("{}/blobs/file", server.url);

    assert_eq!(status(home, &[&file]), "200");
    assert_eq!(fs::read(home.join("body")).unwrap(), bytes);
    assert_eq!(status(home, &["-r", "1000-1999", &file]), "206");
    assert_eq!(fs::read(home.join("body")).unwrap(), bytes[1000..2000]);
    assert_eq!(status(home, &["-r", "99990-", &file]), "206");
    assert_eq!(fs::read(home.join("body")).unwrap(), bytes[99_990..]);
    assert_eq!(status(home, &["-r", "100000-", &file]), "416");
    let head = text(&program(home, "curl", &["-sI", &file])).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 100000\r\n"), "{head}");
    assert_eq!(status(home, &["-z", "body", &file]), "304");
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert_eq!(status(home, &["-H", &format!("If-None-Match: {etag}"), &file]), "304");
    assert_eq!(status(home, &["-H", "If-None-Match: \"another\"", &file]), "200");
    // Whether it is still the same file is not compared: the whole of it is right in either case.
    assert_eq!(status(home, &["-r", "1000-1999", "-H", "If-Range: \"another\"", &file]), "200");
    assert_eq!(fs::read(home.join("body")).unwrap(), bytes);
    assert_eq!(status(home, &["-X", "POST", &file]), "405");
}

#[test]
fn nothing_but_the_tree_is_served() {
    let home = home();
    let home = home.path();
    let server = Server::start(home);
    for path in ["nothing", "blobs", "", "../secret", "..%2fsecret", "%2e%2e/secret", "blobs/../../secret", "%00"] {
        assert_eq!(status(home, &["--path-as-is", &format!("{}/{path}", server.url)]), "404", "{path}");
        let body = fs::read(home.join("body")).unwrap_or_default();
        assert_ne!(body, b"not of the tree", "{path}");
    }
    let absolute = format!("{}/{}", server.url, home.join("secret").display());
    assert_eq!(status(home, &["--path-as-is", &absolute]), "404");
}

#[test]
fn every_request_is_logged_and_interrupt_stops() {
    let home = home();
    let server = Server::start(home.path());
    let url = server.url.clone();
    status(home.path(), &[&format!("{url}/blobs/file")]);
    status(home.path(), &["-r", "0-9", &format!("{url}/blobs/file")]);
    status(home.path(), &[&format!("{url}/nothing%1b")]);
    program(home.path(), "curl", &["-sI", &format!("{url}/blobs/file")]);
    let (well, log) = server.stop();
    assert!(well, "{log}");
    for line in [
        " GET /blobs/file 200 100000 ",
        " GET /blobs/file 206 10 ",
        " GET /nothing%1b 404 0 ",
        " HEAD /blobs/file 200 0 ",
    ] {
        assert!(log.contains(line), "{line:?} is not in {log}");
    }
    assert!(!log.contains(" cut "), "{log}");
}

#[test]
fn a_client_that_goes_away_is_told_apart() {
    let home = home();
    fs::write(home.path().join("tree/large"), vec![0; 64 << 20]).unwrap();
    let server = Server::start(home.path());
    let limited = ["-s", "-o", "body", "--limit-rate", "1M", "--max-time", "1", &format!("{}/large", server.url)];
    let output = Command::new("curl").args(limited).current_dir(home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(28), "curl ran into its own time limit");
    let (_, log) = server.stop();
    let line = log.lines().find(|line| line.contains("/large")).unwrap_or_default();
    assert!(line.contains(" cut "), "{log}");
}

#[test]
fn in_process_servers_stop() {
    let home = home();
    let tree = home.path().join("tree");
    let any = "127.0.0.1:0".parse().unwrap();
    let server = phase::serve::spawn(&tree, any, phase::serve::AccessLog::Off).unwrap();
    assert_eq!(status(home.path(), &[&format!("{}/blobs/file", server.url())]), "200");
    let address = server.address();
    server.stop().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn what_cannot_be_served_is_said() {
    let home = home();
    let error = fails(home.path(), &["serve", "--tree", "absent"], 1);
    assert!(error.contains("absent is not a directory"), "{error}");
    fails(home.path(), &["serve", "--tree", "tree", "--listen", "nowhere"], 2);
    let server = Server::start(home.path());
    let taken = server.url.strip_prefix("http://").unwrap();
    let error = fails(home.path(), &["serve", "--tree", "tree", "--listen", taken], 1);
    assert!(error.contains(taken), "{error}");
}
