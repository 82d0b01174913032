//! What can go wrong between a machine that was described and a line that was waited for.

use std::{fmt, io, path::PathBuf, process::ExitStatus, time::Duration};

/// Every error of this crate. `Display` says what was seen and wanted; the source is not repeated in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that this crate runs is not on this host.
    #[error("{program} is not installed: apt-get install {package}")]
    MissingProgram {
        /// The program's file name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file that the machine needs cannot be read.
    #[error("the machine's {what} {} cannot be read", path.display())]
    Unreadable {
        /// What the file is for: kernel, initramfs or disk.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// QEMU's option syntax cannot express this value.
    #[error("the machine's {what} {value:?} cannot be given to QEMU: {reason}")]
    Unusable {
        /// What the value is for.
        what: &'static str,
        /// The value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// The host could not start QEMU.
    #[error("QEMU could not be started")]
    Start(#[source] io::Error),
    /// The line did not come in time.
    #[error("waited {:.1} s for {what}, which did not come; the last lines were:\n{tail}", timeout.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        timeout: Duration,
        /// The end of the console.
        tail: Tail,
    },
    /// QEMU ended before the line came.
    #[error("waited for {what}, but QEMU ended ({}){}; the last lines were:\n{tail}", Status(*status), Stderr(stderr))]
    Ended {
        /// What was waited for.
        what: String,
        /// How QEMU ended, if that is known already.
        status: Option<ExitStatus>,
        /// What QEMU itself complained about.
        stderr: String,
        /// The end of the console.
        tail: Tail,
    },
    /// The guest's console did not take the input.
    #[error("the guest's console does not take input any more")]
    Input(#[source] io::Error),
    /// The host could not wait for QEMU.
    #[error("QEMU's end could not be waited for")]
    Wait(#[source] io::Error),
    /// A command that makes or runs a part of a network failed.
    #[error("{command}: {said}")]
    Failed {
        /// The command, or what was waited for.
        command: String,
        /// What it said.
        said: String,
    },
    /// A network was to be made where it could get in somebody's way.
    #[error(
        "a network is made in namespaces of its own only, and this one has the interfaces {interfaces}: start the program with lan::isolated"
    )]
    NotAlone {
        /// What is there.
        interfaces: String,
    },
    /// QEMU's machine protocol (QMP) could not be spoken.
    #[error("QMP {command}: the connection failed")]
    QmpConnection {
        /// The command that was being sent.
        command: String,
        /// What the socket said.
        source: io::Error,
    },
    /// QEMU refused a QMP command.
    #[error("QMP {command}: {reason}")]
    Qmp {
        /// The command.
        command: String,
        /// QEMU's own words, or what was wrong with its answer.
        reason: String,
    },
}

/// The last lines of a console, as an error shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail(pub Vec<String>);

impl fmt::Display for Tail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("    (nothing was printed)");
        }
        let lines: Vec<String> = self.0.iter().map(|line| format!("    {line}")).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

struct Status(Option<ExitStatus>);

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => write!(formatter, "{status}"),
            None => formatter.write_str("its console closed"),
        }
    }
}

struct Stderr<'a>(&'a str);

impl fmt::Display for Stderr<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.trim() {
            "" => Ok(()),
            text => write!(formatter, ", saying {text:?}"),
        }
    }
}
