//! How mmdebstrap becomes root in the new system: because it is root, or by a user namespace with subordinate ids.
//!
//! It is never left to mmdebstrap to choose: what it falls back to (fakechroot) cannot run a new system's own programs
//! everywhere, and what it says if nothing is possible names neither the cause nor the way out.

use std::{fs, path::Path};

use anyhow::Context;

use crate::lab::command;

/// Ids that a Debian system needs: 0 to 65535, `nobody` and `nogroup` being 65534.
const IDS: u64 = 65536;

/// Sysctls that forbid user namespaces when they are 0, with a value that allows them; the first is Debian's own.
const SWITCHES: [(&str, u32); 2] = [("kernel.unprivileged_userns_clone", 1), ("user.max_user_namespaces", 10_000)];

/// mmdebstrap's `--mode` for the user who asks.
///
/// # Errors
/// That user is not root and a user namespace is out of reach: the message says what is missing and how to get it.
pub(super) fn mode() -> anyhow::Result<&'static str> {
    let uid = id("-u")?;
    if uid == "0" {
        return Ok("root");
    }
    possible(Path::new("/"), &id("-un")?).context("a root is made by root, or in a user namespace")?;
    // From the package that the error names; mmdebstrap itself only runs them.
    for program in ["newuidmap", "newgidmap"] {
        command::find(program, "uidmap")?;
    }
    Ok("unshare")
}

fn id(option: &str) -> anyhow::Result<String> {
    Ok(command::output(command::find("id", "coreutils")?.arg(option))?.trim().to_owned())
}

/// Whether `user` may have a user namespace on the machine at `root`.
fn possible(root: &Path, user: &str) -> anyhow::Result<()> {
    for (switch, on) in SWITCHES {
        let path = root.join("proc/sys").join(switch.replace('.', "/"));
        let off = fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
        anyhow::ensure!(!off, "user namespaces are off ({switch} is 0): `sysctl {switch}={on}` as root");
    }
    for (file, option) in [("etc/subuid", "--add-subuids"), ("etc/subgid", "--add-subgids")] {
        let count = fs::read_to_string(root.join(file)).map_or(0, |text| subordinate(&text, user));
        anyhow::ensure!(
            count >= IDS,
            "/{file} gives {user} {count} ids, {IDS} are wanted: `usermod {option} 100000-165535 {user}` as root \
             (a range that no other user has)"
        );
    }
    Ok(())
}

/// How many ids the first entry of `user` has (subuid(5)); mmdebstrap reads that one.
fn subordinate(text: &str, user: &str) -> u64 {
    let entry = text.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'));
    entry.and_then(|entry| entry.split(':').nth(1)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        directory
    }

    #[test]
    fn a_user_with_ids_may() {
        let ids = "other:1:2\nme:100000:65536\n";
        let machine = machine(&[
            ("etc/subuid", ids),
            ("etc/subgid", ids),
            ("proc/sys/user/max_user_namespaces", "9000\n"),
            ("proc/sys/kernel/unprivileged_userns_clone", "1\n"),
        ]);
        possible(machine.path(), "me").unwrap();
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_out() {
        let ids = ("etc/subuid", "me:100000:65536\n");
        let message = |files: &[_]| possible(machine(files).path(), "me").unwrap_err().to_string();
        let off = message(&[ids, ("proc/sys/user/max_user_namespaces", "0\n")]);
        assert!(off.contains("`sysctl user.max_user_namespaces=10000`"), "{off}");
        assert!(message(&[]).contains("/etc/subuid gives me 0 ids"));
        assert!(message(&[ids, ("etc/subgid", "me:100000:100\n")]).contains("/etc/subgid gives me 100 ids, 65536"));
    }

    #[test]
    fn only_the_user_s_own_entry_counts() {
        assert_eq!(subordinate("mel:1:70000\nme:2:65536\n", "me"), 65536);
        assert_eq!(subordinate("mel:1:70000\n", "me"), 0);
        assert_eq!(subordinate("me:1\nme:2:x\n", "me"), 0);
    }
}
