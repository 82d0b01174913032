//! `phase boot`: a machine in QEMU whose console is this terminal, and the table of its stages when it ends.
//!
//! Interactively every key goes to the guest, Ctrl-C too; Ctrl-A X is the plug. In batch the command ends by itself
//! at what `--until` names, and its exit status says whether that was reached. The machine never outlives the command.

mod terminal;

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use initramfs::pack::kernel::{Arch, KernelInfo};
use qemu::{
    Accelerator, Architecture, Event, Line, Machine, Network, Running,
    profile::{Outcome, Profile},
};
use serde_json::json;

use crate::serve::{self, AccessLog, Server};

/// Boots a kernel and an initramfs in QEMU and shows where the time went.
#[derive(clap::Args)]
#[command(after_help = "\
The machine gets phase.mode=internet, so that its menu is not waited for; --mode ask shows the menu.

Without --batch the guest's console is this terminal: log in, look around, `poweroff`. Ctrl-A X ends the machine at
once, Ctrl-A Ctrl-A sends one Ctrl-A.

With --batch: exit status 0 if --until was reached, 1 if not, 2 for wrong usage.

Examples:
  phase boot --kernel vmlinuz --initrd boot.cpio.zst --serve tree
  phase boot --kernel vmlinuz --initrd boot.cpio.zst --append phase.origin=http://192.0.2.10:8000
  phase boot --kernel vmlinuz --initrd boot.cpio.zst --serve tree --batch \\
      --until switch:begin --json")]
pub struct Args {
    /// The kernel: a bzImage for a PC, an Image for a machine of arm64
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The initramfs
    #[arg(long, value_name = "FILE")]
    pub initrd: PathBuf,
    /// Added to the kernel command line `console=ttyS0` (arm64: `ttyAMA0`); may be repeated
    #[arg(long, value_name = "PARAMETERS")]
    pub append: Vec<String>,
    /// Which promises hold: `internet`, `local` or `private`; `ask` leaves it to the menu of the machine
    #[arg(long, value_name = "MODE", default_value_t = Mode::Given("internet"), value_parser = mode)]
    pub mode: Mode,
    /// The guest's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub memory: u32,
    /// The guest's CPUs
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub cpus: u32,
    /// Use KVM; without it QEMU translates, which works on every host
    #[arg(long)]
    pub kvm: bool,
    /// What the network card is plugged into: `user`, `restricted` (DHCP and nothing else) or `none`
    #[arg(long, value_name = "WHAT", default_value = "user", value_parser = network)]
    pub network: Network,
    /// Serve this published tree while the machine runs, and add its address as `phase.origin=`
    #[arg(long, value_name = "DIR")]
    pub serve: Option<PathBuf>,
    /// Ask nothing, print the console, end at --until
    #[arg(long)]
    pub batch: bool,
    /// In batch: `login`, `exit`, or a marker STAGE[:begin|end|fail] of docs/markers.md
    #[arg(long, value_name = "WHAT", default_value_t = Until::Login, requires = "batch")]
    pub until: Until,
    /// In batch: give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "batch")]
    pub timeout: u64,
    /// The table as JSON on standard output; the console goes to standard error
    #[arg(long)]
    pub json: bool,
}

/// What the kernel is for. Of a file that says nothing, or cannot be read, the machine's own start says what is wrong.
fn architecture(kernel: &Path) -> Architecture {
    let info = fs::read(kernel).ok().and_then(|image| KernelInfo::parse(&image).ok());
    match info.map(|info| info.arch) {
        Some(Arch::Aarch64) => Architecture::Aarch64,
        Some(Arch::X86_64) | None => Architecture::X86_64,
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let server = args.serve.as_deref().map(serve_to_guest).transpose()?;
    let mut machine = Machine::new(&args.kernel, &args.initrd).architecture(architecture(&args.kernel));
    machine = machine.memory_mib(args.memory).cpus(args.cpus).network(args.network);
    for parameters in
        args.mode.parameter().into_iter().chain(server.iter().map(origin_parameter)).chain(args.append.iter().cloned())
    {
        machine = machine.append(&parameters);
    }
    if args.kvm {
        machine = machine.accelerator(Accelerator::Kvm);
    }
    let output = if args.json { Output::Stderr } else { Output::Stdout };
    let report = if args.batch {
        batch(&machine, &args.until, Duration::from_secs(args.timeout), output)?
    } else {
        interactive(&machine, output)?
    };
    report.print(args.json);
    Ok(report.exit_code())
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "user" => Ok(Network::User),
        "restricted" => Ok(Network::Restricted),
        "none" => Ok(Network::None),
        _ => Err("it is `user`, `restricted` or `none`".to_owned()),
    }
}

