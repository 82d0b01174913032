//! PID 1: makes the machine usable, starts the worker, reaps every child, and decides what follows when an attempt fails.
//! It never exits; the kernel would panic.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use rustix::system::{RebootCommand, reboot};

use crate::config::{self, Recovery, Stage};
use crate::console::Console;
use crate::marker::{Event, line, now_us};
use crate::mounts::{self, MountError};
use crate::outcome::{Failure, Outcome};
use crate::parameters::Parameters;
use crate::record::Handoff;
use crate::recover::{self, Action};
use crate::rescue::Choice;
use crate::switch_root;
use crate::timeline::{StageTiming, Timeline};
use crate::worker::{Role, TIMINGS};

/// A worker that shows no sign of life for so long is ended. Every wait of its own is shorter.
const SILENCE: Duration = Duration::from_mins(10);
/// How long a worker that said its last word may take to end: a thread of it that a driver holds in the kernel cannot.
const PARTING: Duration = Duration::from_secs(10);
/// How often children are reaped while a worker is silent.
const TICK: Duration = Duration::from_millis(500);
/// How often a child is looked for that has closed its output.
const ENDING: Duration = Duration::from_millis(2);
/// Bytes that a worker may say; an outcome is far shorter.
const LONGEST_REPORT: usize = 1 << 20;
/// Time to read the reason before the machine restarts or switches off.
const READING: Duration = Duration::from_secs(5);

/// Runs as PID 1.
pub fn run() -> ! {
    let begun = now_us();
    let mounted = mounts::early();
    let mounts_end = now_us();
    // The kernel takes ten lines in five seconds from each writer, unless it is told otherwise (printk_devkmsg,
    // Documentation/admin-guide/sysctl/kernel.rst); markers would be missing in its log.
    _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
    switch_root::standard_streams();
    let command_line = config::command_line(Path::new("/")).unwrap_or_default();
    let (parameters, _) = Parameters::parse(&command_line);
    let console = Arc::new(Console::attach(Path::new("/"), &command_line, parameters.verbosity()));
    never_panic(&console);
    let stage = config::stage(Path::new("/"));
    let name = match stage {
        Ok(Stage::Root) => "root",
        _ => "boot",
    };
    let version = env!("CARGO_PKG_VERSION");
    console.marker(&line("start", Event::Begin, begun, &[("stage", name), ("markers", "1"), ("version", version)]));
    match stage {
        Ok(Stage::Boot) => console.info(format_args!("Phase Boot {version}: looking for a signed release")),
        Ok(Stage::Root) => console.info(format_args!("Phase Boot {version}: putting the verified root together")),
        Err(_) => {}
    }
    let earlier = early_stages(&console, &mounted, begun, mounts_end);
    let failure = match (mounted, &stage) {
        (Err(error), _) => Some(lasting("mounts", &error.to_string())),
        (_, Err(error)) => Some(lasting("config", &error.to_string())),
        (Ok(_), Ok(_)) => None,
    };
    let recovery = match &stage {
        Ok(Stage::Boot) => config::read(Path::new("/")).ok().map(|config| config.recovery),
        Ok(Stage::Root) => Handoff::read(Path::new("/")).ok().map(|handoff| handoff.recovery(&parameters)),
        Err(_) => None,
    }
    .unwrap_or_else(|| Recovery::unconfigured(&parameters));
    let supervisor = Supervisor { console, earlier, recovery };
    if let (None, Ok(stage)) = (&failure, stage) {
        supervisor.boot(stage, parameters.shell)
    } else {
        let failure = failure.unwrap_or_else(|| lasting("config", "no stage"));
        supervisor.follow(&failure, 1);
        restart(&supervisor.console, RebootCommand::Restart)
    }
}

/// A failure that no further attempt mends.
fn lasting(kind: &str, message: &str) -> Failure {
    Failure { kind: kind.to_owned(), message: message.to_owned(), may_pass: false }
}

/// Says the markers of what was done before there was a console.
fn early_stages<T>(
    console: &Console,
    mounted: &Result<T, MountError>,
    begun: u64,
    mounts_end: u64,
) -> Vec<StageTiming> {
    console.marker(&line("mounts", Event::Begin, begun, &[]));
    if mounted.is_ok() {
        console.marker(&line("mounts", Event::End, mounts_end, &[]));
    } else {
        console.marker(&line("mounts", Event::Fail, mounts_end, &[("error", "mounts")]));
    }
    console.marker(&line("console", Event::Begin, mounts_end, &[]));
    let console_end = now_us();
    console.marker(&line("console", Event::End, console_end, &[("consoles", &console.names().join(","))]));
    vec![
        StageTiming { stage: "mounts".into(), begin_us: begun, end_us: mounts_end },
        StageTiming { stage: "console".into(), begin_us: mounts_end, end_us: console_end },
    ]
}

