//! A signed release is found, proved, entered by kexec, and told how it came to run.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn its_init_runs_and_has_the_timings_of_both_stages() {
    let tree = Release { version: 7, ..Release::default() }.publish();
    let server = Serve::tree(tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    let receipt = boot.reaches_the_release("kexec");
    assert_eq!(receipt["schema"], "phase.receipt/1");
    assert_eq!((&receipt["channel"], &receipt["version"]), (&"e2e".into(), &7.into()));
    for (timings, wanted) in [("timings", "download"), ("root_timings", "root")] {
        let stages = receipt[timings].as_array().unwrap();
        let stage = stages.iter().find(|stage| stage["stage"] == wanted).unwrap();
        assert!(stage["end_us"].as_u64() > stage["begin_us"].as_u64(), "{stage}");
    }
    assert!(
        boot.says("phase-test: cmdline quiet panic=-1 no_timer_check signed=yes console=ttyS0"),
        "the signed command line"
    );
    assert!(boot.says("phase-test: the root takes writes"));
    assert_eq!(boot.count("start", qemu::Event::Begin), 2, "one stage under each kernel");
}
