//! Finds the programs of the host, and names the package of one that is missing.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::Error;

/// Where administrators' programs stand; Debian leaves these out of a plain user's `PATH`.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of `program`, searched in `PATH` and the system directories.
pub fn find(program: &'static str, package: &'static str) -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from));
    find_in(directories, program).ok_or(Error::MissingProgram { program, package })
}

fn find_in(mut directories: impl Iterator<Item = PathBuf>, program: &str) -> Option<PathBuf> {
    directories.find_map(|directory| Some(directory.join(program)).filter(|path| is_program(path)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("qemu-system-pdp11", "qemu-system-misc").unwrap_err();
        assert_eq!(error.to_string(), "qemu-system-pdp11 is not installed: apt-get install qemu-system-misc");
    }

    #[test]
    fn a_file_that_is_not_executable_is_no_program() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tool"), "").unwrap();
        assert_eq!(find_in([directory.path().to_owned()].into_iter(), "tool"), None);
        assert!(find_in(["/usr/bin".into()].into_iter(), "env").is_some());
    }
}
