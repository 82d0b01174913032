//! Runs the programs of the host that make what no crate makes.

use std::{env, iter, path::PathBuf, process::Command};

use super::MediumError;

/// A program, and the package that a host without it lacks.
pub(super) struct Program {
    /// Its name.
    pub(super) name: &'static str,
    /// Debian's package of it.
    pub(super) package: &'static str,
}

impl Program {
    /// A command to be completed, and given to [`Self::run`]. Debian leaves the system directories out of a plain user's
    /// `PATH`.
    pub(super) fn command(&self) -> Result<Command, MediumError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let directories = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let mut found = directories.map(|directory| directory.join(self.name)).filter(|path| path.is_file());
        let missing = MediumError::MissingProgram { program: self.name, package: self.package };
        let mut command = Command::new(found.next().ok_or(missing)?);
        // Its messages are shown as they are; in English they can be searched for.
        command.envs(iter::once(("LC_ALL", "C")));
        Ok(command)
    }

    /// Runs the command, which has to succeed.
    pub(super) fn run(&self, mut command: Command) -> Result<(), MediumError> {
        let output = command.output().map_err(MediumError::file(command.get_program()))?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(MediumError::Program { program: self.name, status: output.status, message })
    }
}
