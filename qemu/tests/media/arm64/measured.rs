//! A machine of arm64 with a TPM, as QEMU has it. Debian's kernel for real machines of arm64 has no driver of that one
//! (`CONFIG_TCG_TIS` is not set); the kernel for virtual machines has.

use qemu::Event;

use super::{Firmware, Kernel, arrives, chooses, medium, publish};
use crate::{
    row::Outcome,
    scene::Mode,
    support::{Boot, Measured, Serve, Tpm, registers, untouched},
};

/// One image, which carries the release and knows a place of it. What internet mode measures, the log proves. Private mode extends
/// no register, and from the kernel's start on no variable of the firmware changes.
pub(super) fn row() -> Outcome {
    let kernel = Kernel::of("cloud-arm64", "tpm", "qemu-net,media,root,tpm");
    let (tree, folder, tpm) = (publish(None, "direct"), tempfile::tempdir().unwrap(), Tpm::new());
    let (carried, server) = (tree.copy(), Serve::tree(tree));
    let image = folder.path().join("image");
    medium::make("disk", &kernel, Some(&carried), &server.origin(), &image);
    let start = |mode: Mode| {
        let (powered, firmware) = (tpm.powered(), Firmware::new());
        let mut boot = Boot::start(&firmware.machine().disk(&image).tpm(powered.socket()));
        chooses(&mut boot, mode);
        boot.reaches("start", Event::Begin);
        let variables = firmware.variables();
        let outcome = arrives(&mut boot, mode, "/dev/vd", &image);
        (boot, outcome, variables, firmware)
    };

    let (boot, outcome, ..) = start(Mode::Internet);
    let measured = Measured::by(&boot);
    let (good, replayed) = measured.replay(&measured.log());
    assert!(good && replayed["agrees"] == true && replayed["whole"] == true, "{replayed}");
    let extended = registers(&boot);
    assert!(!extended.is_empty() && !extended.iter().any(|register| untouched(register)), "{extended:?}");

    let (boot, _, variables, firmware) = start(Mode::Private);
    let kept = registers(&boot);
    assert!(!kept.is_empty() && kept.iter().all(|register| untouched(register)), "{kept:?}");
    assert!(!boot.began("measure"), "private mode measured");
    // The firmware has written to the chip of itself by then, so that what is written is seen.
    assert!(variables != Firmware::new().variables(), "nothing was ever written to the firmware's variables");
    assert!(firmware.variables() == variables, "a variable was written after the kernel's start");
    outcome
}
