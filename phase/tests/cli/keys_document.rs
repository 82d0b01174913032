//! docs/keys.md works when it is typed as it stands.

use std::{fs, path::Path, process::Command};

use crate::common::{directory, text};

#[test]
fn every_command_of_the_document_runs() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/keys.md");
    let document = fs::read_to_string(document).unwrap();
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<_> = blocks.flat_map(str::lines).collect();
    assert!(commands.len() > 20, "{commands:?}");
    // An interactive shell has aliases.
    let script = format!(
        "set -e\nshopt -s expand_aliases\nphase() {{ {} \"$@\"; }}\n{}",
        env!("CARGO_BIN_EXE_phase"),
        commands.join("\n")
    );
    let home = directory();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(home.path()).stdin(std::process::Stdio::null());
    let output = bash.env_remove("PHASE_PASSPHRASE").output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("published    demo") && said.contains("Verified Successfully"), "{said}");
}
