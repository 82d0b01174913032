//! Runs the host's programs: their output is kept, and shown only if they fail.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

/// Lines of a program's messages that an error shows.
const KEPT_LINES: usize = 20;

/// The path of `program`; the error names the package that has it.
pub(crate) fn find(program: &'static str, package: &'static str) -> anyhow::Result<Command> {
    Ok(Command::new(qemu::program::find(program, package)?))
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// It cannot be run or fails; the message has the command line and the end of what it said.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let messages = Messages::of(output.stderr.as_slice(), &ProgressBar::hidden());
        anyhow::bail!("{shown} failed ({}):\n{messages}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} did not print UTF-8"))
}

/// The command line as a person would type it, long ones shortened.
pub(super) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(160) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// A step that takes a while: a spinner on a terminal, one line elsewhere.
pub(super) fn step(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    if bar.is_hidden() {
        eprintln!("phase: {what}");
        return bar;
    }
    // The template is a constant; a mistake in it would show the plain spinner.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {prefix}{wide_msg}") {
        bar.set_style(style.clone());
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// The last lines that a program said.
#[derive(Default)]
pub(super) struct Messages(VecDeque<String>);

impl Messages {
    /// Reads `stderr` to its end on a thread of its own, showing each line on `bar`.
    pub(super) fn collect(stderr: impl Read + Send + 'static, bar: ProgressBar) -> JoinHandle<Self> {
        thread::spawn(move || Self::of(stderr, &bar))
    }

    fn of(stderr: impl Read, bar: &ProgressBar) -> Self {
        let mut kept = VecDeque::new();
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            bar.set_message(line.clone());
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        Self(kept)
    }
}

impl std::fmt::Display for Messages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.iter().map(|line| format!("    {line}")).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_and_the_end_of_its_messages() {
        let script = "for line in $(seq 30); do echo message-$line >&2; done; exit 4";
        let error = output(Command::new("sh").args(["-c", script])).unwrap_err().to_string();
        assert!(error.starts_with("sh -c for line") && error.contains("exit status: 4"), "{error}");
        assert!(error.contains("message-30") && !error.contains("message-10\n"), "{error}");
    }

    #[test]
    fn output_is_returned() {
        assert_eq!(output(Command::new("echo").arg("yes")).unwrap(), "yes\n");
    }
}
