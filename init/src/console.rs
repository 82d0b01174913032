//! The consoles: everything that a person or a program may be watching, written to at once.
//!
//! Every active console of the kernel, every `console=` of the command line and the framebuffer's terminal get every
//! line; the kernel log gets it too. A console that does not take a line in time (a serial line held by flow control)
//! loses that line, and those after it until it takes one again: it holds up the boot once, for two seconds.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};

use crate::progress::Bar;

/// How long one line may take on one console. 900 bytes at 9600 baud are 0.9 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was written may take to leave the machine. A serial line's buffer of 4 KiB at 9600 baud is 4.3 s.
const DRAINING: Duration = Duration::from_secs(5);
/// More consoles than this are not opened; `console=` is the machine's owner's, but a list has an end.
const MOST: usize = 8;
/// How the names of terminals begin (Documentation/admin-guide/devices.txt). `console=` must not open a disk or a watchdog.
const TERMINALS: [&str; 5] = ["tty", "hvc", "hvsi", "sclp", "xvc"];

/// How much is said on the consoles. The kernel log gets everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Markers, progress and prose.
    Normal,
    /// `phase.quiet`: markers and problems.
    Quiet,
}

/// The open consoles.
#[derive(Debug)]
pub struct Console {
    terminals: Vec<Terminal>,
    kernel_log: Option<File>,
    verbosity: Verbosity,
    /// Lines of several threads do not mix; holds the progress bar that stands on the last line, if one does.
    bar: Mutex<Option<Bar>>,
}

/// One terminal that shows what happens.
#[derive(Debug)]
struct Terminal {
    name: String,
    file: File,
    /// It did not take the last line in time.
    stalled: AtomicBool,
}

/// Whom a line is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Programs.
    Marker,
    /// People.
    Prose,
}

/// Priorities of the kernel log (syslog(2)). `Debug` keeps a line off the kernel's own console output, where it would
/// stand twice.
#[derive(Clone, Copy)]
enum Priority {
    Warning = 4,
    Debug = 7,
}

impl Console {
    /// Opens the consoles that the machine has under `root` (normally `/`). Having none is not an error: the kernel
    /// log is still written.
    pub fn attach(root: &Path, command_line: &str, verbosity: Verbosity) -> Self {
        let active = std::fs::read_to_string(root.join("sys/class/tty/console/active")).unwrap_or_default();
        let framebuffer = std::fs::read_dir(root.join("sys/class/graphics"))
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() == "fb0")));
        let terminals = names(&active, command_line, framebuffer)
            .into_iter()
            .filter_map(|name| {
                let path = root.join("dev").join(&name);
                let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                open(&path, flags, Mode::empty()).ok().map(|fd| Terminal {
                    name,
                    file: File::from(fd),
                    stalled: AtomicBool::new(false),
                })
            })
            .collect();
        let kernel_log = std::fs::OpenOptions::new().write(true).open(root.join("dev/kmsg")).ok();
        Self { terminals, kernel_log, verbosity, bar: Mutex::new(None) }
    }

    /// Names of the open consoles, such as `ttyS0`.
    pub fn names(&self) -> Vec<&str> {
        self.terminals.iter().map(|terminal| terminal.name.as_str()).collect()
    }

    /// Device files of the open consoles.
    pub fn devices(&self, root: &Path) -> Vec<PathBuf> {
        self.terminals.iter().map(|terminal| root.join("dev").join(&terminal.name)).collect()
    }

    /// The open consoles themselves, to read keys from; a read that finds none does not wait.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.terminals.iter().map(|terminal| &terminal.file)
    }

    /// Says something that a person wants to follow.
    pub fn info(&self, message: fmt::Arguments<'_>) {
        let text = prose("       ", message);
        self.put(Priority::Debug, Style::Prose, &text, self.verbosity == Verbosity::Normal);
    }

    /// Says that something is wrong and what follows from it; shown even with `phase.quiet`.
    pub fn warn(&self, message: fmt::Arguments<'_>) {
        self.put(Priority::Warning, Style::Prose, &prose("  [!]  ", message), true);
    }

    /// Writes a marker line (docs/markers.md).
    pub fn marker(&self, line: &str) {
        self.put(Priority::Debug, Style::Marker, line, true);
    }

    /// Writes text as it is, for the menu and the rescue prompt: to the consoles alone.
    pub fn say_prompt(&self, text: &str) {
        self.show(text);
    }

    /// Draws or redraws the progress bar on the last line of every console.
    pub fn progress(&self, bar: Bar) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let mut shown = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(&format!("\r{bar}\x1b[K"));
        *shown = Some(bar);
    }

    /// Takes the progress bar away.
    pub fn progress_done(&self) {
        let mut shown = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.take().is_some() {
            self.show("\r\x1b[K");
        }
    }

    /// Waits until every console has sent what it was given, within limits: tcdrain(3) has none, and a Ctrl-S on a
    /// console, or noise on an open serial line that looks like one, would hold PID 1 up for ever.
    pub fn flush(&self) {
        let (sent, all_sent) = mpsc::channel::<()>();
        for terminal in &self.terminals {
            let Ok(file) = terminal.file.try_clone() else { continue };
            let sent = sent.clone();
            let drain = move || {
                _ = rustix::termios::tcdrain(&file);
                drop(sent);
            };
            // No thread, no wait: what is written leaves the machine by itself, if it is given the time.
            _ = std::thread::Builder::new().name("flush".into()).spawn(drain);
        }
        drop(sent);
        // Ends when every thread has dropped its end, or with the time.
        _ = all_sent.recv_timeout(DRAINING);
    }

    fn put(&self, priority: Priority, style: Style, text: &str, on_terminals: bool) {
        let shown = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut log) = self.kernel_log.as_ref() {
            // Of one line, so that it is one record; what does not fit is cut by the kernel.
            _ = log.write_all(format!("<{}>{}\n", priority as u8, text.replace('\n', " | ")).as_bytes());
        }
        if !on_terminals {
            return;
        }
        let over_the_bar = if shown.is_some() { "\r\x1b[K" } else { "" };
        let bar = shown.as_ref().map(ToString::to_string).unwrap_or_default();
        for terminal in &self.terminals {
            // Markers are for programs; on a screen, where only people look, they stand back.
            let (dim, normal) =
                if style == Style::Marker && terminal.is_screen() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
            let mut lines = over_the_bar.to_owned();
            for line in text.lines() {
                _ = write!(lines, "{dim}{line}{normal}\r\n");
            }
            lines.push_str(&bar);
            terminal.show(lines.as_bytes());
        }
    }

    fn show(&self, text: &str) {
        for terminal in &self.terminals {
            terminal.show(text.as_bytes());
        }
    }
}

