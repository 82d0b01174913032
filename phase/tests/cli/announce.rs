//! `phase announce`, `phase publish --dht` and `phase discover`, with a DHT of real nodes on loopback.

use crate::common::{directory, fails, json, key, keys_and_trust, publish, release_files, succeeds};

fn home() -> tempfile::TempDir {
    let home = directory();
    keys_and_trust(home.path());
    key(home.path(), "locator");
    release_files(home.path());
    home
}

#[test]
fn a_list_of_places_is_stored_and_leads_to_the_release() {
    let home = home();
    let network = mainline::Testnet::builder(8).build().unwrap();
    let node = &*network.bootstrap[0];
    let server = phase::serve::spawn(
        &{
            succeeds(home.path(), &publish("6", &[]));
            home.path().join("tree")
        },
        "127.0.0.1:0".parse().unwrap(),
        phase::serve::AccessLog::Off,
    )
    .unwrap();
    let dht = ["--dht", "--locator", "locator", "--url", server.url(), "--bootstrap", node];
    let published = json(home.path(), &publish("7", &[&dht[..], &["--json"]].concat()));
    assert_eq!(published["dht"]["salt"], "pb1/demo/x86_64");
    let locator = published["dht"]["locator"].as_str().unwrap();

    let discover = ["discover", "--trust", "trust.json", "--channel", "demo", "--arch", "x86_64", "--json"];
    let look = [&discover[..], &["--dht", "--locator", locator, "--bootstrap", node]].concat();
    let report = json(home.path(), &look);
    let found = &report["candidates"][0];
    assert_eq!(
        (&found["source"], &found["found_by"], &found["version"]),
        (&server.url().into(), &"dht".into(), &7.into())
    );

    // The same list again, under the same version, as after an hour.
    let again = ["announce", "--tree", "tree", "--channel", "demo", "--arch", "x86_64", "--locator", "locator"];
    let again = [&again[..], &["--url", server.url(), "--bootstrap", node]].concat();
    assert!(succeeds(home.path(), &again).contains("in the DHT   pb1/demo/x86_64 list 7"));

    // What is found is a hint: a trust file of other keys refuses it.
    let other = directory();
    keys_and_trust(other.path());
    let theirs = other.path().join("trust.json");
    let mut look = look;
    look[2] = theirs.to_str().unwrap();
    let refused = crate::common::phase(home.path(), &look);
    assert_eq!(refused.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["candidates"][0]["refused"], "unknown-key", "{report}");
    assert_eq!(report["candidates"][0]["claim"]["version"], 7);
}

#[test]
fn what_no_node_would_store_is_refused_before_anything_is_published() {
    let home = home();
    let long = format!("http://h/{}", "x".repeat(1000));
    for (url, message) in [(&*long, "wanted at most 996"), ("ftp://h", "does not begin with http://")] {
        let dht = ["--dht", "--locator", "locator", "--url", url, "--bootstrap", "127.0.0.1:1"];
        let error = fails(home.path(), &publish("7", &dht), 2);
        assert!(error.contains(message), "{error}");
        assert!(!home.path().join("tree").exists(), "{url}: the tree was made");
    }
    let error = fails(home.path(), &publish("7", &["--dht"]), 2);
    assert!(error.contains("--locator"), "{error}");
}

#[test]
fn a_dht_that_does_not_answer_does_not_unpublish() {
    let home = home();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let node = silent.local_addr().unwrap().to_string();
    let dht = ["--dht", "--locator", "locator", "--url", "http://192.0.2.1", "--bootstrap", &node];
    let error = fails(home.path(), &publish("7", &dht), 1);
    assert!(error.contains("the release is published, but the DHT does not know it"), "{error}");
    assert!(error.contains("no node of the DHT answered") && error.contains(&node), "{error}");
    assert!(crate::common::envelope(home.path()).exists());
}

#[test]
fn looking_nowhere_is_wrong_usage() {
    let home = home();
    let error = fails(home.path(), &["discover", "--trust", "trust.json", "--channel", "demo"], 2);
    assert!(error.contains("--origin URL, --mdns or --dht"), "{error}");
}
