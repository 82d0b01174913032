//! The two servers, and what the kernel says of them.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{CLIENTS, Error, tree::Tree};

/// Longest that a server may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of the tree.
pub(crate) trait Server: Sync {
    fn name(&self) -> &'static str;
    fn url(&self) -> String;
    /// Processor time that it has used, all of its processes together.
    fn processor(&self) -> Result<Duration, Error>;
}

/// A process and those that it started; ended with this value.
struct Process(Child);

impl Process {
    /// In a process group of its own, by which its processes are found.
    fn start(command: &mut Command) -> Result<Self, Error> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("{name}: {error}").into())
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal); // it may be gone by itself
        }
    }

    fn processor(&self) -> Result<Duration, Error> {
        let mut time = Duration::ZERO;
        for entry in fs::read_dir("/proc")? {
            // Processes come and go, and most of them are not ours.
            if let Ok(stat) = fs::read_to_string(entry?.path().join("stat"))
                && let Some(stat) = Stat::parse(&stat)
                && stat.group == self.0.id()
            {
                time += stat.processor;
            }
        }
        Ok(time)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.send(Signal::TERM); // which lets nginx end its workers, too
        let _ = self.0.wait();
    }
}

/// A line of `/proc/PID/stat` (proc(5)), as far as it is looked at here.
struct Stat {
    group: u32,
    processor: Duration,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The name of the program stands in parentheses, and may have some itself.
        let fields: Vec<_> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let processor = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
        Some(Self { group: fields.get(2)?.parse().ok()?, processor })
    }
}

/// Processor time of the clients, which are threads of this process.
pub(crate) fn processor_of_this_process() -> Result<Duration, Error> {
    let line = fs::read_to_string("/proc/self/stat")?;
    Ok(Stat::parse(&line).ok_or("/proc/self/stat is of another form")?.processor)
}

/// nginx as a distribution sets it up, with the settings that serving files is told to have.
pub(crate) struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    pub(crate) fn start(home: &Path) -> Result<Self, Error> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let place = home.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .concat();
        // As root, nginx's workers would be somebody who cannot read a temporary folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let configuration = format!(
            "{user} daemon off; worker_processes auto; pid {place}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ {temporary} access_log {place}/nginx.log; sendfile on; tcp_nopush on;\n\
             server {{ listen 127.0.0.1:{port}; root {place}/tree; }} }}\n"
        );
        let file = home.join("nginx.conf");
        fs::write(&file, configuration)?;
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let process = Process::start(Command::new("nginx").env("PATH", path).args(["-e", "stderr", "-c"]).arg(&file))?;
        let mut nginx = Self { process, port };
        nginx.listens()?;
        Ok(nginx)
    }

    fn listens(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.process.0.try_wait()? {
                return Err(format!("nginx (package nginx-light) ended: {status}").into());
            }
            if Instant::now() > deadline {
                return Err(format!("nginx does not listen after {} s", PATIENCE.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Server for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn processor(&self) -> Result<Duration, Error> {
        self.process.processor()
    }
}

/// `phase serve` as a person starts it, its access log in a file.
pub(crate) struct Phase {
    process: Process,
    url: String,
    log: PathBuf,
}

impl Phase {
    pub(crate) fn start(home: &Path) -> Result<Self, Error> {
        let log = home.join("phase.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_phase"));
        command.args(["serve", "--tree", "tree", "--listen", "127.0.0.1:0"]).current_dir(home);
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(File::create(&log)?))?;
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Self { process, url, log })
    }

    /// Stops it, while a connection is open; says whether it had no more memory than `most` bytes. It has to end by itself,
    /// with a line in its log for each of the `asked` requests, none of them cut.
    pub(crate) fn ends_well(mut self, most: u64, asked: u32) -> Result<bool, Error> {
        let _idle = TcpStream::connect(self.url.trim_start_matches("http://"))?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        let memory = line.trim().trim_end_matches(" kB").parse::<u64>()? << 10;
        let reached = memory <= most;
        let verdict = if reached { "reached" } else { "MISSED" };
        println!("memory of phase serve: {} MiB at most, wanted <= {} MiB: {verdict}", memory >> 20, most >> 20);
        self.process.send(Signal::INT);
        let deadline = Instant::now() + PATIENCE;
        while self.process.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(format!("phase serve has not ended {} s after Ctrl-C", PATIENCE.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(&self.log)?;
        let logged = log.lines().filter(|line| line.contains(" GET /") && line.contains(" 200 ")).count();
        if logged != usize::try_from(asked)? || log.contains(" cut ") {
            return Err(format!("{asked} requests, {logged} of them logged as answered").into());
        }
        println!("phase serve answered and logged {asked} requests");
        Ok(reached)
    }
}

impl Server for Phase {
    fn name(&self) -> &'static str {
        "phase"
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn processor(&self) -> Result<Duration, Error> {
        self.process.processor()
    }
}

/// As many `phase-discover` processes at once as there are clients; each has to find the release. Says how many requests
/// that makes.
pub(crate) fn commands(tree: &Tree, server: &dyn Server) -> Result<u32, Error> {
    let command = Path::new(env!("CARGO_BIN_EXE_phase")).with_file_name("phase-discover");
    let url = server.url();
    let begin = Instant::now();
    let started = (0..CLIENTS).map(|_| {
        let mut one = Command::new(&command);
        one.args(["--channel", "demo", "--arch", "x86_64", "--origin", &url, "--json"]);
        one.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    });
    let started = started.collect::<Result<Vec<_>, _>>();
    let started = started.map_err(|error| format!("{}, which `make test-scale` builds: {error}", command.display()))?;
    let claim = format!("\"version\":{}", tree.version);
    for one in started {
        let output = one.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !said.contains(&claim) {
            return Err(format!("phase-discover: {said}{}", String::from_utf8_lossy(&output.stderr)).into());
        }
    }
    println!("{CLIENTS} phase-discover at once: {:.2} s, no errors", begin.elapsed().as_secs_f64());
    // The envelope; this command follows no trust files.
    Ok(u32::try_from(CLIENTS)?)
}
