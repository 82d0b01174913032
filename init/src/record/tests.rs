use super::*;
use crate::parameters::OnFailure;

fn handoff() -> Handoff {
    Handoff {
        schema: HANDOFF_SCHEMA.into(),
        manifest_sha256: "ab".repeat(32),
        channel: "demo".into(),
        arch: "x86_64".into(),
        version: 7,
        key_ids: vec!["cd".repeat(32)],
        epoch: 2,
        floor_epoch: 1,
        issued: "2026-11-20T12:00:00Z".parse().unwrap(),
        state: Some(Memory::Tpm { nv_index: 0x0180_0000, access: Access::ReadWrite }),
        init: "/sbin/init".into(),
        rootfs_size: 5,
        rootfs_sha256: "ef".repeat(32),
        handoff: "kexec".into(),
        mode: "internet".into(),
        source: "http://10.0.2.2:8000".into(),
        rescue_prompt: false,
        clock: Clock { now: 1_790_000_000, trusted: true },
        network: None,
        measured: None,
        upper: None,
        consoles: vec!["ttyS0".into()],
        timings: vec![StageTiming { stage: "mounts".into(), begin_us: 1, end_us: 2 }],
    }
}

#[test]
fn stage_two_reads_what_stage_one_wrote() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("phase")).unwrap();
    std::fs::write(root.path().join("phase/handoff.json"), handoff().to_json().unwrap()).unwrap();
    std::fs::write(root.path().join("phase/rootfs.squashfs"), "12345").unwrap();
    assert_eq!(Handoff::read(root.path()).unwrap(), handoff());
    std::fs::write(root.path().join("phase/rootfs.squashfs"), "1234").unwrap();
    let error = Handoff::read(root.path()).unwrap_err();
    assert!(error.to_string().contains("has 4 bytes; stage one verified 5"), "{error}");
    assert_eq!(error.kind(), "rootfs-size");
}