/// The mode that the machine is started in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A word of docs/cmdline.md.
    Given(&'static str),
    /// Nobody says, so that the machine asks.
    Ask,
}

impl Mode {
    /// The kernel parameter that says it.
    pub fn parameter(self) -> Option<String> {
        match self {
            Self::Given(mode) => Some(format!("phase.mode={mode}")),
            Self::Ask => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Given(mode) => mode,
            Self::Ask => "ask",
        })
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    let known = ["internet", "local", "private"].into_iter().find(|mode| *mode == text).map(Mode::Given);
    known
        .or((text == "ask").then_some(Mode::Ask))
        .ok_or_else(|| "it is `internet`, `local`, `private` or `ask`".to_owned())
}

/// Serves `tree` where a guest on QEMU's user network can reach it, on any free port of the host's loopback.
pub fn serve_to_guest(tree: &std::path::Path) -> anyhow::Result<Server> {
    serve::spawn(tree, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), AccessLog::Off)
}

/// The kernel parameter that leads the guest to `server`: 10.0.2.2 is the host's loopback on QEMU's user network.
pub fn origin_parameter(server: &Server) -> String {
    format!("phase.origin=http://10.0.2.2:{}", server.address().port())
}

/// Where the guest's console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error, since standard output has the result.
    Stderr,
}

impl Output {
    fn tap(self) -> qemu::running::Tap {
        match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
        }
    }
}

/// When a batch run has what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// A login prompt.
    Login,
    /// The guest powered off.
    Exit,
    /// This event of this stage.
    Marker(String, Event),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stage, event) = text.split_once(':').unwrap_or((text, "end"));
        let event = match event {
            "begin" => Event::Begin,
            "end" => Event::End,
            "fail" => Event::Fail,
            other => return Err(format!("{other:?} is not begin, end or fail")),
        };
        match text {
            "login" => Ok(Self::Login),
            "exit" => Ok(Self::Exit),
            _ if !stage.is_empty() && stage.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') => {
                Ok(Self::Marker(stage.to_owned(), event))
            }
            _ => Err("it is `login`, `exit` or a stage of docs/markers.md".to_owned()),
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login => formatter.write_str("login"),
            Self::Exit => formatter.write_str("exit"),
            Self::Marker(stage, event) => write!(formatter, "{stage}:{event}"),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// Why what was wanted was not reached.
    pub failure: Option<String>,
    /// Where the time went.
    pub profile: Profile,
}

impl Report {
    /// Prints the table, or all as JSON.
    pub fn print(&self, as_json: bool) {
        let Self { failure, profile } = self;
        if as_json {
            println!("{}", json!({"reached": failure.is_none(), "failure": failure, "profile": profile.to_json()}));
        } else {
            println!("\n{profile}");
        }
    }

