//! The local network's directory with real peers: Avahi on one side and ours on the other, in network namespaces with cables
//! between them. Needs unshare, nsenter, mount, ip, avahi-daemon, avahi-utils and dbus-daemon; without them the tests
//! fail and say so.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{command, directory, keys_and_trust, program, publish, release_files, succeeds, text};
use crate::namespaces::{Helper, inside, ip, run};

/// SIGTERM, and the end.
fn stop(mut helper: Helper) {
    program(Path::new("/"), "kill", &[&helper.0.id().to_string()]);
    assert!(helper.0.wait().unwrap().success());
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_mins(1), "{what} does not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The machine is the test's own namespace; the peer is another one, at the other end of every cable.
struct Lan {
    home: tempfile::TempDir,
    peer: Helper,
}

impl Lan {
    /// Both, without a cable, and release 7 in `tree`.
    fn new() -> Self {
        let home = directory();
        keys_and_trust(home.path());
        release_files(home.path());
        succeeds(home.path(), &publish("7", &[]));
        let peer = Helper::apart();
        let lan = Self { home, peer };
        ip("link set lo up");
        lan.peer_ip("link set lo up");
        lan
    }

    /// A command in the peer's namespace.
    fn at_peer(&self, program: &str) -> Command {
        let mut command = self.peer.command(program);
        command.current_dir(self.home.path()).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/bus");
        command
    }

    fn peer_ip(&self, arguments: &str) -> String {
        run(self.at_peer("ip").args(arguments.split(' ')))
    }

    /// A cable between interfaces of the same name, with addresses at the machine's and at the peer's end.
    fn cable(&self, name: &str, machine: Option<&str>, peer: Option<&str>) {
        ip(&format!("link add {name} type veth peer name {name} netns {}", self.peer.0.id()));
        for (run, address) in
            [(&ip as &dyn Fn(&str) -> String, machine), (&|arguments: &str| self.peer_ip(arguments), peer)]
        {
            if let Some(address) = address {
                run(&format!("address add {address} dev {name}"));
            }
            run(&format!("link set {name} addrgenmode eui64"));
            run(&format!("link set {name} up"));
        }
    }

    /// Avahi in the peer's namespace, with a bus of its own; Debian's user `avahi` does not exist in a user namespace.
    fn avahi(&self) -> [Helper; 2] {
        let run = Path::new("/run");
        program(run, "mount", &["-t", "tmpfs", "tmpfs", "/run"]);
        fs::write("/run/passwd", "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n").unwrap();
        fs::write("/run/group", "root:x:0:\navahi:x:0:\n").unwrap();
        program(run, "mount", &["--bind", "/run/passwd", "/etc/passwd"]);
        program(run, "mount", &["--bind", "/run/group", "/etc/group"]);
        let bus = "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN' \
            'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\
            <busconfig><type>session</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>\
            <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy></busconfig>";
        fs::write("/run/bus.conf", bus).unwrap();
        fs::write("/run/avahi.conf", "[server]\nhost-name=printer\nallow-interfaces=eth0\n").unwrap();
        let bus =
            Helper::start(self.at_peer("dbus-daemon").args(["--config-file=/run/bus.conf", "--nofork", "--nopidfile"]));
        wait_until("the bus", || Path::new("/run/bus").exists());
        let options = ["-f", "/run/avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits"];
        let daemon = Helper::start(self.at_peer("avahi-daemon").args(options));
        wait_until("Avahi", || self.at_peer("avahi-browse").arg("-at").output().unwrap().status.success());
        [daemon, bus]
    }

    /// `avahi-publish` of a service on port 8000, which Avahi answers for by now.
    fn publishes(&self, name: &str, more: &[&str]) -> Helper {
        let host = more.iter().filter(|word| word.starts_with("--host"));
        let txt = more.iter().filter(|word| !word.starts_with("--host"));
        let service = [name, "_phase-boot._tcp", "8000"];
        established(self.at_peer("avahi-publish").arg("-s").args(host).args(service).args(txt))
    }

    /// `phase serve` of the tree in the peer's namespace.
    fn serves(&self, listen: &str, more: &[&str]) -> Helper {
        let arguments = ["serve", "--tree", "tree", "--quiet", "--listen", listen];
        Helper::start(self.at_peer(env!("CARGO_BIN_EXE_phase")).args(arguments).args(more).stdout(Stdio::null()))
    }

    /// `phase discover --mdns` on the machine: its exit status and its report.
    fn discover(&self, more: &[&str]) -> (Option<i32>, Value) {
        let output = self.discovering(more).output().unwrap();
        report(&output)
    }

    fn discovering(&self, more: &[&str]) -> Command {
        let arguments =
            ["discover", "--trust", "trust.json", "--channel", "demo", "--arch", "x86_64", "--mdns", "--json"];
        command(self.home.path(), &[&arguments[..], more].concat())
    }
}

fn report(output: &Output) -> (Option<i32>, Value) {
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
    (output.status.code(), report)
}

/// An `avahi-publish` whose names Avahi has claimed, which takes seconds on a busy machine.
fn established(publish: &mut Command) -> Helper {
    let mut helper = Helper::start(publish.stderr(Stdio::piped()));
    let mut said = BufReader::new(helper.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("Established ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "avahi-publish ended");
    }
    // It may say more, which nobody reads: that is little.
    helper.0.stderr = Some(said.into_inner());
    helper
}

const TXT: [&str; 4] = ["ch=demo", "arch=x86_64", "v=99", "path="];

#[test]
fn what_avahi_publishes_is_found_and_what_it_says_ranks_nothing() {
    if !inside("link::what_avahi_publishes_is_found_and_what_it_says_ranks_nothing") {
        return;
    }
    let lan = Lan::new();
    lan.cable("eth0", Some("10.77.0.2/24"), Some("10.77.0.1/24"));
    let _server = lan.serves("10.77.0.1:8000", &[]);
    let _avahi = lan.avahi();
    let _services = [
        lan.publishes("mirror", &TXT),
        lan.publishes("another channel", &["ch=prod", "arch=x86_64"]),
        lan.publishes("evil", &["ch=demo", "arch=x86_64", "path=@192.0.2.66/"]),
    ];
    let (status, report) = lan.discover(&["--timeout", "8"]);
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(report["candidates"].as_array().unwrap().len(), 1, "{report}");
    let found = &report["candidates"][0];
    assert_eq!(found["source"], "http://10.77.0.1:8000");
    assert_eq!(
        (&found["found_by"], &found["version"], &found["claim"]["version"]),
        (&"mdns".into(), &7.into(), &7.into())
    );
    assert!(found["found"].as_str().unwrap().contains("'mirror', which offers 99"), "{found}");
    let remarks = report["remarks"].to_string();
    assert!(
        remarks.contains(r#"'another channel' on this link is not used: it offers ch \"prod\", wanted \"demo\""#),
        "{remarks}"
    );
    assert!(remarks.contains("'evil' on this link is not used: its path is"), "{remarks}");
}

#[test]
fn avahi_sees_what_we_advertise_and_hears_the_goodbye() {
    if !inside("link::avahi_sees_what_we_advertise_and_hears_the_goodbye") {
        return;
    }
    let lan = Lan::new();
    lan.cable("eth0", Some("10.77.0.2/24"), Some("10.77.0.1/24"));
    let _avahi = lan.avahi();
    let advertise =
        ["serve", "--tree", "tree", "--quiet", "--listen", "0.0.0.0:8123", "--advertise", "--channel", "demo"];
    let server = Helper::start(command(lan.home.path(), &advertise).stdout(Stdio::null()));
    let browse = || {
        let output = lan.at_peer("avahi-browse").args(["-rpt", "_phase-boot._tcp"]).output().unwrap();
        text(&output.stdout)
    };
    wait_until("the service", || browse().contains("\"v=7\""));
    let seen = browse();
    let line = seen.lines().find(|line| line.starts_with("=;eth0;IPv4")).unwrap_or_else(|| panic!("{seen}"));
    assert!(line.contains(";10.77.0.2;8123;"), "{line}");
    for pair in ["\"ch=demo\"", "\"arch=x86_64\"", "\"path=\""] {
        assert!(line.contains(pair), "{line}");
    }
    // A new release is told without being asked, and the end as well.
    succeeds(lan.home.path(), &publish("8", &[]));
    wait_until("version 8", || browse().contains("\"v=8\""));
    stop(server);
    wait_until("the goodbye", || !browse().contains("demo"));
}

#[test]
fn link_local_addresses_on_the_second_of_two_interfaces_are_enough() {
    if !inside("link::link_local_addresses_on_the_second_of_two_interfaces_are_enough") {
        return;
    }
    let lan = Lan::new();
    lan.cable("eth0", None, None);
    lan.cable("eth1", None, None);
    // Nobody is on the first.
    lan.peer_ip("link set eth0 down");
    let _server = lan.serves("[::]:8000", &["--advertise", "--channel", "demo"]);
    let (status, report) = lan.discover(&["--timeout", "8"]);
    assert_eq!(status, Some(0), "{report}");
    let source = report["candidates"][0]["source"].as_str().unwrap();
    assert!(source.starts_with("http://[fe80::") && source.ends_with("%25eth1]:8000"), "{source}");
    // The same URL can be given by hand.
    let by_hand = ["discover", "--trust", "trust.json", "--channel", "demo", "--arch", "x86_64", "--origin", source];
    assert!(succeeds(lan.home.path(), &by_hand).starts_with("version 7  http://[fe80::"));
}

#[test]
fn a_link_that_comes_up_later_is_listened_to() {
    if !inside("link::a_link_that_comes_up_later_is_listened_to") {
        return;
    }
    let lan = Lan::new();
    let _server = lan.serves("[::]:8000", &["--advertise", "--channel", "demo"]);
    let looking = lan.discovering(&["--timeout", "15"]).stdout(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_secs(2));
    lan.cable("eth0", Some("10.77.0.2/24"), Some("10.77.0.1/24"));
    let (status, report) = report(&looking.wait_with_output().unwrap());
    assert_eq!(status, Some(0), "{report}");
}

#[test]
fn an_answer_that_points_past_the_router_is_dropped_and_nothing_is_sent_there() {
    if !inside("link::an_answer_that_points_past_the_router_is_dropped_and_nothing_is_sent_there") {
        return;
    }
    let lan = Lan::new();
    lan.cable("eth0", Some("10.77.0.2/24"), Some("10.77.0.1/24"));
    ip("route add default via 10.77.0.1");
    // The peer is a router, and counts what it passes on.
    lan.peer_ip("link add far type veth peer name farther");
    for interface in ["far", "farther"] {
        lan.peer_ip(&format!("link set {interface} addrgenmode none"));
        lan.peer_ip(&format!("link set {interface} up"));
    }
    lan.peer_ip("route add 203.0.113.0/24 dev far");
    lan.peer_ip("neighbour add 203.0.113.7 lladdr 02:00:00:00:00:07 dev far");
    let forward = lan.at_peer("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).status().unwrap();
    assert!(forward.success());
    let passed = || -> u64 {
        let output = lan.at_peer("ip").args(["-s", "-j", "link", "show", "far"]).output().unwrap();
        let link: Value = serde_json::from_slice(&output.stdout).unwrap();
        link[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
    };
    let _avahi = lan.avahi();
    let far = ["-a", "-R", "far.local", "203.0.113.7"];
    let _address = established(lan.at_peer("avahi-publish").args(far));
    let _service = lan.publishes("far", &[&["--host=far.local"], &TXT[..]].concat());

    // What was not reached is said at the end of the search.
    let (status, report) = lan.discover(&["--timeout", "8"]);
    let dropped = "'far' on this link is not used: none of its addresses is on this link: 203.0.113.7";
    assert!(status == Some(1) && report["remarks"].to_string().contains(dropped), "{report}");
    assert_eq!(passed(), 0, "something was sent past the router");

    // The router would have passed it on: internet mode sends there.
    let given = ["--origin", "http://203.0.113.7:8000", "--timeout", "2"];
    let arguments = ["discover", "--trust", "trust.json", "--channel", "demo", "--arch", "x86_64"];
    command(lan.home.path(), &[&arguments[..], &given].concat()).output().unwrap();
    assert!(passed() > 0);
}

#[test]
fn the_commands_of_the_document_run() {
    if !inside("link::the_commands_of_the_document_run") {
        return;
    }
    let home = directory();
    release_files(home.path());
    ip("link set lo up");
    ip("link add eth0 type veth peer name eth1");
    ip("address add 10.77.0.1/24 dev eth0");
    for interface in ["eth0", "eth1"] {
        ip(&format!("link set {interface} up"));
    }
    let network = mainline::Testnet::builder(8).build().unwrap();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/discovery.md");
    let document = fs::read_to_string(document).unwrap();
    let blocks: String = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    // What a person copies from one line to the next.
    let copied =
        "LOCATOR=$(openssl pkey -pubin -in keys/locator.pub -outform der | tail -c 32 | od -An -v -tx1 | tr -d ' \\n')";
    let blocks = blocks.replace("phase announce", &format!("{copied}\nphase announce"));
    // A program by its name, and no function: what runs in the background is then the server itself, which ends with the shell.
    fs::create_dir(home.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_phase"), home.path().join("bin/phase")).unwrap();
    let script = format!("set -eux\nPATH=$PWD/bin:$PATH\ntrap 'kill $(jobs -p)' EXIT\n{blocks}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(home.path()).env("NODE", &network.bootstrap[0]).stdin(Stdio::null());
    let output = bash.output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("on this link, '") && said.contains("(from the DHT, list 7): accepted, signed by 1 key"),
        "{said}"
    );
}

#[test]
fn advertising_what_nobody_can_reach_is_wrong_usage() {
    let home = directory();
    fs::create_dir(home.path().join("tree")).unwrap();
    let arguments = ["serve", "--tree", "tree", "--listen", "127.0.0.1:0", "--advertise", "--channel", "demo"];
    let error = crate::common::fails(home.path(), &arguments, 2);
    assert!(error.contains("nobody else can connect there"), "{error}");
}
