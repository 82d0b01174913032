//! docs/rotation.md works when it is typed as it stands.

use std::{fs, path::Path, process::Command};

use crate::common::{directory, squashfs, text};
use verify::{Trust, rotation};

/// Its `sh` blocks as a script that stops at the first line that ends otherwise than it says.
fn script() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rotation.md");
    let document = fs::read_to_string(document).unwrap();
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| match line.split_once("# ends with 1") {
        Some((command, _)) => format!("status=0; {command} || status=$?; [ $status = 1 ]\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn the_rotations_of_the_document() {
    let home = directory();
    let home = home.path();
    fs::write(home.join("root.squashfs"), squashfs(9, 12288)).unwrap();
    let script = format!("set -eux\nphase() {{ {} \"$@\"; }}\n{}", env!("CARGO_BIN_EXE_phase"), script());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(home)
        .env("PHASE_PASSPHRASE", "for a test")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");

    // What the tree now tells a machine of the first ceremony.
    let read = |path: &str| fs::read(home.join(path)).unwrap();
    let first = Trust::parse(&read("trust.json")).unwrap();
    let tree = [2, 3, 4].map(|epoch| (epoch, read(&format!("tree/trust/{epoch}.dsse.json"))));
    let followed = rotation::follow(first, tree);
    assert!(followed.refused().is_empty());
    assert_eq!(followed.trust().to_json().unwrap().into_bytes(), read("trust-4.json"));
    assert_eq!((followed.trust().epoch, followed.trust().floor_epoch), (4, 2));
    let names = |role: &verify::Role| role.keys().iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
    let roles = &followed.trust().roles;
    assert_eq!((names(&roles.root), roles.root.threshold()), (vec!["ada".into(), "bo".into(), "dan".into()], 3));
    assert_eq!((names(&roles.release), roles.release.threshold()), (vec!["release2".into(), "ci".into()], 2));
    let manifest = verify::Envelope::parse(&read(&format!("tree/demo/{}/manifest.dsse.json", verify::Arch::COMPILED)))
        .unwrap()
        .payload;
    let manifest = verify::Manifest::parse(&manifest).unwrap();
    assert_eq!((manifest.version, manifest.min_epoch), (2, 2));
}
