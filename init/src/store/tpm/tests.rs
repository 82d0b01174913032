//! Against a real TPM 2.0 in software: swtpm, at the other end of a socket in place of the kernel's device file.

use super::*;
use crate::tpm::tests::{Program, Swtpm};

const INDEX: u32 = 0x0180_0000;

/// A TPM that was never used, and our view of it.
struct Machine {
    tpm: Tpm,
    _program: Program,
}

impl Machine {
    fn new() -> Self {
        let (device, program) = Swtpm::new().into_parts();
        Self { tpm: Tpm { device, index: INDEX }, _program: program }
    }

    /// Does what another program does, and wants it done.
    fn other(&self, command: &[u8]) {
        codec::done(&self.tpm.ask(command).unwrap()).unwrap();
    }

    /// The first `size` bytes of the index.
    fn held(&self, size: u16) -> Vec<u8> {
        codec::data(&self.tpm.ask(&codec::read(INDEX, size)).unwrap()).unwrap().to_owned()
    }
}

fn state(version: u64) -> State {
    State { channel: "demo".parse().unwrap(), epoch: 1, version, issued: "2026-11-20T12:00:00Z".parse().unwrap() }
}

/// `TPM2_NV_DefineSpace` of our index, of another size and with a password.
fn define(size: u16, password: &[u8]) -> Vec<u8> {
    let ours = codec::define_space(INDEX);
    // The size stands at the end, the password's length 18 bytes before it.
    let (start, rest) = ours.split_at(ours.len() - 18);
    let password_length = u16::try_from(password.len()).unwrap().to_be_bytes();
    let public = &rest[2..rest.len() - 2];
    let mut command = [start, &password_length, password, public, &size.to_be_bytes()].concat();
    let length = u32::try_from(command.len()).unwrap();
    command[2..6].copy_from_slice(&length.to_be_bytes());
    command
}

#[test]
fn what_is_written_is_read_again_and_replaced() {
    let machine = Machine::new();
    assert_eq!(machine.tpm.state().unwrap(), None);
    for version in [7, 8] {
        machine.tpm.set_state(&state(version)).unwrap();
        assert_eq!(machine.tpm.state().unwrap(), Some(state(version)));
    }
    assert!(machine.held(512).starts_with(OURS));
}

#[test]
fn an_index_made_by_hand_or_a_damaged_state_takes_a_new_one() {
    let whole = state(7).to_nv().unwrap();
    let cut = [&whole[..40], &[0; 472]].concat();
    for held in [None, Some(vec![0; 512]), Some(cut)] {
        let machine = Machine::new();
        machine.other(&define(512, b""));
        if let Some(held) = &held {
            machine.other(&codec::write(INDEX, held));
        }
        match machine.tpm.state() {
            Err(StoreError::Damaged(_)) => assert!(held.is_some()),
            other => assert_eq!(other.unwrap(), None),
        }
        machine.tpm.set_state(&state(8)).unwrap();
        assert_eq!(machine.tpm.state().unwrap(), Some(state(8)));
    }
}

#[test]
fn another_programs_bytes_are_left_alone() {
    let machine = Machine::new();
    machine.other(&define(512, b""));
    let foreign = [&b"the key of somebody's disk"[..], &[0; 486]].concat();
    machine.other(&codec::write(INDEX, &foreign));
    for refused in [machine.tpm.state().map(drop), machine.tpm.set_state(&state(8))] {
        assert!(matches!(refused, Err(StoreError::Tpm { refused: Refused::Foreign, .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("another program's, and is left alone; name another one"));
    }
    assert_eq!(machine.held(512), foreign);
}

#[test]
fn an_index_of_another_size_is_left_alone() {
    let machine = Machine::new();
    machine.other(&define(32, b""));
    machine.other(&codec::write(INDEX, &[0; 32]));
    let error = machine.tpm.state().unwrap_err().to_string();
    assert!(error.contains("the NV index has 32 bytes, wanted 512"), "{error}");
    let error = machine.tpm.set_state(&state(8)).unwrap_err().to_string();
    assert!(error.contains("0x01800000") && error.contains("another program's"), "{error}");
    assert_eq!(machine.held(32), [0; 32]);
}

#[test]
fn a_password_of_the_index_is_not_taken_for_the_owners() {
    let machine = Machine::new();
    machine.other(&define(512, b"secret"));
    let error = machine.tpm.set_state(&state(8)).unwrap_err().to_string();
    assert!(error.contains("the NV index has a password of its own"), "{error}");
}