#[test]
fn another_schema_is_named() {
    let error = Handoff::parse(br#"{"schema": "phase.handoff/9", "new": 1}"#).unwrap_err();
    assert!(error.to_string().contains("phase.handoff/9"), "{error}");
}

#[test]
fn a_field_for_others_is_passed_over_and_an_unknown_one_is_not() {
    let with = |field: &str| {
        let json = String::from_utf8(handoff().to_json().unwrap()).unwrap();
        Handoff::parse(json.replacen('{', &format!("{{\"{field}\":1,"), 1).as_bytes())
    };
    assert_eq!(with("x-note").unwrap(), handoff());
    assert!(with("note").unwrap_err().to_string().contains("note"));
}

#[test]
fn stage_two_opens_a_prompt_only_if_stage_one_was_allowed_to() {
    let (parameters, _) = Parameters::parse("phase.on_failure=shell");
    for rescue_prompt in [true, false] {
        let recovery = Handoff { rescue_prompt, ..handoff() }.recovery(&parameters);
        assert_eq!((recovery.on_failure, recovery.rescue_prompt), (OnFailure::Shell, rescue_prompt));
    }
}

#[test]
fn only_a_store_that_may_be_written_brings_the_program_that_acknowledges() {
    let disk = Store::Disk { partuuid: "0b7b5b4e-9a1c-4d7e-8f00-112233445566".parse().unwrap() };
    for (store, access, takes) in [
        (&disk, Access::ReadWrite, true),
        (&disk, Access::ReadOnly, false),
        (&Store::Tpm { nv_index: 0x0180_0000 }, Access::ReadWrite, true),
        (&Store::None, Access::ReadWrite, false),
    ] {
        let handoff = Handoff { state: Memory::of(store, access), ..handoff() };
        let run = tempfile::tempdir().unwrap();
        handoff.give_to_release(run.path(), &[]).unwrap();
        assert_eq!(run.path().join("acknowledge").exists(), takes, "{store:?}");
        assert_eq!(Handoff::parse(&handoff.to_json().unwrap()).unwrap(), handoff);
    }
    let json = String::from_utf8(handoff().to_json().unwrap()).unwrap();
    assert!(json.contains(r#""state":{"store":"tpm","nv_index":25165824,"access":"read-write"}"#), "{json}");
}

#[test]
fn what_was_measured_reaches_the_release_and_an_older_form_of_it_stops_nothing() {
    let mut log = Log::new(vec![(verify::measured::Bank::Sha256, vec![0; 32])]).unwrap();
    log.push("words").unwrap();
    let measured = Handoff { measured: Some(Measured::of(&log, true)), ..handoff() };
    let json = String::from_utf8(measured.to_json().unwrap()).unwrap();
    assert_eq!(Handoff::parse(json.as_bytes()).unwrap(), measured);
    let other = json.replace(r#""x-measured":{"pcr":14"#, r#""x-measured":{"pcr":"14""#);
    assert_eq!(Handoff::parse(other.as_bytes()).unwrap(), handoff());

    let run = tempfile::tempdir().unwrap();
    measured.give_to_release(run.path(), &[]).unwrap();
    assert_eq!(Log::parse(&std::fs::read(run.path().join("measured.log")).unwrap()), Ok(log));
    let receipt = std::fs::read(run.path().join("receipt.json")).unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    let wanted = serde_json::json!({"pcr": 14, "banks": ["sha256"], "complete": true, "file": MEASURED_LOG});
    assert_eq!(receipt["x-measured"], wanted);

    // A later attempt of the same boot, whose TPM does not answer any more.
    handoff().give_to_release(run.path(), &[]).unwrap();
    let receipt = std::fs::read_to_string(run.path().join("receipt.json")).unwrap();
    assert!(!receipt.contains("x-measured"), "{receipt}");
    assert!(!run.path().join("measured.log").exists(), "a log that the receipt does not name");
}

#[test]
fn where_changes_are_kept_reaches_stage_two_and_another_form_of_it_stops_nothing() {
    let partuuid = "0b7b5b4e-9a1c-4d7e-8f00-112233445566".parse().unwrap();
    let keeping = Handoff { upper: Some(Upper { partuuid, kind: None, reason: None }), ..handoff() };
    let json = String::from_utf8(keeping.to_json().unwrap()).unwrap();
    assert!(json.contains(r#""x-upper":{"partuuid":"0b7b5b4e-9a1c-4d7e-8f00-112233445566"}"#), "{json}");
    assert_eq!(Handoff::parse(json.as_bytes()).unwrap(), keeping);
    for other in [r#"{"partuuid":"/dev/sda1"}"#, r#"{"uuid":1}"#, "1", "null", "[]"] {
        let json = json.replace(r#"{"partuuid":"0b7b5b4e-9a1c-4d7e-8f00-112233445566"}"#, other);
        assert_eq!(Handoff::parse(json.as_bytes()).unwrap(), handoff(), "{other}");
    }
}

#[test]
fn the_largest_log_leaves_room_in_the_hand_off() {
    let log = "A".repeat(verify::LIMITS.measured_log_bytes.div_ceil(3) * 4);
    let measured = Measured { pcr: 14, banks: vec!["sha256".into()], complete: true, log: Some(log), file: None };
    let json = Handoff { measured: Some(measured), ..handoff() }.to_json().unwrap();
    assert!(json.len() < LARGEST_HANDOFF as usize / 2, "{} bytes", json.len());
}

#[test]
fn the_receipt_has_the_stages_of_both() {
    let root = tempfile::tempdir().unwrap();
    let root_timings = [StageTiming { stage: "root".into(), begin_us: 3, end_us: 4 }];
    handoff().give_to_release(root.path(), &root_timings).unwrap();
    let receipt = std::fs::read(root.path().join("receipt.json")).unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    assert!(root.path().join("acknowledge").exists());
    assert_eq!(receipt["schema"], RECEIPT_SCHEMA);
    assert_eq!(receipt["version"], 7);
    assert_eq!(receipt["timings"][0]["stage"], "mounts");
    assert_eq!(receipt["root_timings"][0]["stage"], "root");
}
