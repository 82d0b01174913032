//! docs/quick-start-qemu.md works when it is typed as it stands.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Lab;

/// Its `sh` blocks, but for what a shell that is not interactive has another way for: the build, which is done, and the alias.
fn commands(checkout: &Path) -> String {
    let text = std::fs::read_to_string(checkout.join("docs/quick-start-qemu.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(str::lines)
        .filter(|line| !line.starts_with("make ") && !line.starts_with("alias "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn to_the_releases_own_words() {
    Lab::ready();
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let place = tempfile::tempdir().unwrap();
    // The kernel is there already; everything else is made anew.
    std::fs::create_dir(place.path().join("build")).unwrap();
    for shared in ["target", "build/kernel"] {
        symlink(checkout.join(shared), place.path().join(shared)).unwrap();
    }
    let script =
        format!("set -e\nphase() {{ {}/target/host/phase \"$@\"; }}\n{}", checkout.display(), commands(&checkout));
    let output = Command::new("bash").args(["-c", &script]).current_dir(place.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("phase-test: release pid 1 reached"), "{said}");
}
