//! Tests in namespaces of their own, for the test programs of several crates (each includes this file by its path): a network
//! that nobody else is on, mounts that nobody else sees, and processes that end with the test. Needs `unshare` and `ip`.

use std::process::{Child, Command, Stdio};

/// Set in a test that runs in its own namespaces.
const INSIDE: &str = "PHASE_TEST_INSIDE";
/// Whatever a test starts ends with it: the first process of a process namespace takes the others along.
const NEW: [&str; 8] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Runs this test again in new namespaces; `true` inside of them.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(NEW)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap_or_else(|error| panic!("unshare (package util-linux) has to be installed: {error}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test} failed in its namespaces:\n{said}");
    assert!(said.contains("1 passed"), "{test} did not run in its namespaces:\n{said}");
    false
}

/// A process of the test's own that ends with it.
pub(crate) struct Helper(pub(crate) Child);

impl Helper {
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = command.get_program().display().to_string();
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}")))
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
