//! When the kernel kills the process that does the work, PID 1 says so and goes on by the policy.

use serde_json::json;

use crate::support::{Boot, Fault, Hostile, Lab, Release};

#[test]
fn in_the_middle_of_a_download() {
    let server = Hostile::tree(Release::default().publish(), "/blobs/", Fault::StallsAtHalf);
    let mut boot = Boot::start(&Lab::ready().machine().append("sysrq_always_enabled").append(&server.origin()));
    server.wait_for_request("/blobs/");
    // Break and then f on a serial console: the kernel kills a process as if memory had run out.
    boot.qmp().execute("chardev-send-break", &json!({"id": "serial0"})).unwrap();
    boot.types("f");
    boot.is_worker_killed();
    boot.powers_off();
}
