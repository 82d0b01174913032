//! Command lines that cannot be carried out: status 2, a message, and nothing on standard output.

use std::fs;

use crate::tree::Tree;

#[test]
fn what_cannot_be_read_or_meant_is_status_2() {
    let tree = Tree::new();
    fs::write(tree.path("no-trust.json"), "{}").unwrap();
    let file = "tree/demo/x86_64/manifest.dsse.json";
    for (arguments, says) in [
        (&[][..], "--trust <FILE>"),
        (&["--trust", "trust.json"], "<ENVELOPE>"),
        (&["--trust", "trust.json", file, "--tree", "tree"], "cannot be used with"),
        (&["--trust", "trust.json", "--tree", "tree", "--proof", "p"], "cannot be used with"),
        (&["--trust", "trust.json", file, "--now", "today"], "wanted a time like"),
        (&["--trust", "trust.json", file, "--arch", "mips"], "wanted x86_64 or aarch64"),
        (&["--trust", "gone.json", file], "cannot read gone.json: No such file"),
        (&["--trust", "no-trust.json", file], "no-trust.json: trust.schema is missing"),
        (&["--trust", "trust.json", "gone.json"], "cannot read gone.json: No such file"),
        (&["--trust", "trust.json", file, "--chain", "gone.json"], "cannot read gone.json: No such file"),
        (&["--trust", "trust.json", file, "--proof", "gone"], "cannot read gone: No such file"),
        (&["--trust", "trust.json", file, "--blobs", "gone"], "cannot read gone: No such file"),
        (&["--trust", "trust.json", "--tree", "gone"], "cannot read gone: No such file"),
    ] {
        let outcome = tree.run(arguments);
        assert_eq!((outcome.status, outcome.out.as_str()), (2, ""), "{arguments:?}: {}", outcome.error);
        assert!(outcome.error.contains(says), "{arguments:?}: {}", outcome.error);
    }
}

#[test]
fn help_has_examples_and_the_exit_status() {
    let help = Tree::new().run(&["--help"]);
    help.says(
        0,
        &["phase-verify --trust trust.json --tree /media/stick", "Exit status: 0 good, 1 refused, 2 wrong usage"],
    );
}

#[test]
fn the_clock_is_believed_only_from_the_trust_file_on() {
    let tree = Tree::new();
    let mut file = crate::release::trust();
    file["built"] = "2099-01-01T00:00:00Z".into();
    fs::write(tree.path("trust.json"), file.to_string()).unwrap();
    let outcome = tree.run(&["--trust", "trust.json", "--tree", "tree"]);
    outcome.says(1, &["time         2099-01-01T00:00:00Z, when the trust file was made: the clock is not believed\n"]);
    let json = tree.run(&["--trust", "trust.json", "--tree", "tree", "--json"]);
    json.says(1, &["\"clock_believed\":false"]);
}
