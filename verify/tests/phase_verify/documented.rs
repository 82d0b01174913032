//! docs/audit.md: its commands do what it says, as they are written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::release::trust;
use crate::tree::Tree;

/// The commands of the document.
fn commands() -> Vec<String> {
    let text = include_str!("../../../docs/audit.md");
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_document_work_as_written() {
    // `stick` and the files that the document names.
    let tree = Tree::new();
    let mut second = trust();
    second["epoch"] = 2.into();
    tree.rotate(&second, &[9]);
    tree.write("demo/x86_64/manifest.sigsum-proof", b"only looked at if the trust file asks for it");
    fs::rename(tree.path("tree"), tree.path("stick")).unwrap();
    for (from, to) in [
        ("stick/demo/x86_64/manifest.dsse.json", "manifest.dsse.json"),
        ("stick/demo/x86_64/manifest.sigsum-proof", "manifest.sigsum-proof"),
        ("stick/trust/2.dsse.json", "2.dsse.json"),
    ] {
        fs::copy(tree.path(from), tree.path(to)).unwrap();
    }

    let program = Path::new(env!("CARGO_BIN_EXE_phase-verify")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let commands = commands();
    assert_eq!(commands.len(), 5, "{commands:?}");
    for command in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(tree.root.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}\n{text}");
    }
    let report: Value = serde_json::from_slice(&fs::read(tree.path("report.json")).unwrap()).unwrap();
    assert_eq!((&report["good"], &report["trust"]["epoch"]), (&json!(true), &json!(2)));
}
