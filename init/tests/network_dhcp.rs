//! `network` against a real dnsmasq: a veth pair joins the namespace of the test, where `init`'s code runs as on a machine,
//! with the namespace of the server. Needs `unshare`, `nsenter`, `ip` and `dnsmasq`; without them the tests fail and say so.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use init::console::{Console, Verbosity};
use init::network::{self, Connection, DownReason, Network, Settings};

/// Set in a test that runs in its own namespaces.
const INSIDE: &str = "PHASE_TEST_INSIDE";

/// Runs this test again in new user, network and mount namespaces; `true` inside of them.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (package util-linux) has to be installed");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test} failed in its namespaces:\n{said}");
    assert!(said.contains("1 passed"), "{test} did not run in its namespaces:\n{said}");
    false
}

/// A process of the test's own that ends with it.
struct Helper(Child);

impl Helper {
    fn start(command: &mut Command) -> Self {
        let program = command.get_program().display().to_string();
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}")))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// `ip` in the namespace of the test.
fn ip(arguments: &str) -> String {
    run(Command::new("ip").args(arguments.split(' ')))
}

/// The other end of the cable: a namespace of its own, held by a process.
struct Server {
    holder: Helper,
    dnsmasq: Option<Helper>,
}

impl Server {
    fn new() -> Self {
        let holder = Helper::start(Command::new("unshare").args(["--net", "sleep", "300"]));
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", holder.0.id());
        let begin = Instant::now();
        while fs::read_link(&theirs).unwrap() == own {
            assert!(begin.elapsed() < Duration::from_secs(5), "unshare makes no namespace");
            thread::sleep(Duration::from_millis(5));
        }
        Self { holder, dnsmasq: None }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.0.id())).arg("--").arg(program);
        command
    }

    /// A new interface of the machine with a cable to the server; the server's end is off: no carrier.
    fn cable(&self, interface: &str) {
        ip(&format!("link add {interface} type veth peer name to-{interface} netns {}", self.holder.0.id()));
    }

    fn ip(&self, arguments: &str) {
        run(self.command("ip").args(arguments.split(' ')));
    }

    /// Switches the server's end of a cable on, with these addresses.
    fn plug_in(&self, interface: &str, addresses: &[&str]) {
        for address in addresses {
            self.ip(&format!(
                "address add {address} dev to-{interface} {}",
                if address.contains(':') { "nodad" } else { "scope global" }
            ));
        }
        self.ip(&format!("link set to-{interface} up"));
    }

    fn serve(&mut self, directory: &Path, options: &[&str]) {
        // Where it is missing, that is said, not that nobody answers.
        run(Command::new("dnsmasq").arg("--version"));
        let mut command = self.command("dnsmasq");
        command
            .args(["--no-daemon", "--conf-file=/dev/null", "--user=root", "--port=0", "--no-ping", "--log-dhcp"])
            .arg(format!("--dhcp-leasefile={}", directory.join("leases").display()))
            .arg(format!("--pid-file={}", directory.join("pid").display()))
            .args(options);
        self.dnsmasq = Some(Helper::start(&mut command));
    }
}

/// The machine: a root directory and a console that nobody sees.
struct Machine {
    root: tempfile::TempDir,
    console: Console,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
        let console = Console::attach(root.path(), "", Verbosity::Quiet);
        Self { root, console }
    }

    fn settings(&self) -> Settings {
        Settings { root: self.root.path().to_owned(), ..Settings::default() }
    }

    fn up(&self, settings: &Settings) -> Connection {
        match network::up(settings, &self.console) {
            Network::Up(connection) => connection,
            Network::Down(reason) => panic!("no network: {reason}"),
        }
    }

    fn resolver(&self) -> String {
        fs::read_to_string(self.root.path().join("etc/resolv.conf")).unwrap()
    }
}

const RANGE: &str = "--dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,1h";

