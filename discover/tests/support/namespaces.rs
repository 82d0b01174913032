//! Tests in namespaces of their own, for the test programs of several crates (each includes this file by its path): a network
//! that nobody else is on, mounts that nobody else sees, and processes that end with the test. Needs `unshare` and `ip`.

#![allow(dead_code, reason = "every test program takes what it needs")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set in a test that runs in its own namespaces.
const INSIDE: &str = "PHASE_TEST_INSIDE";
/// Whatever a test starts ends with it: the first process of a process namespace takes the others along.
const NEW: [&str; 8] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Runs this test again in new namespaces; `true` inside of them.
pub(crate) fn inside(test: &str) -> bool {
    said_inside(test).is_none()
}

/// Runs this test again in new namespaces; what it said there, and nothing inside of them.
pub(crate) fn said_inside(test: &str) -> Option<String> {
    is_outside().then(|| again(Command::new("unshare").env(INSIDE, "1").args(NEW), test))
}

/// Runs this test again as root, by `sudo -n` if need be, in a new mount namespace; `true` inside of it.
pub(crate) fn inside_as_root(test: &str) -> bool {
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    if !is_root() {
        command.args(["-n", "env"]);
    }
    command.arg(format!("{INSIDE}=1")).args(["unshare", "--mount"]);
    if is_outside() {
        again(&mut command, test);
        return false;
    }
    true
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn is_outside() -> bool {
    std::env::var_os(INSIDE).is_none()
}

/// This one test by a command that ends in `unshare` with its options.
fn again(unshare: &mut Command, test: &str) -> String {
    // Where servers are, for who is not root.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = unshare
        .args(["--", "env", &format!("PATH={path}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1", "--include-ignored"])
        .output()
        .unwrap_or_else(|error| {
            panic!("unshare (package util-linux), and sudo for root, have to be installed: {error}")
        });
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test} failed in its namespaces:\n{said}");
    assert!(said.contains("1 passed"), "{test} did not run in its namespaces:\n{said}");
    said.into_owned()
}

/// A process of the test's own that ends with it.
pub(crate) struct Helper(pub(crate) Child);

impl Helper {
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = command.get_program().display().to_string();
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}")))
    }

    /// A process that does nothing, in a network namespace of its own.
    pub(crate) fn apart() -> Self {
        Self::start_apart(Command::new("unshare").args(["--net", "sleep", "600"]))
    }

    /// Starts an `unshare --net`, and waits until it has a namespace of its own.
    pub(crate) fn start_apart(unshare: &mut Command) -> Self {
        let helper = Self::start(unshare);
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let begin = Instant::now();
        while fs::read_link(helper.network()).is_ok_and(|theirs| theirs == own) {
            assert!(begin.elapsed() < Duration::from_mins(1), "unshare makes no namespace");
            thread::sleep(Duration::from_millis(5));
        }
        helper
    }

    /// Its network namespace, as a file to enter it by.
    pub(crate) fn network(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Whether somebody in its network namespace listens at this TCP port of any address (proc(5), `/proc/net/tcp`).
    pub(crate) fn listens(&self, port: u16) -> bool {
        let end = format!(":{port:04X}");
        ["tcp", "tcp6"].iter().any(|table| {
            let table = fs::read_to_string(format!("/proc/{}/net/{table}", self.0.id())).unwrap_or_default();
            // The second word is our address, the fourth one the state: 0A is that of a listener.
            table
                .lines()
                .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
                .any(|words| matches!(&words[..], [_, ours, _, state, ..] if ours.ends_with(&end) && *state == "0A"))
        })
    }

    /// A command in its network namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network())).arg("--").arg(program);
        command
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command that succeeds says.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// `ip` in the namespace of the test.
pub(crate) fn ip(arguments: &str) -> String {
    run(Command::new("ip").args(arguments.split(' ')))
}
