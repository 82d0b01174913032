//! The rescue prompt: a handful of words on every console, for a person who stands before a machine that did not boot.
//!
//! It can look at the log and choose what happens next. It cannot choose what is trusted, and it is no shell.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;

use crate::console::Console;

/// Bytes of a line that are looked at.
const LONGEST: usize = 64;
/// Lines of the log that `log` shows.
const SHOWN: usize = 200;

/// A terminal is read from without waiting and without becoming anybody's controlling terminal.
const UNATTACHED: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// What the person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Another attempt.
    Retry,
    /// Restart the machine.
    Reboot,
    /// Switch it off.
    PowerOff,
}

impl Choice {
    /// How the prompt's process tells PID 1.
    pub fn code(self) -> u8 {
        match self {
            Self::Retry => 10,
            Self::Reboot => 11,
            Self::PowerOff => 12,
        }
    }

    /// What an exit status means; `None` for a prompt that died.
    pub fn from_code(code: i32) -> Option<Self> {
        [Self::Retry, Self::Reboot, Self::PowerOff].into_iter().find(|choice| i32::from(choice.code()) == code)
    }
}

/// One line of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Log,
    Choose(Choice),
    Help,
    Nothing,
    Unknown,
}

const HELP: &str = "log       show what happened
retry     try to boot again
reboot    restart the machine
poweroff  switch the machine off";

fn command(line: &str) -> Command {
    match line.trim() {
        "log" | "l" => Command::Log,
        "retry" | "r" => Command::Choose(Choice::Retry),
        "reboot" => Command::Choose(Choice::Reboot),
        "poweroff" => Command::Choose(Choice::PowerOff),
        "help" | "h" | "?" => Command::Help,
        "" => Command::Nothing,
        _ => Command::Unknown,
    }
}

/// Runs the prompt in a process of its own until a choice is made.
pub fn run(console: &Console) -> ExitCode {
    match prompt(console) {
        Ok(choice) => ExitCode::from(choice.code()),
        Err(error) => {
            console.warn(format_args!("the rescue prompt cannot read from any console: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn prompt(console: &Console) -> io::Result<Choice> {
    let mut inputs: Vec<File> = console
        .devices(Path::new("/"))
        .iter()
        .filter_map(|path| OpenOptions::new().read(true).custom_flags(UNATTACHED.bits().cast_signed()).open(path).ok())
        .collect();
    // None of them becomes a controlling terminal: Ctrl-C would end the prompt, and the end of the prompt would hang the
    // terminal up under PID 1 as well (`disassociate_ctty`, drivers/tty/tty_jobctrl.c of Linux).
    console.say_prompt(&format!("\r\nPhase Boot rescue prompt\r\n{}\r\n", HELP.replace('\n', "\r\n")));
    loop {
        console.say_prompt("phase> ");
        let line = next_line(&mut inputs)?;
        match command(&line) {
            Command::Choose(choice) => return Ok(choice),
            // Line by line: a slow serial line has time for each.
            Command::Log => log().lines().for_each(|line| console.say_prompt(&format!("{line}\r\n"))),
            Command::Help => console.say_prompt(&format!("{}\r\n", HELP.replace('\n', "\r\n"))),
            Command::Nothing => {}
            Command::Unknown => {
                console.say_prompt(&format!("no such word: {}; help lists them\r\n", line.trim().escape_default()));
            }
        }
    }
}

/// Waits for a line on any of the terminals, which edit and echo it themselves. A terminal that is gone is left out.
fn next_line(inputs: &mut Vec<File>) -> io::Result<String> {
    loop {
        if inputs.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut ready: Vec<PollFd<'_>> =
            inputs.iter().map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)).collect();
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        let events: Vec<PollFlags> = ready.iter().map(PollFd::revents).collect();
        let mut buffer = [0; LONGEST];
        for (file, events) in inputs.iter_mut().zip(&events) {
            if events.contains(PollFlags::IN)
                && let Ok(read @ 1..) = file.read(&mut buffer)
            {
                return Ok(String::from_utf8_lossy(&buffer[..read]).into_owned());
            }
        }
        let mut events = events.into_iter();
        inputs.retain(|_| events.next().is_none_or(|events| !events.intersects(gone)));
    }
}

/// The end of the kernel log, ours among it, one record a line.
fn log() -> String {
    let Ok(mut kernel_log) =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open("/dev/kmsg")
    else {
        return "the kernel log cannot be opened\n".into();
    };
    let mut records = std::collections::VecDeque::new();
    let mut record = [0; 8192];
    loop {
        match kernel_log.read(&mut record) {
            Ok(0) => break,
            Ok(read) => {
                let text = String::from_utf8_lossy(&record[..read]).into_owned();
                records.push_back(record_line(&text));
                if records.len() > SHOWN {
                    records.pop_front();
                }
            }
            // The oldest records were overwritten meanwhile (Documentation/ABI/testing/dev-kmsg).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(_) => break,
        }
    }
    records.into_iter().collect()
}

/// `6,123,4567890,-;text` and continuation lines, as `[    4.567] text`.
fn record_line(record: &str) -> String {
    let (head, text) = record.split_once(';').unwrap_or(("", record));
    let microseconds: u64 = head.split(',').nth(2).and_then(|time| time.parse().ok()).unwrap_or(0);
    let text = text.lines().next().unwrap_or_default();
    format!("[{:5}.{:03}] {text}\n", microseconds / 1_000_000, microseconds / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_and_others_are_not() {
        assert_eq!(command("retry\n"), Command::Choose(Choice::Retry));
        assert_eq!(command("  log "), Command::Log);
        assert_eq!(command("\n"), Command::Nothing);
        assert_eq!(command("/bin/sh"), Command::Unknown);
    }

    #[test]
    fn a_prompt_that_dies_is_no_choice() {
        for choice in [Choice::Retry, Choice::Reboot, Choice::PowerOff] {
            assert_eq!(Choice::from_code(choice.code().into()), Some(choice));
        }
        assert_eq!(Choice::from_code(0), None);
        assert_eq!(Choice::from_code(134), None);
    }

    #[test]
    fn a_record_is_shown_with_its_time() {
        assert_eq!(
            record_line("7,12,4567890,-;phase: load: begin\n SUBSYSTEM=x\n"),
            "[    4.567] phase: load: begin\n"
        );
    }
}