#[test]
fn a_lease_is_put_into_force_and_a_dead_interface_costs_nothing() {
    if !inside("a_lease_is_put_into_force_and_a_dead_interface_costs_nothing") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.cable("dead0");
    server.cable("eth0");
    server.plug_in("eth0", &["10.77.0.1/24"]);
    // The name servers only go to those who say that they are Phase Boot.
    let options = [
        RANGE,
        "--dhcp-userclass=set:phase,PhaseBoot",
        "--dhcp-option=tag:phase,option:dns-server,10.77.0.53,10.77.0.54",
        "--dhcp-option=option:domain-name,lan.test",
        "--dhcp-option-force=option:mtu,1400",
    ];
    server.serve(machine.root.path(), &options);

    let begin = Instant::now();
    let connection = machine.up(&machine.settings());
    // dnsmasq may start after the first request, which is repeated after at most 1.25 s.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    assert_eq!(connection.interface, "eth0");
    assert!(connection.address.starts_with("10.77.0.5") && connection.address.ends_with("/24"), "{connection:?}");
    assert_eq!(connection.router, Some("10.77.0.1".parse().unwrap()));
    assert_eq!(connection.dns, ["10.77.0.53", "10.77.0.54"].map(|server| server.parse::<IpAddr>().unwrap()));
    let address = ip("-4 -o address show dev eth0");
    assert!(address.contains(&format!("inet {}", connection.address)), "{address}");
    let route = ip("-4 route show default");
    assert!(route.contains("default via 10.77.0.1 dev eth0"), "{route}");
    assert!(ip("link show dev eth0").contains("mtu 1400"));
    assert_eq!(
        machine.resolver(),
        "search lan.test\nnameserver 10.77.0.53\nnameserver 10.77.0.54\noptions timeout:2 attempts:2\n"
    );

    // A second attempt to boot finds things as the first left them.
    assert_eq!(machine.up(&machine.settings()), connection);

    network::down(&machine.console);
    for interface in ["eth0", "dead0"] {
        let link = ip(&format!("link show dev {interface}"));
        assert!(!link.contains(",UP") && link.contains("state DOWN"), "{link}");
    }
}

#[test]
fn an_interface_and_a_carrier_may_come_late() {
    if !inside("an_interface_and_a_carrier_may_come_late") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    let settings = machine.settings();
    let late = |server: &Server| {
        thread::sleep(Duration::from_millis(400));
        server.cable("eth7");
        thread::sleep(Duration::from_millis(400));
        server.plug_in("eth7", &["10.77.0.1/24"]);
    };
    server.serve(machine.root.path(), &[RANGE]);
    let connection = thread::scope(|scope| {
        scope.spawn(|| late(&server));
        machine.up(&settings)
    });
    assert_eq!(connection.interface, "eth7");
}

#[test]
fn a_late_server_is_asked_again() {
    if !inside("a_late_server_is_asked_again") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.cable("eth0");
    server.plug_in("eth0", &["10.77.0.1/24"]);
    let settings = machine.settings();
    let connection = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(1500));
            server.serve(machine.root.path(), &[RANGE]);
        });
        machine.up(&settings)
    });
    assert_eq!(connection.interface, "eth0");
}

#[test]
fn router_advertisements_are_enough() {
    if !inside("router_advertisements_are_enough") {
        return;
    }
    let (machine, mut server) = (Machine::new(), Server::new());
    server.cable("eth0");
    server.plug_in("eth0", &["fd00:77::1/64"]);
    server.serve(
        machine.root.path(),
        &["--enable-ra", "--dhcp-range=fd00:77::,ra-only", "--dhcp-option=option6:dns-server,[fd00:77::53]"],
    );
    let connection = machine.up(&Settings { ipv6_grace: Duration::from_millis(500), ..machine.settings() });
    assert!(connection.address.starts_with("fd00:77::") && connection.address.ends_with("/64"), "{connection:?}");
    assert!(connection.router.is_some_and(|router| router.to_string().starts_with("fe80::")), "{connection:?}");
    assert_eq!(connection.dns, ["fd00:77::53".parse::<IpAddr>().unwrap()]);
    assert!(machine.resolver().contains("nameserver fd00:77::53\n"), "{}", machine.resolver());
}

#[test]
fn having_no_network_is_an_answer_with_a_reason() {
    if !inside("having_no_network_is_an_answer_with_a_reason") {
        return;
    }
    let (machine, server) = (Machine::new(), Server::new());
    let short =
        Settings { carrier: Duration::from_millis(300), deadline: Duration::from_millis(900), ..machine.settings() };
    let reason = || match network::up(&short, &machine.console) {
        Network::Up(connection) => panic!("a network out of nothing: {connection:?}"),
        Network::Down(reason) => reason,
    };
    assert!(matches!(reason(), DownReason::NoInterface { .. }));
    server.cable("eth0");
    let no_carrier = reason();
    assert!(matches!(&no_carrier, DownReason::NoCarrier { interfaces, .. } if interfaces == "eth0"), "{no_carrier}");
    server.plug_in("eth0", &["10.77.0.1/24"]);
    let begin = Instant::now();
    let no_address = reason();
    assert!(matches!(&no_address, DownReason::NoAddress { reasons } if reasons.contains("eth0")), "{no_address}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}
