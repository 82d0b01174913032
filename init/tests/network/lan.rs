//! The harness: namespaces, cables, servers, and the machine.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use discover::{FetchError, Origin};
use init::console::{Console, Verbosity};
use init::network::{self, Connection, DownReason, Network, Settings};
use init::parameters::Parameters;

pub(crate) use super::namespaces::{Helper, inside, ip, run};
use super::nginx;

/// What the web server has at the place of an envelope.
pub(crate) const ENVELOPE: &[u8] = b"{\"an\": \"envelope\"}\n";

/// The other end of the cable: a namespace of its own, held by a process.
pub(crate) struct Server {
    holder: Helper,
    files: tempfile::TempDir,
    helpers: Vec<Helper>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let holder = Helper::apart();
        let server = Self { holder, files: tempfile::tempdir().unwrap(), helpers: Vec::new() };
        server.ip("link set lo up");
        server
    }

    /// The namespace, as a file to enter it by.
    pub(crate) fn namespace(&self) -> fs::File {
        fs::File::open(self.holder.network()).unwrap()
    }

    /// A directory for the files of servers.
    pub(crate) fn files(&self) -> &Path {
        self.files.path()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        self.holder.command(program)
    }

    /// Starts a program in the namespace, which ends with the test.
    pub(crate) fn start(&mut self, command: &mut Command) {
        self.helpers.push(Helper::start(command));
    }

    /// A new interface of the machine with a cable to the server; the server's end is off: no carrier.
    pub(crate) fn cable(&self, interface: &str) {
        ip(&format!("link add {interface} type veth peer name to-{interface} netns {}", self.holder.0.id()));
    }

    pub(crate) fn ip(&self, arguments: &str) {
        run(self.command("ip").args(arguments.split(' ')));
    }

    /// Gives the server's interface addresses.
    pub(crate) fn address(&self, interface: &str, addresses: &[&str]) {
        for address in addresses {
            let scope = if address.contains(':') { "nodad" } else { "scope global" };
            self.ip(&format!("address add {address} dev {interface} {scope}"));
        }
    }

    /// Switches the server's end of a cable on, with these addresses.
    pub(crate) fn plug_in(&self, interface: &str, addresses: &[&str]) {
        self.address(&format!("to-{interface}"), addresses);
        self.ip(&format!("link set to-{interface} up"));
    }

    /// A new cable that is plugged in at once.
    pub(crate) fn plugged(&self, interface: &str, addresses: &[&str]) {
        self.cable(interface);
        self.plug_in(interface, addresses);
    }

    pub(crate) fn dnsmasq(&mut self, options: &[&str]) {
        // Where it is missing, that is said, not that nobody answers.
        run(Command::new("dnsmasq").arg("--version"));
        let number = self.helpers.len();
        let mut command = self.command("dnsmasq");
        command
            .args(["--no-daemon", "--conf-file=/dev/null", "--user=root", "--no-ping", "--no-resolv", "--log-dhcp"])
            .arg(format!("--dhcp-leasefile={}", self.files().join(format!("leases{number}")).display()))
            .arg(format!("--pid-file={}", self.files().join(format!("pid{number}")).display()))
            .args(options);
        self.start(&mut command);
    }

    /// nginx with these `server` blocks.
    pub(crate) fn nginx(&mut self, servers: &str) {
        let folder = self.files().join(format!("nginx{}", self.helpers.len()));
        fs::create_dir(&folder).unwrap();
        let mut command = self.command("nginx");
        command.args(["-e", "stderr", "-c"]).arg(nginx::configured(&folder, &format!("access_log off; {servers}")));
        self.start(&mut command);
        assert!(nginx::listens(&mut self.helpers.last_mut().unwrap().0, &folder), "nginx ended");
    }

    /// A web server on port 8000 of every address.
    pub(crate) fn web(&mut self) {
        let place = self.files().join("www/demo/x86_64");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("manifest.dsse.json"), ENVELOPE).unwrap();
        let home = self.files().join("www");
        let mut command = self.command("busybox");
        command.args(["httpd", "-f", "-p", "8000", "-h"]).arg(home);
        self.start(&mut command);
        let begin = Instant::now();
        while !self.holder.listens(8000) {
            assert!(begin.elapsed() < Duration::from_mins(1), "the web server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a client gets from the web server at this address.
pub(crate) fn fetched(host: &str) -> Result<Vec<u8>, FetchError> {
    fetched_from(&Origin::parse(&format!("http://{host}:8000")).unwrap())
}

/// What an origin gives, asked for a while since servers start late.
pub(crate) fn fetched_from(origin: &Origin) -> Result<Vec<u8>, FetchError> {
    let begin = Instant::now();
    loop {
        match origin.envelope("demo", "x86_64", Instant::now() + Duration::from_secs(5)) {
            Err(FetchError::Unreachable { .. }) if begin.elapsed() < Duration::from_secs(3) => {
                thread::sleep(Duration::from_millis(50));
            }
            outcome => return outcome,
        }
    }
}

/// The machine: a root directory and a console that nobody sees.
pub(crate) struct Machine {
    root: tempfile::TempDir,
    pub(crate) console: Console,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
        let console = Console::attach(root.path(), "", Verbosity::Quiet);
        Self { root, console }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings { root: self.root.path().to_owned(), ..Settings::default() }
    }

    /// The settings that a kernel command line makes.
    pub(crate) fn told(&self, command_line: &str) -> Settings {
        let (parameters, ignored) = Parameters::parse(command_line);
        assert_eq!(ignored, []);
        Settings { plan: parameters.network, ..self.settings() }
    }

    pub(crate) fn up(&self, settings: &Settings) -> Connection {
        match network::up(settings, &self.console) {
            Network::Up(connection) => connection,
            Network::Down(reason) => panic!("no network: {reason}"),
        }
    }

    /// Why there is no network.
    pub(crate) fn down(&self, settings: &Settings) -> DownReason {
        match network::up(settings, &self.console) {
            Network::Up(connection) => panic!("a network out of nothing: {connection:?}"),
            Network::Down(reason) => reason,
        }
    }

    pub(crate) fn resolver(&self) -> String {
        fs::read_to_string(self.root.path().join("etc/resolv.conf")).unwrap()
    }
}

/// Settings that give up soon.
pub(crate) fn impatient(settings: Settings) -> Settings {
    let (short, shorter) = (Duration::from_millis(900), Duration::from_millis(300));
    Settings { interface: shorter, carrier: shorter, lease: short, deadline: short, ..settings }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
