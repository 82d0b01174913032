//! Quick starts of docs/, typed as they stand.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::Lab;

/// What a quick start calls the stick that it writes to.
const STICK: &str = "/dev/sdX";

/// A place where a quick start was followed.
pub(crate) struct QuickStart {
    place: TempDir,
    said: String,
}

impl QuickStart {
    /// Types the `sh` blocks of the document `name`, but for what a shell that is not interactive has another way for: the build,
    /// which is done, and the alias. Kernels and packages are there already; everything else is made anew. The stick is a file.
    #[track_caller]
    pub(crate) fn follow(name: &str) -> Self {
        Lab::ready();
        let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("build")).unwrap();
        for shared in ["target", "build/kernel", "build/apt", "build/package"] {
            fs::create_dir_all(checkout.join(shared)).unwrap();
            symlink(checkout.join(shared), place.path().join(shared)).unwrap();
        }
        let stick = stick_in(place.path());
        File::create(&stick).unwrap().set_len(256 << 20).unwrap();
        let commands = commands(&fs::read_to_string(checkout.join(name)).unwrap()).replace(STICK, "stick");
        let script = format!("set -e\nphase() {{ {}/target/host/phase \"$@\"; }}\n{commands}", checkout.display());
        let output = Command::new("bash").args(["-c", &script]).current_dir(place.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        Self { said: said.into_owned(), place }
    }

    /// What its commands printed.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// The stick.
    pub(crate) fn stick(&self) -> PathBuf {
        stick_in(self.place.path())
    }

    /// A file that it made.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

fn stick_in(place: &Path) -> PathBuf {
    place.join("stick")
}

fn commands(text: &str) -> String {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines);
    lines.filter(|line| !line.starts_with("make ") && !line.starts_with("alias ")).collect::<Vec<_>>().join("\n")
}
