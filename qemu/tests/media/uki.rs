//! The UEFI program of `phase image uki`: started by the firmware itself, with a mode that nobody chooses at a menu.

use qemu::Machine;

use crate::{
    row::{Outcome, Row},
    scene::{Mode, Scene},
    support::{Medium, Release, Uefi, own_key, signed_kernel, text},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new("UKI-x64", "boots in local mode, which is in it", unsigned).quick(),
        Row::new("UKI-own-key", "boots under Secure Boot, signed with a key that the firmware knows", signed),
    ]
}

fn unsigned() -> Outcome {
    boots(&Scene::tiny(Mode::Local), &Uefi::new(), &[])
}

/// The release's kernel has to be signed with the same key: Debian's is known to shim, which is not there. (That a UKI without
/// the signature, or after a change, is refused, is a test of boots/media.)
fn signed() -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = own_key(folder.path());
    let kernel = Some(signed_kernel(&key, &certificate, folder.path()));
    let scene = Scene::with(Mode::Internet, Release { kernel, ..Release::default() });
    boots(&scene, &Uefi::with_own_key(), &["--sign-key", text(&key), "--sign-cert", text(&certificate)])
}

fn boots(scene: &Scene, firmware: &Uefi, options: &[&str]) -> Outcome {
    let uki = scene.image("uki", &[&["--mode", scene.mode().word()], options].concat(), "phase.efi");
    let medium = Medium::uefi(&uki);
    scene.boots(firmware.plug(Machine::from_firmware().disk(&medium.path())), &uki, "")
}
