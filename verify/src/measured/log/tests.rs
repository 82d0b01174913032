use super::*;
use proptest::prelude::*;

/// Three events in two banks, on a register that shim extended in one of them.
fn log() -> Log {
    let mut log = Log::new(vec![(Bank::Sha1, vec![7; 20]), (Bank::Sha256, vec![0; 32])]).unwrap();
    for words in ["phase.measured/1 one", "phase.measured/1 two", "phase.measured/1 three"] {
        log.push(words).unwrap();
    }
    log
}

#[test]
fn the_first_bytes_are_those_of_the_specification() {
    let bytes = log().encode();
    let header = [&[0; 4][..], &[3, 0, 0, 0], &[0; 20], &[37, 0, 0, 0], b"Spec ID Event03\0"].concat();
    assert_eq!(bytes[..48], header);
    // Class, version 2.0 errata 0 of 64 bits, two banks: SHA-1 with 20 bytes and SHA-256 with 32; nothing of a vendor.
    let specification = [0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 4, 0, 20, 0, 0x0b, 0, 32, 0, 0];
    assert_eq!(bytes[48..69], specification);
    assert_eq!(bytes[69..77], [14, 0, 0, 0, 3, 0, 0, 0]);
}

#[test]
fn what_begins_with_zeros_is_not_said_to_begin() {
    let mut log = Log::new(vec![(Bank::Sha256, vec![0; 32])]).unwrap();
    let header = log.encode();
    assert_eq!(header.len(), 65);
    assert_eq!(Log::parse(&header), Ok(log.clone()));
    log.push("one").unwrap();
    assert_eq!(log.encode()[65..73], [14, 0, 0, 0, 13, 0, 0, 0]);
    assert_eq!(Log::parse(&log.encode()), Ok(log.clone()));
    // An event that says so all the same would be read as another log's.
    let mut said = header;
    let event = [&[14, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0x0b, 0][..], &[0; 32], &[50, 0, 0, 0]].concat();
    said.extend([&event[..], START, &[0x0b, 0], &[0; 32]].concat());
    let error = Log::parse(&said).unwrap_err().to_string();
    assert!(error.contains("a register that is not zeros is wanted there"), "{error}");
}

#[test]
fn a_replay_extends_what_the_register_held() {
    let extend = |bank: Bank, start: Vec<u8>| {
        ["one", "two", "three"].iter().fold(start, |register, words| {
            bank.digest(&[&register[..], &bank.digest(format!("phase.measured/1 {words}").as_bytes())].concat())
        })
    };
    let wanted = [(Bank::Sha1, extend(Bank::Sha1, vec![7; 20])), (Bank::Sha256, extend(Bank::Sha256, vec![0; 32]))];
    assert_eq!(log().registers(), wanted);
    assert_eq!(log().changed().count(), 0);
    assert!(log().has("phase.measured/1 two") && !log().has("phase.measured/1"));
}

#[test]
fn words_that_were_changed_are_found_and_digests_give_other_registers() {
    let bytes = log().encode();
    let at = bytes.windows(3).rposition(|words| words == b"two").unwrap();
    let mut words = bytes.clone();
    words[at] = b'T';
    let words = Log::parse(&words).unwrap();
    assert_eq!(words.changed().map(Event::words).collect::<Vec<_>>(), ["phase.measured/1 Two"]);
    assert_eq!(words.registers(), log().registers(), "only the digests are extended");

    let digest = Bank::Sha256.digest(b"phase.measured/1 two");
    let at = bytes.windows(32).position(|bytes| bytes == digest).unwrap();
    let mut digests = bytes;
    digests[at] ^= 1;
    let digests = Log::parse(&digests).unwrap();
    assert_eq!(digests.changed().count(), 1);
    assert_ne!(digests.registers()[1], log().registers()[1]);
    assert_eq!(digests.registers()[0], log().registers()[0]);
}

#[test]
fn a_log_that_is_cut_at_any_byte_is_none_or_ends_with_a_whole_event() {
    let (whole, bytes) = (log(), log().encode());
    for cut in 0..bytes.len() {
        match Log::parse(&bytes[..cut]) {
            Ok(shorter) => assert!(whole.events.starts_with(&shorter.events) && shorter.encode().len() == cut),
            Err(LogError::Form { at, .. }) => assert!(at <= cut, "{at} of {cut}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_is_no_log_is_said_with_its_place() {
    let mut firmware = log().encode();
    firmware[69] = 4;
    let error = Log::parse(&firmware).unwrap_err().to_string();
    assert!(
        error.contains("byte 69 of the log: register 14 is wanted there; is it a log that Phase Boot wrote"),
        "{error}"
    );
    let error = Log::parse(&vec![0; LIMITS.measured_log_bytes + 1]).unwrap_err().to_string();
    assert_eq!(error, "the log has 16385 bytes; wanted at most 16384");
    let mut huge = log().encode();
    huge[28..32].fill(0xff);
    assert!(matches!(Log::parse(&huge), Err(LogError::Form { .. })));
}

#[test]
fn a_log_begins_with_distinct_banks_and_ends_before_it_is_too_large() {
    assert_eq!(Log::new(vec![]), None);
    assert_eq!(Log::new(vec![(Bank::Sha256, vec![0; 20])]), None);
    let twice = (Bank::Sha256, vec![0; 32]);
    assert_eq!(Log::new(vec![twice.clone(), twice]), None);
    let mut log = log();
    let full = (0..1000).find_map(|number| log.push(&format!("{number} {}", "x".repeat(400))).err()).unwrap();
    assert!(matches!(full, LogError::TooLarge { .. }), "{full}");
    assert_eq!(Log::parse(&log.encode()), Ok(log.clone()), "what did not fit is not there");
    for words in ["", "two\nlines", "\u{e4}"] {
        assert!(matches!(log.push(words), Err(LogError::Form { .. })), "{words:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_as_the_same_bytes(at in 0_usize..500, byte: u8) {
        let mut bytes = log().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(read) = Log::parse(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}
