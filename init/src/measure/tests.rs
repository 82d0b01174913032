use verify::measured::Bank;

use super::*;
use crate::console::Verbosity;
use crate::tpm::tests::{Program, Swtpm};

/// A real TPM, and a machine around it.
struct Machine {
    tpm: Tpm,
    program: Program,
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let (device, program) = Swtpm::new().into_parts();
        let tpm = Tpm { device, deadline: Instant::now() + Duration::from_mins(1) };
        Self { tpm, program, root: tempfile::tempdir().unwrap() }
    }

    fn measure(&self, events: &[&str]) -> Outcome {
        let events: Vec<String> = events.iter().map(|words| (*words).to_owned()).collect();
        let console = Console::attach(Path::new("/nowhere"), "", Verbosity::Quiet);
        self.tpm.measure(self.root.path(), &events, &console)
    }

    /// What the TPM's register holds in every bank.
    fn registers(&self) -> Vec<(Bank, Vec<u8>)> {
        let banks = pcr::banks(&self.tpm.ask(&pcr::capability()).unwrap()).unwrap().known;
        banks
            .into_iter()
            .map(|bank| (bank, pcr::value(&self.tpm.ask(&pcr::read(bank)).unwrap(), bank).unwrap()))
            .collect()
    }
}

#[test]
fn the_log_leads_to_what_the_tpm_holds() {
    let machine = Machine::new();
    let before = machine.registers();
    let Outcome { log, result } = machine.measure(&["one", "two"]);
    result.unwrap();
    let log = log.unwrap();
    assert_eq!(log.registers(), machine.registers());
    assert!(before.len() > 1 && before.iter().zip(machine.registers()).all(|(before, after)| *before != after));
    let kept = std::fs::read(machine.root.path().join("run/phase/measured.log")).unwrap();
    assert_eq!(Log::parse(&kept).unwrap(), log);
}

#[test]
fn a_second_attempt_measures_only_what_is_new() {
    let machine = Machine::new();
    machine.measure(&["one", "two"]).result.unwrap();
    let after_one = machine.registers();
    let again = machine.measure(&["one", "two"]);
    assert_eq!(machine.registers(), after_one);
    assert_eq!(again.log.unwrap().events().len(), 2);
    let log = machine.measure(&["one", "three"]).log.unwrap();
    assert_eq!(log.events().iter().map(verify::measured::Event::words).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(log.registers(), machine.registers());
}

#[test]
fn a_log_that_does_not_lead_to_the_register_is_begun_again_from_there() {
    let machine = Machine::new();
    machine.measure(&["one"]).result.unwrap();
    let path = machine.root.path().join("run/phase/measured.log");
    for other in [Some(&b"rubbish"[..]), None] {
        let before = machine.registers();
        match other {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let log = machine.measure(&["one"]).log.unwrap();
        assert_eq!(log.start(), before);
        assert_eq!(log.registers(), machine.registers());
    }
}

/// It would let a release be entered as one that is measured already.
#[test]
fn a_log_with_other_words_than_were_measured_is_begun_again() {
    let machine = Machine::new();
    machine.measure(&["one"]).result.unwrap();
    let path = machine.root.path().join("run/phase/measured.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.len() - b"one".len();
    bytes[place..].copy_from_slice(b"two");
    std::fs::write(&path, bytes).unwrap();
    let before = machine.registers();
    let log = machine.measure(&["two"]).log.unwrap();
    assert_eq!((log.start(), log.changed().count()), (&before[..], 0));
    assert_ne!(machine.registers(), before);
    assert_eq!(log.registers(), machine.registers());
}

#[test]
fn what_a_tpm_that_fails_had_measured_is_kept() {
    let mut machine = Machine::new();
    machine.measure(&["one"]).result.unwrap();
    machine.program.die();
    let Outcome { log, result } = machine.measure(&["one", "two"]);
    let error = result.unwrap_err();
    assert!(log.is_none() && matches!(error, MeasureError::Device(_)), "{error}");
    assert!(error.to_string().starts_with("the TPM cannot be talked to: "), "{error}");
}

#[test]
fn a_tpm_that_says_nothing_is_given_up() {
    let mut machine = Machine::new();
    machine.program.hang();
    machine.tpm.deadline = Instant::now() + Duration::from_millis(100);
    let Outcome { log, result } = machine.measure(&["one"]);
    assert!(log.is_none() && matches!(result, Err(MeasureError::Device(Errno::TIMEDOUT))), "{result:?}");
}

#[test]
fn a_log_that_is_full_stops_before_the_register_is_extended() {
    let machine = Machine::new();
    let events: Vec<String> = (0..100).map(|number| format!("{number} {}", "x".repeat(400))).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let Outcome { log, result } = machine.measure(&events);
    assert!(matches!(result, Err(MeasureError::Log(_))), "{result:?}");
    assert_eq!(log.unwrap().registers(), machine.registers());
}

#[test]
fn private_mode_measures_only_if_somebody_asks_for_it() {
    use Policy::{IfPossible, Off, Required};
    for (mode, configured, asked, wanted) in [
        (Mode::Internet, None, false, IfPossible),
        (Mode::Local, None, false, IfPossible),
        (Mode::Private, None, false, Off),
        (Mode::Private, None, true, IfPossible),
        (Mode::Private, Some(Measure::Always), false, IfPossible),
        (Mode::Private, Some(Measure::Required), false, Required),
        (Mode::Internet, Some(Measure::Required), true, Required),
    ] {
        assert_eq!(Policy::of(mode, configured, asked), wanted, "{mode} {configured:?} {asked}");
    }
}
