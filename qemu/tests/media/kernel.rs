//! No boot loader at all: QEMU's -kernel and -initrd, which is what any loader does in the end.

use qemu::Machine;

use crate::{
    arrival::bytes,
    row::{Outcome, Row},
    scene::{Mode, Scene},
    support::Lab,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![Row::new("-kernel", "boots in internet mode from kernel and initramfs as they are", boots).quick()]
}

fn boots() -> Outcome {
    let scene = Scene::tiny(Mode::Internet);
    let (kernel, initramfs) = Lab::ready().general_kernel_and_initramfs();
    let machine = Machine::new(&kernel, &initramfs).append(&scene.parameters()).append("phase.mode=internet");
    let outcome = scene.boots(machine, &initramfs, "");
    Outcome { artefact: outcome.artefact + bytes(&kernel), ..outcome }
}
