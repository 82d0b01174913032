//! `phase lab`, as far as it needs neither apt nor a network.

use std::fs;

use crate::common::{directory, succeeds};

#[test]
fn a_kernel_of_ones_own_is_looked_at_and_reported_on_one_line() {
    let home = directory();
    let files = ["boot/vmlinuz-6.1.0", "lib/modules/6.1.0/modules.dep"];
    for path in files.map(|file| home.path().join("own").join(file)) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let report = succeeds(home.path(), &["lab", "kernel", "--kernel-root", "own", "--json"]);
    assert_eq!(report.lines().count(), 1, "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let wanted = serde_json::json!({"root": "own", "version": "6.1.0", "kernel": "own/boot/vmlinuz-6.1.0"});
    assert_eq!(report, wanted);
}
