//! Files of a release that are not what was signed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;

use crate::tree::{NOW, Tree, files, filled, sha256};

#[test]
fn a_good_tree_is_good_and_says_what_was_checked() {
    let outcome = Tree::new().audit();
    outcome.says(
        0,
        &[
            "trust        trust.json: channel demo, epoch 1\n",
            "time         2027-01-15T08:00:00Z\n",
            "release      tree/demo/x86_64/manifest.dsse.json\n  good       demo x86_64 version 7\n",
            "release      tree/demo/aarch64/manifest.dsse.json\n  good       demo aarch64 version 7\n",
            &format!("  signed by  release 2026 ({})\n", crate::release::id(1)),
            "  dates      issued 2026-11-20T12:00:00Z, expires 2027-11-20T12:00:00Z, in 309 days\n",
            "  file       rootfs.squashfs (3158073 bytes, ",
            "  file       rootfs.squashfs.pieces (128 bytes, ",
            "    good     every byte is the signed one\n",
            "result       GOOD: 2 releases, 8 files\n",
        ],
    );
    assert_eq!(outcome.error, "");
}

#[test]
fn the_json_of_a_good_tree_has_every_fact() {
    let report = Tree::new().report();
    let x86 = &report["releases"][0];
    assert_eq!(report["trust"], json!({"path": "trust.json", "channel": "demo", "given_epoch": 1, "epoch": 1}));
    assert_eq!((&report["now"], &report["clock_believed"]), (&json!("2027-01-15T08:00:00Z"), &json!(true)));
    assert_eq!((&x86["version"], &x86["arch"], &x86["logged"]), (&json!(7), &json!("x86_64"), &json!(false)));
    assert_eq!(x86["signed_by"], json!([{"id": crate::release::id(1), "name": "release 2026"}]));
    assert_eq!(x86["manifest_sha256"], json!(sha256(filled("x86_64").to_string().as_bytes())));
    let names: Vec<_> = x86["blobs"].as_array().unwrap().iter().map(|blob| blob["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["vmlinuz", "initramfs.zst", "rootfs.squashfs.pieces", "rootfs.squashfs"]);
    assert_eq!((&report["unnamed_blobs"], &report["chain"]), (&json!([]), &json!([])));
}

/// Changes one byte of a file of the tree, without its size.
fn flip(tree: &Tree, file: &str, at: usize) {
    let path = tree.blob(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn one_flipped_bit_of_any_file_is_found() {
    for (file, name, at, kind, says) in [
        ("kernel", "vmlinuz", 4999, "digest", "its SHA-256 is "),
        (
            "initramfs",
            "initramfs.zst",
            65536,
            "pieces",
            "1 of 2 pieces are not the signed ones; the first is piece 1, from byte 65536 on",
        ),
        (
            "rootfs",
            "rootfs.squashfs",
            3_145_728,
            "pieces",
            "1 of 4 pieces are not the signed ones; the first is piece 3, from byte 3145728 on",
        ),
        ("list", "rootfs.squashfs.pieces", 31, "digest", "its SHA-256 is "),
    ] {
        let tree = Tree::new();
        flip(&tree, file, at);
        let outcome = tree.audit();
        outcome.says(1, &[&format!("    REFUSED  {says}"), "result       REFUSED: 0 documents, "]);
        let report = tree.report();
        let blobs = report["releases"][0]["blobs"].as_array().unwrap();
        let blob = blobs.iter().find(|blob| blob["name"] == name).unwrap();
        assert_eq!(blob["problem"]["kind"], kind, "{report}");
        // A wrong list proves no piece, so the root is refused with it; everything else is not.
        let refused = blobs.iter().filter(|blob| !blob["problem"].is_null()).count();
        assert_eq!(refused, if file == "list" { 2 } else { 1 }, "{report}");
    }
}

#[test]
fn pieces_that_fit_do_not_excuse_a_name_that_does_not() {
    // The signer's own slip: whoever looks for the file by its name gets something else.
    let tree = Tree::new();
    let mut manifest = filled("x86_64");
    manifest["initramfs"]["sha256"] = "ab".repeat(32).into();
    tree.publish("x86_64", &manifest, &[1]);
    tree.write(&format!("blobs/sha256/{}", "ab".repeat(32)), &files()[1].1);
    tree.audit()
        .says(1, &[&format!("    REFUSED  its SHA-256 is {}, wanted {}", sha256(&files()[1].1), "ab".repeat(32))]);
}

#[test]
fn files_that_are_cut_long_or_gone_are_found() {
    let rootfs = files()[3].1.clone();
    for (bytes, says) in [
        (&rootfs[..rootfs.len() - 1], "it has 3158072 bytes, wanted 3158073 (size)"),
        (&[&rootfs[..], b"x"].concat(), "it has 3158074 bytes, wanted 3158073 (size)"),
        (&[], "it has 0 bytes, wanted 3158073 (size)"),
    ] {
        let tree = Tree::new();
        fs::write(tree.blob("rootfs"), bytes).unwrap();
        tree.audit().says(1, &[&format!("    REFUSED  {says}\n")]);
    }
    let tree = Tree::new();
    fs::remove_file(tree.blob("list")).unwrap();
    let absent = "it is not there, or not a regular file (absent)";
    tree.audit().says(1, &[&format!("    REFUSED  {absent}\n")]);
}

#[test]
fn what_is_no_file_is_not_opened() {
    // A pipe would never end, /dev/zero neither.
    let tree = Tree::new();
    for (name, make) in [("kernel", "mkfifo"), ("rootfs", "ln")] {
        let path = tree.blob(name);
        fs::remove_file(&path).unwrap();
        let mut command = Command::new(make);
        if make == "ln" {
            command.args(["-s", "/dev/zero"]);
        }
        assert!(command.arg(&path).status().unwrap().success());
    }
    tree.audit()
        .says(1, &["    REFUSED  it is not there, or not a regular file (absent)\n", "REFUSED: 0 documents, 4 files"]);
}

#[test]
fn what_a_link_leads_to_is_not_on_the_medium() {
    // A stick of links to what is on the auditor's own disk holds none of it.
    for (links, absent) in [
        ("tree/blobs/sha256/", "REFUSED: 0 documents, 8 files"),
        ("tree/blobs/", "REFUSED: 0 documents, 8 files"),
        (
            "tree/demo/x86_64/",
            "x86_64/manifest.dsse.json\n  REFUSED    it is not there, or not a regular file (absent)\n",
        ),
        ("tree/demo/", "REFUSED: 2 documents, 0 files"),
    ] {
        // Of the files in a directory, and of the directory itself.
        for whole in [false, true] {
            let tree = Tree::new();
            let (from, to) = (tree.path(links.trim_end_matches('/')), tree.path("disk"));
            fs::rename(&from, &to).unwrap();
            if whole {
                symlink(&to, &from).unwrap();
            } else {
                fs::create_dir(&from).unwrap();
                for entry in fs::read_dir(&to).unwrap() {
                    let path = entry.unwrap().path();
                    symlink(&path, from.join(path.file_name().unwrap())).unwrap();
                }
            }
            tree.audit().says(1, &[absent]);
        }
    }
}

#[test]
fn what_the_command_line_names_may_be_a_link() {
    let tree = Tree::new();
    for (file, link) in [("trust.json", "t"), ("tree", "stick"), ("tree/blobs/sha256", "blobs")] {
        symlink(tree.path(file), tree.path(link)).unwrap();
    }
    symlink(tree.path("tree/demo/x86_64/manifest.dsse.json"), tree.path("m")).unwrap();
    tree.run(&["--trust", "t", "--tree", "stick", "--now", NOW]).says(0, &["GOOD: 2 releases, 8 files"]);
    tree.run(&["--trust", "t", "m", "--blobs", "blobs", "--now", NOW]).says(0, &["GOOD: 1 release, 4 files"]);
}

#[test]
fn a_document_that_is_a_pipe_is_refused_and_not_waited_for() {
    let tree = Tree::new();
    fs::remove_file(tree.path("tree/demo/x86_64/manifest.dsse.json")).unwrap();
    fs::create_dir(tree.path("tree/trust")).unwrap();
    for pipe in ["tree/demo/x86_64/manifest.dsse.json", "tree/trust/2.dsse.json"] {
        assert!(Command::new("mkfifo").arg(tree.path(pipe)).status().unwrap().success());
    }
    let absent = "it is not there, or not a regular file (absent)\n";
    let documents = ["rotation     tree/trust/2.dsse.json\n  REFUSED    ", "x86_64/manifest.dsse.json\n  REFUSED    "];
    tree.audit().says(1, &documents.map(|document| format!("{document}{absent}")).each_ref().map(String::as_str));
}

#[test]
fn files_that_no_release_names_are_named_and_shown_without_their_escapes() {
    let tree = Tree::new();
    tree.write("blobs/sha256/\u{1b}[2Jboo", b"");
    tree.write(&format!("blobs/sha256/{}", "cd".repeat(32)), b"old");
    let outcome = tree.audit();
    outcome.says(0, &["unnamed      \"\\u{1b}[2Jboo\": no release that was checked names it\n", &"cd".repeat(32)]);
    assert!(!outcome.out.contains('\u{1b}'));
    assert_eq!(tree.report()["unnamed_blobs"], json!(["\u{1b}[2Jboo", "cd".repeat(32)]));
}