/// A panic of PID 1 would be the kernel's: this one says what happened and restarts the machine.
fn never_panic(console: &Arc<Console>) {
    let console = Arc::clone(console);
    std::panic::set_hook(Box::new(move |panic| {
        console.warn(format_args!("a defect of Phase Boot in PID 1: {panic}; the machine restarts"));
        std::thread::sleep(READING);
        restart(&console, RebootCommand::Restart)
    }));
}

/// Restarts or switches off; if the kernel refuses, waits for a person.
fn restart(console: &Console, command: RebootCommand) -> ! {
    console.flush();
    if let Err(errno) = reboot(command) {
        console
            .warn(format_args!("the kernel refused to restart or switch off: {errno}; switch the machine off by hand"));
    }
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

/// How a worker ended, or the last thing that it said.
enum Said {
    Outcome(Outcome),
    Nothing(String),
}

struct Supervisor {
    console: Arc<Console>,
    earlier: Vec<StageTiming>,
    recovery: Recovery,
}

impl Supervisor {
    /// One attempt after the other, with what the person or the policy wants in between.
    fn boot(&self, stage: Stage, shell: bool) -> ! {
        if shell {
            if self.recovery.rescue_prompt {
                self.rescue();
            } else {
                self.console.warn(format_args!(
                    "phase.shell is ignored: the trust file's policy does not allow the rescue prompt"
                ));
            }
        }
        for attempt in 1_u32.. {
            let failure = match self.work(stage) {
                Said::Outcome(Outcome::Switch { root, init, command_line }) => {
                    self.switch(&root, &init, command_line.as_deref())
                }
                Said::Outcome(Outcome::Failed(failure)) => failure,
                Said::Nothing(message) => Failure { kind: "worker".into(), message, may_pass: stage == Stage::Boot },
            };
            self.follow(&failure, attempt);
        }
        restart(&self.console, RebootCommand::Restart)
    }

    /// Moves into the release; returns only what went wrong, after which only a restart helps.
    fn switch(&self, root: &str, init: &str, command_line: Option<&str>) -> Failure {
        Timeline::after(Vec::new(), &self.console).last("switch", &[("init", init)]);
        self.console.flush();
        let error = switch_root::enter(Path::new(root), init, command_line);
        lasting("switch", &error.to_string())
    }

    /// Says what failed and what follows, and does it. Returns when another attempt is to be made.
    fn follow(&self, failure: &Failure, attempt: u32) {
        let (action, reason) = recover::choose(failure, attempt, self.recovery);
        self.console.warn(format_args!("attempt {attempt} failed: {}", failure.message));
        let number = attempt.to_string();
        let fields = [("action", action.name()), ("attempt", number.as_str()), ("error", failure.kind.as_str())];
        self.console.marker(&line("recover", Event::Begin, now_us(), &fields));
        let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        match action {
            Action::Retry(pause) => {
                let attempts = self.recovery.attempts;
                self.console.warn(format_args!(
                    "next attempt in {} s ({} of {attempts})",
                    pause.as_secs(),
                    attempt + 1
                ));
                std::thread::sleep(pause);
            }
            Action::Shell => self.rescue(),
            Action::Reboot => {
                self.console.warn(format_args!("the machine restarts in {} s{because}", READING.as_secs()));
                std::thread::sleep(READING);
                restart(&self.console, RebootCommand::Restart);
            }
            Action::PowerOff => {
                self.console.warn(format_args!("the machine switches off in {} s", READING.as_secs()));
                std::thread::sleep(READING);
                restart(&self.console, RebootCommand::PowerOff);
            }
        }
    }

    /// Opens the rescue prompt; returns if the person wants another attempt.
    fn rescue(&self) {
        let status = self.child(Role::Rescue).and_then(|child| self.wait_for(child, None).1);
        match status.and_then(WaitStatus::exit_status).and_then(Choice::from_code) {
            Some(Choice::Retry) => {}
            Some(Choice::PowerOff) => restart(&self.console, RebootCommand::PowerOff),
            Some(Choice::Reboot) => restart(&self.console, RebootCommand::Restart),
            None => {
                self.console.warn(format_args!(
                    "the rescue prompt ended without a choice; the machine restarts in {} s",
                    READING.as_secs()
                ));
                std::thread::sleep(READING);
                restart(&self.console, RebootCommand::Restart);
            }
        }
    }

    /// Runs a worker to its end.
    fn work(&self, stage: Stage) -> Said {
        let Some(child) = self.child(Role::Work(stage)) else {
            return Said::Nothing("no process could be started for it".into());
        };
        let (report, status) = self.wait_for(child, Some(SILENCE));
        let last = report.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        match (serde_json::from_slice(last), status) {
            (Ok(outcome), _) => Said::Outcome(outcome),
            (_, Some(status)) => Said::Nothing(ended(status)),
            (_, None) => {
                Said::Nothing(format!("the worker showed no sign of life for {} s and was ended", SILENCE.as_secs()))
            }
        }
    }

    fn child(&self, role: Role) -> Option<Child> {
        let started = serde_json::to_string(&self.earlier).map_err(std::io::Error::from).and_then(|timings| {
            // What the kernel made of words of its command line is not for the worker (RUST_MIN_STACK, say).
            Command::new("/proc/self/exe")
                .arg(role.argument())
                .env_clear()
                .env(TIMINGS, timings)
                .stdout(Stdio::piped())
                .spawn()
        });
        started.inspect_err(|error| self.console.warn(format_args!("cannot start {}: {error}", role.argument()))).ok()
    }

    /// Collects what a child says and reaps every process that ends, until the child did; `None` for a child that had to
    /// be given up.
    fn wait_for(&self, mut child: Child, patience: Option<Duration>) -> (Vec<u8>, Option<WaitStatus>) {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let mut output = child.stdout.take();
        let mut report = Vec::new();
        let mut heard = Instant::now();
        loop {
            if hear(&mut output, &mut report) {
                heard = Instant::now();
            }
            while let Ok(Some((reaped, status))) = wait(WaitOptions::NOHANG) {
                if Some(reaped) == pid {
                    drain(&mut output, &mut report);
                    return (report, Some(status));
                }
            }
            if patience.is_some_and(|patience| heard.elapsed() > limit(patience, &report)) {
                self.console.warn(format_args!("a child shows no sign of life and is ended"));
                _ = child.kill();
                return (report, None);
            }
        }
    }
}

/// How long a worker that has said `report` may be silent: after an outcome, which is its last line, nothing more comes.
fn limit(patience: Duration, report: &[u8]) -> Duration {
    if report.ends_with(b"}\n") { PARTING } else { patience }
}

/// Waits a moment for something to hear; says whether there was something.
fn hear(output: &mut Option<ChildStdout>, report: &mut Vec<u8>) -> bool {
    let Some(stream) = output else {
        // Whoever closed its output is about to end, and the boot waits for it.
        std::thread::sleep(ENDING);
        return false;
    };
    let mut ready = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
    let timeout = Timespec::try_from(TICK).unwrap_or_default();
    if !matches!(poll(&mut ready, Some(&timeout)), Ok(1..)) {
        return false;
    }
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) | Err(_) => {
            *output = None;
            false
        }
        Ok(read) => {
            // The outcome is the last line: of too much, the beginning goes.
            if report.len() + read > LONGEST_REPORT {
                report.clear();
            }
            report.extend_from_slice(&buffer[..read]);
            true
        }
    }
}

/// Takes what a child said before it ended.
fn drain(output: &mut Option<ChildStdout>, report: &mut Vec<u8>) {
    while output.is_some() && hear(output, report) {}
}

/// How a process ended that said nothing.
fn ended(status: WaitStatus) -> String {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(9), _) => "the worker was killed (signal 9; the kernel does this when memory runs out)".into(),
        (Some(6), _) => "the worker met a defect and ended itself (signal 6)".into(),
        (Some(signal), _) => format!("the worker was ended by signal {signal}"),
        (None, code) => format!("the worker ended with status {} and without a word", code.unwrap_or(-1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_its_outcome_a_worker_is_not_waited_for_as_if_it_worked() {
        let outcome = serde_json::to_string(&Outcome::Failed(lasting("driver", "stuck"))).unwrap();
        assert_eq!(limit(SILENCE, format!("\n\n{outcome}\n").as_bytes()), PARTING);
        for working in ["", "\n\n", &outcome] {
            assert_eq!(limit(SILENCE, working.as_bytes()), SILENCE, "{working}");
        }
    }
}
