//! A machine that shares (`phase.share=1`) stops before the jump: nothing of what served keeps the memory from being sealed, or
//! holds up a boot without neighbours. What neighbours get is tested between namespaces (init/tests/share).

use qemu::Event;

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn and_waits_for_no_neighbour_where_there_is_none() {
    let server = Serve::tree(Release::default().publish());
    let mut boot = Boot::start(&Lab::ready().machine().append("phase.share=1").append(&server.origin()));
    let receipt = boot.reaches_the_release("kexec");
    let stages: Vec<&str> = receipt["timings"].as_array().unwrap().iter().filter_map(|t| t["stage"].as_str()).collect();
    let place = |name| stages.iter().position(|stage| *stage == name);
    assert!(place("share").is_some() && place("share") > place("download"), "{stages:?}");
    assert_eq!(boot.count("share", Event::End), 1);
    assert!(boot.says("neighbours=0 bytes=0"), "somebody got something");
}
