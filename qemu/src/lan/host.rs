//! A host of the network: a namespace, its programs and its files. All of it ends with the value.

use std::{
    fs::{self, File},
    io,
    net::TcpStream,
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tempfile::TempDir;

use super::wait_until;
use crate::Error;

/// A network namespace that a process of ours holds open.
#[derive(Debug)]
pub struct Host {
    name: &'static str,
    // In this order: the programs end before their folder goes.
    programs: Mutex<Vec<Program>>,
    holder: Program,
    files: TempDir,
}

/// A program that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Program(Child);

impl Program {
    pub(super) fn start(command: &mut Command) -> Result<Self, Error> {
        let named = shown(command);
        let child = command.stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|error| Error::Failed { command: named, said: error.to_string() })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    pub(super) fn new(name: &'static str) -> Result<Self, Error> {
        let holder = Program::start(Command::new("unshare").args(["--net", "--", "sleep", "infinity"]))?;
        let files = tempfile::Builder::new().prefix("phase-lan-").tempdir().map_err(Error::Start)?;
        let host = Self { name, programs: Mutex::default(), holder, files };
        let own = fs::read_link("/proc/self/ns/net").map_err(Error::Start)?;
        let theirs = host.namespace();
        wait_until("the namespace of a host", || fs::read_link(&theirs).is_ok_and(|theirs| theirs != own))?;
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// What it is called here.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The process that holds its namespace.
    pub(super) fn pid(&self) -> u32 {
        self.holder.0.id()
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    /// A folder for the files of its programs.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// `program`, to be started on this host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace())).arg("--").arg(program);
        command
    }

    /// Runs a command on this host, which has to succeed, and returns its output.
    pub fn run(&self, words: &[&str]) -> Result<String, Error> {
        let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
        run(self.command(program).args(arguments))
    }

    /// Runs `ip` on this host.
    pub fn ip(&self, arguments: &str) -> Result<(), Error> {
        run(self.command("ip").args(arguments.split(' '))).map(drop)
    }

    /// The Ethernet address of one of its interfaces.
    pub fn ethernet_address(&self, interface: &str) -> Result<[u8; 6], Error> {
        let words = ["ip", "-json", "link", "show", "dev", interface];
        let said = self.run(&words)?;
        let links: Value = serde_json::from_str(&said).unwrap_or_default();
        let bytes = links[0]["address"].as_str().into_iter().flat_map(|text| text.split(':'));
        let bytes: Vec<u8> = bytes.map_while(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        bytes.try_into().map_err(|_| Error::Failed { command: words.join(" "), said })
    }

    /// Starts a program that ends with the host.
    pub fn start(&self, command: &mut Command) -> Result<(), Error> {
        let program = Program::start(command)?;
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push(program);
        Ok(())
    }

    /// Gives one of its interfaces addresses, and switches it on.
    pub(super) fn address(&self, interface: &str, addresses: &[&str]) -> Result<(), Error> {
        for address in addresses {
            let scope = if address.contains(':') { "nodad" } else { "scope global" };
            self.ip(&format!("address add {address} dev {interface} {scope}"))?;
        }
        self.ip(&format!("link set {interface} up"))
    }

    /// Does `work` on this host: sockets that it makes, and threads that it starts, are there, and stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let namespace = File::open(self.namespace()).map_err(Error::Start)?;
        let enter = || -> io::Result<T> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        // A thread of its own, which never comes back.
        let done = thread::scope(|scope| scope.spawn(enter).join());
        match done {
            Ok(done) => done.map_err(Error::Start),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Waits until somebody on this host listens on `port` of `address`.
    pub fn listens(&self, address: &str, port: u16) -> Result<(), Error> {
        let what = format!("a server on port {port} of {}", self.name);
        self.within(|| wait_until(&what, || TcpStream::connect((address, port)).is_ok()))?
    }
}

/// `ip` in the namespace of the switch.
pub(super) fn ip(arguments: &str) -> Result<(), Error> {
    run(Command::new("ip").args(arguments.split(' '))).map(drop)
}

fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|error| failed(command, &error.to_string()))?;
    if !output.status.success() {
        return Err(failed(command, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn failed(command: &Command, said: &str) -> Error {
    Error::Failed { command: shown(command), said: said.to_owned() }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
