//! `phase discover`: what a person is told about the releases that can be found.

use std::{fs, net::SocketAddr, path::Path};

use phase::serve::{AccessLog, Server, spawn};

use crate::common::{directory, fails, key, keys_and_trust, phase, squashfs, succeeds, text};

/// Publishes version `version` in `NAME`, signed by `key`, and serves it.
fn served(home: &Path, name: &str, version: &str, key: &str) -> Server {
    let release = ["publish", "--tree", name, "--channel", "demo", "--arch", "x86_64", "--version", version];
    succeeds(home, &[&release[..], &["--key", key, "--handoff", "direct", "--rootfs", "root.squashfs"]].concat());
    spawn(&home.join(name), SocketAddr::from(([127, 0, 0, 1], 0)), AccessLog::Off).unwrap()
}

#[test]
fn each_place_is_judged_and_the_one_that_boots_is_named() {
    let home = directory();
    let home = home.path();
    keys_and_trust(home);
    key(home, "other");
    fs::write(home.join("root.squashfs"), squashfs(9, 12288)).unwrap();
    let [old, new, forged] = [("old", "7", "release"), ("new", "8", "release"), ("forged", "9", "other")]
        .map(|(name, version, key)| served(home, name, version, key));
    let found = |servers: &[&Server]| {
        let mut arguments = vec!["discover", "--trust", "trust.json", "--channel", "demo", "--arch", "x86_64"];
        arguments.extend(servers.iter().flat_map(|server| ["--origin", server.url()]));
        let output = phase(home, &arguments);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };

    let (status, listed, said) = found(&[&old, &forged, &new]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        lines[0],
        format!("version 8  {} (given): accepted, signed by 1 key; this is what a machine boots", new.url())
    );
    assert_eq!(lines[1], format!("version 7  {} (given): accepted, signed by 1 key", old.url()));
    assert_eq!(lines[2], format!("refused    {} (given)", forged.url()));
    assert!(lines[3].starts_with("           signed by key ") && lines.len() == 4, "{listed}");

    let (status, _, said) = found(&[&forged]);
    assert_eq!((status, &*said), (Some(1), "no release was accepted\n"));
    let wrong = ["discover", "--trust", "trust.json", "--channel", "prod", "--origin", new.url()];
    let said = fails(home, &wrong, 2);
    assert!(said.contains("--channel prod: trust.json is for channel demo"), "{said}");
}
