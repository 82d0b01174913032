//! The documents are part of the program: what they link to is there, and what they tell a person to type exists.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Markdown file that is not built, as path and text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut folders = vec![checkout()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["target", "build", ".git", "corpus"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 10, "only {} documents were found", found.len());
    found
}

/// The lines of the fenced blocks of this language, as they stand.
fn lines_of<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            inside = fence == language;
        } else if inside {
            lines.push(line);
        }
    }
    lines
}

/// What a document tells a person to type, without comments: the lines of its `sh` blocks, and in its `console` blocks those
/// behind a prompt. A line that goes on in the next is one.
fn commands(text: &str) -> Vec<String> {
    let typed = lines_of(text, "sh").join("\n").replace("\\\n", "");
    let shown = lines_of(text, "console").join("\n").replace("\\\n", "");
    let behind_a_prompt = shown.lines().filter_map(|line| line.strip_prefix("# ").or_else(|| line.strip_prefix("$ ")));
    let lines = typed.lines().chain(behind_a_prompt);
    lines.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with('#') || link.contains("://") {
                continue;
            }
            let target = path.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{}: the link to {link} leads nowhere", path.display());
            followed += 1;
        }
    }
    assert!(followed > 5, "only {followed} links were followed");
}

#[test]
fn make_targets_exist() {
    let makefile = fs::read_to_string(checkout().join("Makefile")).unwrap();
    let mut seen = BTreeSet::new();
    for (path, text) in documents() {
        let in_shell = commands(&text).into_iter().filter_map(|line| Some(line.strip_prefix("make ")?.to_owned()));
        let in_prose = text.split("`make ").skip(1).filter_map(|rest| Some(rest.split('`').next()?.to_owned()));
        for command in in_shell.chain(in_prose) {
            let target = command.split_whitespace().next().unwrap_or_default().to_owned();
            let is_target = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            assert!(is_target, "{}: there is no `make {target}`", path.display());
            seen.insert(target);
        }
    }
    assert!(seen.contains("demo") && seen.contains("test"), "{seen:?}");
}

