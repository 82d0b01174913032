//! Which distribution, and where its packages come from: what this host's apt says, nothing of ours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::lab::command;

/// The distribution's release and its package sources.
#[derive(Debug)]
pub(super) struct Sources {
    /// The release's code name.
    pub(super) suite: String,
    /// One-line-style sources (sources.list(5)).
    pub(super) list: String,
}

impl Sources {
    /// Those of the host, for its own release or for `suite`.
    pub(super) fn of_host(suite: Option<&str>) -> anyhow::Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let own = value(&release, "VERSION_CODENAME").context("/etc/os-release has no VERSION_CODENAME")?;
        let origin = match value(&release, "ID") {
            Some("debian") => "Debian",
            Some("ubuntu") => "Ubuntu",
            other => anyhow::bail!("a root is made from Debian's or Ubuntu's packages; this host is {other:?}"),
        };
        let format = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)";
        let mut apt = command::find("apt-get", "apt")?;
        apt.args(["indextargets", "--format", format, "Created-By: Packages", &format!("Origin: {origin}")]);
        let targets = command::output(&mut apt)?;
        let list = select(&targets, own, suite.unwrap_or(own));
        anyhow::ensure!(!list.is_empty(), "apt has no sources of {origin} {own}: run `apt-get update` as root");
        Ok(Self { suite: suite.unwrap_or(own).to_owned(), list })
    }

    /// Writes the list into the folder of `file`.
    pub(super) fn write_beside(&self, file: &Path) -> anyhow::Result<PathBuf> {
        let path = file.with_file_name("sources.list");
        fs::write(&path, &self.list).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// The lines of `own` and its updates, each once, with `suite` in its place.
fn select(targets: &str, own: &str, suite: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    for line in targets.lines() {
        let [kind, uri, release, component] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        // Backports are asked for by name; a root that only wants the release must not get them.
        let Some(pocket) = release.strip_prefix(own).filter(|pocket| ["", "-updates", "-security"].contains(pocket))
        else {
            continue;
        };
        let line = format!("{kind} {uri} {suite}{pocket} {component}\n");
        if !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept.concat()
}

/// A value of os-release(5), without its quotes.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "\
deb http://mirror.invalid/debian/ bookworm main
deb http://mirror.invalid/debian/ bookworm main
deb http://mirror.invalid/debian/ bookworm-updates main
deb http://mirror.invalid/debian/ bookworm-backports main
deb http://mirror.invalid/security/ bookworm-security main
deb http://mirror.invalid/debian/ sid main
";

    #[test]
    fn the_release_and_its_updates_once_each() {
        let list = select(TARGETS, "bookworm", "bookworm");
        let releases: Vec<_> = list.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(releases, ["bookworm", "bookworm-updates", "bookworm-security"]);
    }

    #[test]
    fn another_suite_comes_from_the_same_places() {
        let list = select(TARGETS, "bookworm", "trixie");
        assert!(list.contains("deb http://mirror.invalid/security/ trixie-security main\n"), "{list}");
        assert!(!list.contains("bookworm"));
    }

    #[test]
    fn os_release_values_lose_their_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(value(text, "ID"), Some("debian"));
        assert_eq!(value(text, "PRETTY_NAME"), Some("Debian GNU/Linux 12"));
        assert_eq!(value(text, "VERSION"), None);
    }
}