impl Terminal {
    /// Whether this is a virtual terminal on a screen, not a line on which a program may listen.
    fn is_screen(&self) -> bool {
        self.name.strip_prefix("tty").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Writes what the terminal takes before patience ends; for one that took nothing the last time, there is none.
    fn show(&self, bytes: &[u8]) {
        let patience = if self.stalled.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
        let left = self.write(bytes, patience);
        self.stalled.store(left > 0, Ordering::Relaxed);
    }

    /// Says how many bytes were not taken.
    fn write(&self, mut bytes: &[u8], patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        while !bytes.is_empty() {
            match rustix::io::write(&self.file, bytes) {
                Ok(0) => break,
                Ok(written) => bytes = &bytes[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let timeout = Timespec::try_from(left).unwrap_or_default();
                    let mut ready = [PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::OUT)];
                    if left.is_zero() || poll(&mut ready, Some(&timeout)).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        bytes.len()
    }
}

/// What is said to people. Words of strangers (a server's header) may stand in it: they cannot command the terminal
/// (C1 control characters can, as U+009B), nor look like a marker to a program that reads the same line.
fn prose(lead: &str, message: fmt::Arguments<'_>) -> String {
    let text: String = format!("{lead}{message}")
        .chars()
        .map(
            |character| {
                if character.is_control() && character != '\n' { char::REPLACEMENT_CHARACTER } else { character }
            },
        )
        .collect();
    text.replace("phase: ", "phase; ")
}

/// The consoles to open, in order and each once: what the kernel says is active, what the command line names, and
/// the terminal of the framebuffer, on which the kernel writes only if `console=tty0` was given.
fn names(active: &str, command_line: &str, framebuffer: bool) -> Vec<String> {
    let given = crate::cmdline::words(command_line).filter_map(|word| match word {
        (key, Some(value)) if key == "console" => value.split(',').next().map(str::to_owned),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    let screen = framebuffer.then(|| "tty0".to_owned());
    for name in active.split_ascii_whitespace().map(str::to_owned).chain(given).chain(screen) {
        // The name becomes a path below /dev.
        let plain = name.len() <= 32
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && TERMINALS.iter().any(|terminal| name.starts_with(terminal));
        let name = if name == "tty1" { "tty0".to_owned() } else { name };
        if plain && !names.contains(&name) && names.len() < MOST {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_console_is_used_once() {
        assert_eq!(names("tty0 ttyS0\n", "console=tty0 console=ttyS0,115200n8 quiet", true), ["tty0", "ttyS0"]);
    }

    #[test]
    fn the_framebuffer_is_used_though_the_command_line_names_only_a_serial_line() {
        assert_eq!(names("ttyS0\n", "console=ttyS0", true), ["ttyS0", "tty0"]);
        assert_eq!(names("ttyS0\n", "console=ttyS0", false), ["ttyS0"]);
    }

    #[test]
    fn a_console_name_is_never_a_path() {
        assert_eq!(names("", "console=../../etc/passwd console=sda/x console= console", false), Vec::<String>::new());
    }

    #[test]
    fn a_console_is_a_terminal_and_no_other_device() {
        let line = "console=sda console=mem console=watchdog console=null console=hvc0 console=ttyAMA0,115200";
        assert_eq!(names("", line, false), ["hvc0", "ttyAMA0"]);
    }

    #[test]
    fn words_of_a_stranger_cannot_command_a_terminal_or_look_like_a_marker() {
        let header = "\u{9b}2J\x1b[2J\rphase: switch: begin t=1";
        let said = prose("  [!]  ", format_args!("the server sends '{header}'"));
        assert!(!said.contains(char::is_control) && !said.contains("phase: "), "{said:?}");
        assert_eq!(prose("", format_args!("two\nlines")), "two\nlines");
    }

    #[test]
    fn a_terminal_that_takes_nothing_holds_up_once_and_is_heard_of_again() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        let path = root.path().join("dev/ttyS0");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let console = Console::attach(root.path(), "console=ttyS0", Verbosity::Normal);
        let begun = Instant::now();
        for _ in 0..1000 {
            console.warn(format_args!("{}", "x".repeat(800)));
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{:?}", begun.elapsed());
        let mut reader = File::open(&path).unwrap();
        // Half of what a pipe holds, so that reading does not wait.
        std::io::copy(&mut std::io::Read::take(&mut reader, 32 << 10), &mut std::io::sink()).unwrap();
        console.warn(format_args!("back again"));
        console.warn(format_args!("for good"));
        let mut seen = vec![0; 64 << 10];
        let read = std::io::Read::read(&mut reader, &mut seen).unwrap();
        assert!(String::from_utf8_lossy(&seen[..read]).ends_with("back again\r\n  [!]  for good\r\n"));
    }

    #[test]
    fn markers_stand_back_on_a_screen_and_are_plain_on_a_line() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        for name in ["ttyS0", "tty0"] {
            std::fs::write(root.path().join("dev").join(name), "").unwrap();
        }
        let console = Console::attach(root.path(), "console=ttyS0 console=tty0", Verbosity::Normal);
        console.marker("phase: x: begin t=1");
        let shown = |name| std::fs::read_to_string(root.path().join("dev").join(name)).unwrap();
        assert_eq!(shown("ttyS0"), "phase: x: begin t=1\r\n");
        assert_eq!(shown("tty0"), "\x1b[2mphase: x: begin t=1\x1b[0m\r\n");
    }

    #[test]
    fn a_terminal_that_takes_nothing_loses_lines_and_holds_nobody_up() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let slave = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        std::os::unix::fs::symlink(slave.to_str().unwrap(), root.path().join("dev/ttyS0")).unwrap();
        let console = Console::attach(root.path(), "console=ttyS0", Verbosity::Normal);
        assert_eq!(console.names(), ["ttyS0"]);
        let (done, finished) = std::sync::mpsc::channel();
        // More than any terminal buffers, and nobody reads at the other end.
        std::thread::spawn(move || {
            console.info(format_args!("{}", "x".repeat(200_000)));
            done.send(()).unwrap();
        });
        finished.recv_timeout(Duration::from_mins(1)).expect("the console gives the line up");
        drop(master);
    }

    #[test]
    fn lines_reach_a_terminal_with_carriage_returns_and_quiet_keeps_prose_off_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        for name in ["ttyS0", "kmsg"] {
            std::fs::write(root.path().join("dev").join(name), "").unwrap();
        }
        let console = Console::attach(root.path(), "console=ttyS0", Verbosity::Quiet);
        assert_eq!(console.names(), ["ttyS0"]);
        console.info(format_args!("prose"));
        console.warn(format_args!("two\nlines"));
        let shown = std::fs::read_to_string(root.path().join("dev/ttyS0")).unwrap();
        assert_eq!(shown, "  [!]  two\r\nlines\r\n");
        let logged = std::fs::read_to_string(root.path().join("dev/kmsg")).unwrap();
        assert_eq!(logged, "<7>       prose\n<4>  [!]  two | lines\n");
    }
}
