use super::*;

const TRUST: &str = r#"{
    "schema": "phase.trust/1", "channel": "demo", "epoch": 1, "built": "2026-11-20T12:00:00Z", "minimum_version": 0,
    "roles": {
        "root": {"threshold": 1, "keys": [{"public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "name": "root"}]},
        "release": {"threshold": 1, "keys": [{"public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "name": "release"}]}
    },
    "policy": {"expiry": "refuse", "rescue_prompt": false, "max_validity_days": 400}
}"#;

fn tree(command_line: &str, config: Option<&str>) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for directory in ["proc", "etc/phase"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    std::fs::write(root.path().join("proc/cmdline"), command_line).unwrap();
    std::fs::write(root.path().join("etc/phase/trust.json"), TRUST).unwrap();
    if let Some(config) = config {
        std::fs::write(root.path().join("etc/phase/config.json"), config).unwrap();
    }
    root
}

#[test]
fn the_command_line_comes_first_and_cannot_open_a_prompt_that_trust_forbids() {
    let config = r#"{"schema": "phase.config/1", "origins": ["http://b"], "on_failure": "poweroff", "attempts": 9}"#;
    let root = tree("phase.origin=http://a phase.on_failure=shell phase.shell", Some(config));
    let config = read(root.path()).unwrap();
    assert_eq!(config.origins.iter().map(Origin::base).collect::<Vec<_>>(), ["http://a", "http://b"]);
    assert_eq!(config.recovery, Recovery { on_failure: OnFailure::Shell, attempts: 9, rescue_prompt: false });
    assert!(config.remarks.is_empty(), "{:?}", config.remarks);
}

#[test]
fn a_mode_that_was_chosen_is_passed_on_like_one_that_was_given() {
    let chosen = read(tree("quiet -- -s", None).path()).unwrap().in_mode(Mode::Private);
    assert_eq!(
        (chosen.parameters.mode, chosen.command_line.as_str()),
        (Some(Mode::Private), "phase.mode=private quiet -- -s")
    );
    let given = read(tree("phase.mode=internet", None).path()).unwrap().in_mode(Mode::Internet);
    assert_eq!(given.command_line, "phase.mode=internet");
}

#[test]
fn without_a_config_file_there_are_defaults() {
    let config = read(tree("quiet", None).path()).unwrap();
    assert!(config.origins.is_empty());
    assert_eq!(config.recovery.attempts, 3);
    assert_eq!(config.recovery.on_failure, OnFailure::Retry);
}

#[test]
fn a_machine_remembers_where_its_configuration_says_and_else_nowhere() {
    assert_eq!(read(tree("", None).path()).unwrap().store, Store::None);
    let config = r#"{"schema": "phase.config/1", "state": {"store": "tpm", "nv_index": 25165825}}"#;
    assert_eq!(read(tree("", Some(config)).path()).unwrap().store, Store::Tpm { nv_index: 25_165_825 });
}

#[test]
fn changes_are_kept_on_the_disk_that_remembers_or_not_at_all() {
    const GUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";
    let config = |upper: &str| {
        let state = format!(r#""state": {{"store": "disk", "partuuid": "{GUID}"}}"#);
        read(tree("", Some(&format!(r#"{{"schema": "phase.config/1", {state}{upper}}}"#))).path()).unwrap()
    };
    assert_eq!(config("").kept_on, None);
    assert_eq!(config(r#", "upper": "persistent""#).kept_on, Some(GUID.parse().unwrap()));
}

#[test]
fn a_bad_origin_of_the_command_line_is_remarked_and_one_of_the_config_is_an_error() {
    let config = read(tree("phase.origin=ftp://a", None).path()).unwrap();
    assert!(config.remarks[0].starts_with("phase.origin= is ignored: "), "{:?}", config.remarks);
    let root = tree("", Some(r#"{"schema": "phase.config/1", "origins": ["ftp://a"]}"#));
    assert!(matches!(read(root.path()), Err(ConfigError::Origin(_))));
}

#[test]
fn the_dht_is_asked_for_whom_the_configuration_names() {
    assert_eq!(read(tree("", None).path()).unwrap().locator, None);
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let config = format!(r#"{{"schema": "phase.config/1", "dht": {{"locator": "{key}", "bootstrap": ["h:1"]}}}}"#);
    let locator = read(tree("", Some(&config)).path()).unwrap().locator.unwrap();
    assert_eq!((locator.key[0], locator.bootstrap), (0xd7, vec!["h:1".to_owned()]));
}

#[test]
#[cfg(feature = "tls")]
fn roots_that_are_none_are_refused_and_never_replaced_by_the_built_in_ones() {
    let root = tree("", None);
    std::fs::write(root.path().join(ROOTS), "no certificate").unwrap();
    let error = read(root.path()).unwrap_err().to_string();
    assert!(error.starts_with("/etc/phase/tls-roots.pem: ") && error.contains("BEGIN CERTIFICATE"), "{error}");
}

#[test]
fn a_config_of_another_form_is_refused_with_what_was_wanted() {
    for (config, wanted) in [
        (r#"{"schema": "phase.config/2"}"#, "phase.config/1"),
        (r#"{"schema": "phase.config/1", "attempts": 0}"#, "1 to 100"),
        (r#"{"schema": "phase.config/1", "on_failure": "give up"}"#, "retry, shell, reboot or poweroff"),
        (r#"{"schema": "phase.config/1", "measure": "never"}"#, "always or required"),
        (r#"{"schema": "phase.config/1", "trust": "/x"}"#, "trust"),
        (
            r#"{"schema": "phase.config/1", "dht": {"locator": "d75a"}}"#,
            "config.json.dht.locator is \"d75a\", wanted 64",
        ),
        (r#"{"schema": "phase.config/1", "dht": {"bootstrap": []}}"#, "dht.locator is missing"),
        (r#"{"schema": "phase.config/1", "state": {"store": "file"}}"#, "disk, tpm or none"),
        (r#"{"schema": "phase.config/1", "state": {"store": "tpm", "path": "/x"}}"#, "path"),
        (r#"{"schema": "phase.config/1", "upper": "tmpfs"}"#, "config.json.upper is \"tmpfs\", wanted persistent"),
        (
            r#"{"schema": "phase.config/1", "upper": "persistent"}"#,
            "config.json.upper is persistent without a disk to keep it on, wanted state on a disk",
        ),
        (
            r#"{"schema": "phase.config/1", "upper": "persistent", "state": {"store": "tpm"}}"#,
            "wanted state on a disk (--state disk:PARTUUID), or no upper",
        ),
        ("", "config.json"),
    ] {
        let error = read(tree("", Some(config)).path()).unwrap_err().to_string();
        assert!(error.starts_with("/etc/phase/config.json cannot be used: ") && error.contains(wanted), "{error}");
    }
    assert!(read(tree("", Some(r#"{"schema": "phase.config/1", "x-note": 1}"#)).path()).is_ok());
}

#[test]
fn a_configuration_can_demand_more_of_a_tpm_than_others_do() {
    let measure = |config| read(tree("", config).path()).unwrap().measure;
    assert_eq!(measure(None), None);
    assert_eq!(measure(Some(r#"{"schema": "phase.config/1", "measure": "always"}"#)), Some(Measure::Always));
    assert_eq!(measure(Some(r#"{"schema": "phase.config/1", "measure": "required"}"#)), Some(Measure::Required));
}

#[test]
fn without_a_configuration_the_command_line_counts_and_nobody_gets_a_prompt() {
    let (parameters, _) = Parameters::parse("phase.on_failure=poweroff phase.shell");
    let recovery = Recovery::unconfigured(&parameters);
    assert_eq!((recovery.on_failure, recovery.rescue_prompt), (OnFailure::PowerOff, false));
    assert_eq!(Recovery::unconfigured(&Parameters::default()).on_failure, OnFailure::Reboot);
}

#[test]
fn without_trust_there_is_no_configuration() {
    let root = tree("", None);
    std::fs::remove_file(root.path().join("etc/phase/trust.json")).unwrap();
    assert!(read(root.path()).unwrap_err().to_string().contains("etc/phase/trust.json"));
}

#[test]
fn the_stage_is_one_of_two_words() {
    let root = tree("", None);
    for (text, wanted) in [("boot\n", Some(Stage::Boot)), ("root", Some(Stage::Root)), ("both", None)] {
        std::fs::write(root.path().join("etc/phase/stage"), text).unwrap();
        assert_eq!(stage(root.path()).ok(), wanted);
    }
}