/// `--help` of a subcommand, or `None` if there is no such one.
fn help(subcommand: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_phase")).args(subcommand).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn commands_have_the_options_that_the_documents_use() {
    let mut checked = 0;
    for (path, text) in documents() {
        for line in commands(&text) {
            let line = line.strip_prefix("sudo ").unwrap_or(&line);
            let Some(rest) = line.strip_prefix("target/host/").unwrap_or(line).strip_prefix("phase ") else { continue };
            // What stands in quotes is for another program.
            let own: String = rest.split('\'').step_by(2).collect();
            let words: Vec<&str> = own.split_whitespace().collect();
            let depth = words.iter().take_while(|word| !word.starts_with('-')).count();
            let subcommand = &words[..depth.min(2)];
            let help = help(subcommand)
                .unwrap_or_else(|| panic!("{}: there is no `phase {}`", path.display(), subcommand.join(" ")));
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let known = help.split([' ', ',', '\n']).any(|word| word == *option);
                assert!(known, "{}: `phase {}` has no {option}", path.display(), subcommand.join(" "));
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} options were checked");
}

/// The commands of a help.
fn subcommands(help: &str) -> Vec<&str> {
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
    let named = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    named.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

/// A line that is too long for clap is broken into two, of which the first one does not say that it goes on.
#[test]
fn examples_of_help_can_be_typed_as_they_stand() {
    let (mut checked, mut left) = (0, vec![Vec::<String>::new()]);
    while let Some(command) = left.pop() {
        let name = command.join(" ");
        let help = help(&command.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        left.extend(subcommands(&help).iter().map(|next| [&command[..], &[(*next).to_owned()]].concat()));
        let examples = help.split("\nExamples:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap();
        for line in examples.replace("\\\n", "").lines() {
            let ours = line.contains("phase ");
            let other = ["openssl ", "systemctl ", "(cd "].iter().any(|start| line.trim_start().starts_with(start));
            assert!(
                ours || other,
                "`phase {name} --help`: no command begins with {line:?}; break the line before it with \\"
            );
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} examples were checked");
}

/// The documents of docs/ itself, by name.
fn names_in_docs() -> Vec<String> {
    let entries = fs::read_dir(checkout().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md")).collect();
    names.sort();
    names
}

/// Every Rust file of a folder of the checkout and of those in it, as one text.
fn sources(folder: &str) -> String {
    let mut folders = vec![checkout().join(folder)];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    text
}

#[test]
fn every_document_is_in_the_index() {
    let index = fs::read_to_string(checkout().join("docs/README.md")).unwrap();
    let missing: Vec<String> = names_in_docs()
        .into_iter()
        .filter(|name| name != "README.md" && !index.contains(&format!("]({name})")))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:?}");
}

/// A quick start that nobody runs is a claim: a test types it as it stands, or a transcript shows what came of it.
#[test]
fn every_quick_start_is_run_or_shown() {
    let tests = sources("qemu/tests") + &sources("phase/tests/cli");
    let quick_starts: Vec<String> =
        names_in_docs().into_iter().filter(|name| name.starts_with("quick-start-")).collect();
    assert!(quick_starts.len() > 1, "{quick_starts:?}");
    for name in quick_starts {
        let text = fs::read_to_string(checkout().join("docs").join(&name)).unwrap();
        let is_run = tests.contains(&format!("\"docs/{name}\""));
        let transcript = lines_of(&text, "console");
        let answers = transcript.iter().filter(|line| !line.starts_with("# ") && !line.starts_with("$ ")).count();
        assert!(is_run || answers > 5, "docs/{name} is typed by no test, and shows no transcript");
        let has_something = !commands(&text).is_empty() || !lines_of(&text, "conf").is_empty();
        assert!(has_something, "docs/{name} has neither a command nor a configuration");
    }
}

/// Every way in that README.md promises is a row of `make test-media`, and docs/testing.md shows every row that there is.
#[test]
fn the_matrix_has_its_rows() {
    const WAYS: &str = "disk-BIOS disk-x64 disk-ia32 usb-BIOS usb-x64 usb-ia32 ISO-BIOS ISO-x64 PXE-BIOS PXE-x64 HTTP-x64 \
                        UKI-x64 secureboot-x64 qcow2 -kernel kexec-from-Debian arm64-virt";
    let sources = sources("qemu/tests/media");
    let calls = ["Row::new(", " row("].into_iter().flat_map(|call| sources.split(call).skip(1));
    let rows: BTreeSet<&str> =
        calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect();
    for way in WAYS.split(' ') {
        assert!(rows.contains(way), "no row of qemu/tests/media is called {way}");
    }
    let testing = fs::read_to_string(checkout().join("docs/testing.md")).unwrap();
    let shown: BTreeSet<&str> =
        lines_of(&testing, "text").iter().filter_map(|line| line.split_whitespace().next()).collect();
    let missing: Vec<&&str> = rows.iter().filter(|row| !shown.contains(**row)).collect();
    assert!(missing.is_empty(), "docs/testing.md does not show the rows {missing:?}");
}

/// What stands in backticks and is a path of the checkout: it has a slash, and begins with one of its folders.
fn paths(text: &str) -> Vec<&str> {
    let folders: Vec<_> = fs::read_dir(checkout()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let is_path = |word: &&str| {
        let (folder, rest) = word.split_once('/').unwrap_or_default();
        !rest.is_empty() && !word.contains(char::is_whitespace) && folders.iter().any(|name| name == folder)
    };
    text.split('`').skip(1).step_by(2).filter(is_path).collect()
}

#[test]
fn the_tests_that_the_threat_model_names_are_there() {
    let text = fs::read_to_string(checkout().join("docs/threat-model.md")).unwrap();
    let named = paths(&text);
    for path in &named {
        let is_there = checkout().join(path);
        // Git knows no empty folders: one is what was left when its files moved away.
        let is_there = is_there.is_file() || fs::read_dir(is_there).is_ok_and(|mut entries| entries.next().is_some());
        assert!(is_there, "docs/threat-model.md names {path}, which is not there");
    }
    assert!(named.len() > 30, "only {} paths were found", named.len());
    // An attack that nobody tries is a claim.
    let attacks =
        text.lines().skip_while(|line| !line.starts_with("## Attackers")).filter(|line| line.starts_with("| "));
    for row in attacks.filter(|row| !row.starts_with("| attack ")) {
        let tried = !paths(row).is_empty() || row.ends_with("| by design |");
        assert!(tried, "docs/threat-model.md says that this holds, and names no test: {row}");
    }
}

/// Every promise of a mode names a test that is there: a file, from the checkout or from the boots on, or in bold a row of
/// the table of `make test-network`. "The same" is that of the row before it.
#[test]
fn every_promise_of_a_mode_names_its_test() {
    let text = fs::read_to_string(checkout().join("docs/modes.md")).unwrap();
    let table = fs::read_to_string(checkout().join("qemu/tests/network/table.rs")).unwrap();
    let is_file = |path: &str| ["", "qemu/tests/boots"].iter().any(|from| checkout().join(from).join(path).is_file());
    let is_source = |word: &&str| Path::new(word).extension().is_some_and(|extension| extension == "rs");
    let mut promises = 0;
    let mut inside = false;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            inside = heading.ends_with(": promises, and the test of each");
        }
        if !inside || !line.starts_with("| ") || line.starts_with("| promise |") {
            continue;
        }
        let (_, tests) = line.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let files: Vec<&str> = tests.split('`').skip(1).step_by(2).filter(is_source).collect();
        let rows: Vec<&str> = tests.split("**").skip(1).step_by(2).filter(|word| *word != "no").collect();
        for file in &files {
            assert!(is_file(file), "docs/modes.md names {file}, which is not there: {line}");
        }
        for row in &rows {
            assert!(
                table.contains(&format!("\"{row}\"")),
                "docs/modes.md names the row {row:?}, which is not there: {line}"
            );
        }
        let named = !files.is_empty() || !rows.is_empty() || tests.starts_with("the same");
        assert!(named, "docs/modes.md promises this, and names no test: {line}");
        promises += 1;
    }
    assert!(promises > 30, "only {promises} promises were found");
}
