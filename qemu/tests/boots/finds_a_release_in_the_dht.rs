//! The list of places that the locator key signed is found in the DHT, while the origin that was given is dead.

use crate::support::{Boot, Lab, Release, Serve, origin, text};

#[test]
fn though_the_origin_is_dead() {
    let lab = Lab::ready();
    // A network of its own on loopback, which a guest reaches as 10.0.2.2.
    let network = mainline::Testnet::builder(8).build().unwrap();
    let node = network.bootstrap.first().unwrap().clone();
    let (_, port) = node.rsplit_once(':').unwrap();
    let tree = Release { handoff: "direct", ..Release::default() }.publish();
    let directory = tempfile::tempdir().unwrap();
    let [key, initrd] = ["locator", "boot.cpio.zst"].map(|name| directory.path().join(name));
    lab.phase(&["keygen", "--no-passphrase", "--out", text(&key)]);
    let path = tree.path().to_owned();
    let server = Serve::tree(tree);
    let url = format!("http://10.0.2.2:{}", server.port());
    let places = ["--locator", text(&key), "--url", &url, "--bootstrap", &node];
    lab.phase(&[&["announce", "--channel", "e2e", "--tree", text(&path)], &places[..]].concat());

    let (public, reached) = (key.with_extension("pub"), format!("10.0.2.2:{port}"));
    let options = ["--dht-locator", text(&public), "--dht-bootstrap", &reached];
    let mut boot = Boot::start(&lab.machine_of(&initrd, &options).append(&origin(9)));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["source"], url.as_str());
    assert!(boot.says("http://10.0.2.2:9/e2e/x86_64/manifest.dsse.json: the server could not be reached"));
    assert!(boot.says(&format!("from {url} (from the DHT, list {})", receipt["version"])));
}