    /// 0 if what was wanted was reached, else 1 with the reason on standard error.
    pub fn exit_code(&self) -> ExitCode {
        match &self.failure {
            None => ExitCode::SUCCESS,
            Some(failure) => {
                eprintln!("phase: {failure}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs `machine` until `until`, then ends it.
///
/// A guest that opens its rescue prompt has failed: nobody is there to type at it.
pub fn batch(machine: &Machine, until: &Until, timeout: Duration, output: Output) -> anyhow::Result<Report> {
    let mut running = machine.start()?;
    running.tap(output.tap());
    let failure = match until {
        Until::Exit => wait_for_exit(&mut running, timeout),
        Until::Login => wait_for(&mut running, "a login prompt", timeout, Line::is_login_prompt),
        Until::Marker(stage, event) => {
            wait_for(&mut running, &format!("the marker {stage}:{event}"), timeout, |line| {
                line.marker().is_some_and(|marker| marker.is(stage, *event))
            })
        }
    };
    Ok(Report { failure, profile: running.profile() })
}

fn wait_for(running: &mut Running, what: &str, timeout: Duration, wanted: impl Fn(&Line) -> bool) -> Option<String> {
    match running.wait_for(what, timeout, |line| wanted(line) || opens_rescue_prompt(line)) {
        Ok(line) if wanted(&line) => None,
        Ok(_) => Some(format!("{what} was not reached: the boot failed and opened the rescue prompt")),
        // The console was printed as it came; the error's copy of its end would be the same lines again.
        Err(qemu::Error::Timeout { timeout, .. }) => {
            Some(format!("{what} was not reached within {} s", timeout.as_secs()))
        }
        Err(qemu::Error::Ended { stderr, .. }) if stderr.trim().is_empty() => {
            Some(format!("the machine ended before {what} was reached"))
        }
        Err(error) => Some(error.to_string()),
    }
}

fn wait_for_exit(running: &mut Running, timeout: Duration) -> Option<String> {
    match running.wait_exit(timeout) {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("QEMU failed: {status}")),
        Err(_) => Some(format!("the machine did not power off within {} s", timeout.as_secs())),
    }
}

fn opens_rescue_prompt(line: &Line) -> bool {
    line.marker().is_some_and(|marker| marker.is("recover", Event::Begin) && marker.field("action") == Some("shell"))
}

/// Gives the guest's console to the person at this terminal until the guest powers off or Ctrl-A X.
pub fn interactive(machine: &Machine, output: Output) -> anyhow::Result<Report> {
    eprintln!("phase: the console of the machine follows; leave with `poweroff` there, or at once with Ctrl-A X");
    let mut running = machine.start()?;
    let terminal = terminal::Raw::enter()?;
    running.tap(output.tap());
    let unplugged = terminal::forward(running.input());
    let exit = loop {
        match running.wait_exit(Duration::from_millis(100)) {
            Ok(status) => break Some(status),
            Err(qemu::Error::Timeout { .. }) if unplugged.load(std::sync::atomic::Ordering::Acquire) => break None,
            Err(qemu::Error::Timeout { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    };
    drop(terminal);
    let profile = running.profile();
    let failed = profile.rows().iter().rev().find_map(|row| match &row.outcome {
        Outcome::Failed(error) => Some(format!("the stage {} failed: {error}", row.stage)),
        Outcome::Done | Outcome::Unfinished => None,
    });
    let failure = match exit {
        Some(status) if !status.success() => Some(format!("QEMU failed: {status}")),
        // A retry may have mended an earlier failure: a release that ran is a success.
        _ if profile.row(qemu::profile::Part::Release, "init").is_some() => None,
        _ => failed,
    };
    Ok(Report { failure, profile })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_reads_words_and_markers() {
        for (text, wanted) in [
            ("login", Until::Login),
            ("exit", Until::Exit),
            ("download", Until::Marker("download".into(), Event::End)),
            ("handoff-read:begin", Until::Marker("handoff-read".into(), Event::Begin)),
            ("verify:fail", Until::Marker("verify".into(), Event::Fail)),
        ] {
            assert_eq!(text.parse::<Until>().unwrap(), wanted);
            assert_eq!(wanted.to_string().parse::<Until>().unwrap(), wanted);
        }
        for text in ["", ":end", "verify:started", "Verify", "a b"] {
            assert!(text.parse::<Until>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_mode_is_said_to_the_machine_unless_it_is_to_ask() {
        for (text, wanted) in
            [("internet", Some("phase.mode=internet")), ("private", Some("phase.mode=private")), ("ask", None)]
        {
            let parsed = mode(text).unwrap();
            assert_eq!((parsed.parameter().as_deref(), parsed.to_string().as_str()), (wanted, text));
        }
        assert!(mode("Private").is_err());
    }

    #[test]
    fn only_the_rescue_prompt_ends_a_batch_early() {
        let line = |text: &str| Line { at: Duration::ZERO, text: text.to_owned(), complete: true };
        assert!(opens_rescue_prompt(&line("phase: recover: begin t=5 action=shell attempt=1")));
        assert!(!opens_rescue_prompt(&line("phase: recover: begin t=5 action=retry attempt=1")));
    }
}
