//! `phase serve`, as a user would start it.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
};

use super::{Ended, Lab, Tree, bound_to_us, lab::text, origin};

/// A running `phase serve`.
pub(crate) struct Serve {
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
    // In this order: the program ends before its tree goes.
    _program: Ended,
    _tree: Tree,
}

impl Serve {
    /// Serves `tree` on a free port.
    pub(crate) fn tree(tree: Tree) -> Self {
        let mut command = bound_to_us(Lab::ready().phase_program());
        command.args(["serve", "--listen", "127.0.0.1:0", "--tree", text(tree.path())]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let program = Ended(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("`phase serve` printed no address: {line:?}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { port, log, _program: program, _tree: tree }
    }

    /// Its port on the host's loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The kernel parameter that leads to it.
    pub(crate) fn origin(&self) -> String {
        origin(self.port)
    }

    /// Its access log so far, one line per request.
    pub(crate) fn access_log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}
