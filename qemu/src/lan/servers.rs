//! Real servers on a host: dnsmasq, nginx, and Avahi.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::{Host, wait_until};
use crate::{Error, program};

/// What the router tells by DHCP and router advertisements.
#[derive(Debug, Clone, Default)]
pub struct Dhcp {
    options: Vec<String>,
}

impl Dhcp {
    /// IPv4 addresses for an hour, with the router as way out and name server.
    pub fn v4() -> Self {
        Self { options: vec!["--dhcp-range=10.77.0.130,10.77.0.190,1h".to_owned()] }
    }

    /// Router advertisements of `fd77::/64` and DHCP without addresses, and no IPv4.
    pub fn v6() -> Self {
        Self { options: vec!["--enable-ra".to_owned(), "--dhcp-range=fd77::,ra-stateless,64,1h".to_owned()] }
    }

    /// What a configuration file of dnsmasq says, line by line.
    pub fn of(configuration: &str) -> Self {
        let lines = configuration.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { options: lines.map(|line| format!("--{line}")).collect() }
    }

    /// One more option of dnsmasq, such as `--address=/name.test/203.0.113.10`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }
}

impl Host {
    /// dnsmasq on the interface `lan`.
    pub fn dnsmasq(&self, dhcp: &Dhcp) -> Result<(), Error> {
        let leases = self.files().join("leases");
        let mut command = self.command(program::find("dnsmasq", "dnsmasq-base")?);
        // As a daemon it would change its groups, which nobody may in these namespaces.
        command.args(["--no-daemon", "--conf-file=/dev/null", "--no-ping", "--no-resolv", "--no-hosts", "--log-dhcp"]);
        command.args(["--interface=lan", "--bind-interfaces", &format!("--dhcp-leasefile={}", leases.display())]);
        self.start(command.args(&dhcp.options).stderr(log(self, "dnsmasq")?))?;
        self.says("dnsmasq", "started, version")
    }

    /// nginx with these blocks in its `http` block, of which one listens on `port` of `address`.
    pub fn nginx(&self, blocks: &str, address: &str, port: u16) -> Result<(), Error> {
        let (place, file) = (self.files().display(), self.files().join("nginx.conf"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {place};\n")).concat();
        let text = format!(
            "daemon off; master_process off; user root; pid {place}/nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log {place}/access.log; {temporary} {blocks} }}\n"
        );
        fs::write(&file, text).map_err(Error::Start)?;
        let mut command = self.command(program::find("nginx", "nginx-light")?);
        self.start(command.arg("-c").arg(file).stderr(log(self, "nginx")?))?;
        self.listens(address, port)
    }

    /// Avahi on the interface `lan`, which then says what it is told to publish.
    ///
    /// It gets a message bus and a table of users of its own, since Debian's user `avahi` does not exist in these namespaces:
    /// one host of a program may have it.
    pub fn avahi(&self) -> Result<Avahi<'_>, Error> {
        let daemon = program::find("avahi-daemon", "avahi-daemon")?;
        let bus = program::find("dbus-daemon", "dbus-daemon")?;
        program::find("avahi-publish", "avahi-utils")?;
        self.run(&["mount", "-t", "tmpfs", "tmpfs", "/run"])?;
        for (name, text) in AVAHI_FILES {
            fs::write(Path::new("/run").join(name), text).map_err(Error::Start)?;
        }
        self.run(&["mount", "--bind", "/run/passwd", "/etc/passwd"])?;
        self.run(&["mount", "--bind", "/run/group", "/etc/group"])?;
        self.start(self.command(bus).args(["--config-file=/run/bus.conf", "--nofork", "--nopidfile"]))?;
        wait_until("the message bus", || Path::new("/run/bus").exists())?;
        let mut command = self.on_the_bus(daemon.as_os_str());
        command.args(["-f", "/run/avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits"]);
        self.start(command.stderr(log(self, "avahi")?))?;
        let answers = || {
            let mut browse = self.on_the_bus("avahi-browse".as_ref());
            browse.arg("-at").output().is_ok_and(|output| output.status.success())
        };
        wait_until("Avahi", answers)?;
        Ok(Avahi(self))
    }

    fn on_the_bus(&self, program: &std::ffi::OsStr) -> Command {
        let mut command = self.command(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/bus");
        command
    }
}

/// A running Avahi.
#[derive(Debug)]
pub struct Avahi<'a>(&'a Host);

impl Avahi<'_> {
    /// `avahi-publish` with these words, until the host ends.
    pub fn publish(&self, words: &[&str]) -> Result<(), Error> {
        let name = format!("avahi-publish {}", words.join(" ")).replace('/', "_");
        let mut command = self.0.on_the_bus("avahi-publish".as_ref());
        self.0.start(command.args(words).stdout(Stdio::null()).stderr(log(self.0, &name)?))?;
        self.0.says(&name, "Established under name")
    }
}

/// What Avahi and its bus need below /run.
const AVAHI_FILES: [(&str, &str); 4] = [
    ("passwd", "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n"),
    ("group", "root:x:0:\navahi:x:0:\n"),
    ("avahi.conf", "[server]\nhost-name=neighbour\nallow-interfaces=lan\n"),
    (
        "bus.conf",
        "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN' \
         'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\
         <busconfig><type>session</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy></busconfig>",
    ),
];

impl Host {
    /// Waits until the server `name` has said `words`; the error has what it said instead.
    fn says(&self, name: &str, words: &str) -> Result<(), Error> {
        let said = || fs::read_to_string(self.files().join(format!("{name}.log"))).unwrap_or_default();
        wait_until(name, || said().contains(words))
            .map_err(|_| Error::Failed { command: name.to_owned(), said: said() })
    }
}

/// Where a server's messages go: a file of the host's folder.
fn log(host: &Host, name: &str) -> Result<Stdio, Error> {
    let file: io::Result<fs::File> = fs::File::create(host.files().join(format!("{name}.log")));
    file.map(Stdio::from).map_err(Error::Start)
}
