//! What differs between two trust files, complete, in words for people: the one who signs a rotation goes by this.

use std::collections::BTreeMap;

use serde_json::Value;
use verify::{PublicKey, Role, Trust};

/// Every difference, one line each.
pub(super) fn between(old: &Trust, new: &Trust) -> serde_json::Result<Vec<String>> {
    let (before, after) = (fields(old)?, fields(new)?);
    let mut lines = Vec::new();
    for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
        let shown = |fields: &BTreeMap<String, String>| fields.get(name).map_or("not set", String::as_str).to_owned();
        let (was, is) = (shown(&before), shown(&after));
        if was != is {
            lines.push(format!("{name}: {was} -> {is}"));
        }
    }
    roles("root", &old.roles.root, &new.roles.root, &mut lines);
    roles("release", &old.roles.release, &new.roles.release, &mut lines);
    Ok(lines)
}

/// Every field but the roles, by its path; what it holds is in ASCII, escaped. Whatever fields a trust file has one day are
/// among them.
pub(super) fn fields(trust: &Trust) -> serde_json::Result<BTreeMap<String, String>> {
    let mut value = serde_json::to_value(trust)?;
    if let Value::Object(members) = &mut value {
        members.remove("roles");
        members.remove("schema");
    }
    Ok(flat(&value))
}

/// Every value in a document, by its path; in ASCII, escaped.
pub fn flat(value: &Value) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    flatten(String::new(), value, &mut fields);
    fields
}

fn flatten(path: String, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            let separator = if path.is_empty() { "" } else { "." };
            for (name, value) in members {
                flatten(format!("{path}{separator}{name}"), value, fields);
            }
        }
        Value::String(text) => {
            fields.insert(path, text.escape_default().to_string());
        }
        other => {
            fields.insert(path, other.to_string().escape_default().to_string());
        }
    }
}

fn roles(name: &str, old: &Role, new: &Role, lines: &mut Vec<String>) {
    let same = |a: &PublicKey, b: &PublicKey| a.id() == b.id();
    for key in old.keys() {
        match new.keys().iter().find(|other| same(key, other)) {
            None => lines.push(format!("{name} key removed: {} ({})", key.name(), key.id())),
            Some(other) if other.name() != key.name() => {
                lines.push(format!("{name} key renamed: {} -> {} ({})", key.name(), other.name(), key.id()));
            }
            Some(_) => {}
        }
    }
    for key in new.keys().iter().filter(|key| !old.keys().iter().any(|other| same(key, other))) {
        lines.push(format!("{name} key added: {} ({})", key.name(), key.id()));
    }
    let quorum = |role: &Role| format!("{} of {}", role.threshold(), role.keys().len());
    if quorum(old) != quorum(new) {
        lines.push(format!("{name} signatures needed: {} -> {}", quorum(old), quorum(new)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(text: &str) -> Trust {
        const KEYS: [&str; 2] = [
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ];
        Trust::parse(text.replace("KEY0", KEYS[0]).replace("KEY1", KEYS[1]).as_bytes()).unwrap()
    }

    const OLD: &str = r#"{"schema": "phase.trust/1", "channel": "demo", "epoch": 1, "built": "2026-11-20T12:00:00Z",
        "minimum_version": 0, "roles": {"root": {"threshold": 1, "keys": [{"public": "KEY0", "name": "a"}]},
        "release": {"threshold": 1, "keys": [{"public": "KEY1", "name": "b"}]}},
        "policy": {"expiry": "refuse", "rescue_prompt": false}}"#;

    #[test]
    fn every_field_that_differs_is_named() {
        let new = OLD
            .replace("demo", "else")
            .replace("\"epoch\": 1", "\"epoch\": 2, \"floor_epoch\": 2")
            .replace("20T12", "21T12")
            .replace("\"minimum_version\": 0", "\"minimum_version\": 7")
            .replace("\"refuse\"", "\"warn\", \"state\": \"refuse\", \"max_validity_days\": 30")
            .replace("false", "true");
        let lines = between(&trust(OLD), &trust(&new)).unwrap();
        let wanted = [
            "built: 2026-11-20T12:00:00Z -> 2026-11-21T12:00:00Z",
            "channel: demo -> else",
            "epoch: 1 -> 2",
            "minimum_version: 0 -> 7",
            "policy.expiry: refuse -> warn",
            "policy.max_validity_days: 400 -> 30",
            "policy.rescue_prompt: false -> true",
            "floor_epoch: not set -> 2",
            "policy.state: not set -> refuse",
        ];
        assert_eq!(lines, wanted);
        assert!(between(&trust(OLD), &trust(OLD)).unwrap().is_empty());
    }

    #[test]
    fn keys_are_told_by_their_ids_and_not_by_their_names() {
        let ids = trust(OLD).roles;
        let (a, b) = (ids.root.keys()[0].id(), ids.release.keys()[0].id());
        let swapped = OLD.replace("KEY0", "X").replace("KEY1", "KEY0").replace('X', "KEY1");
        let lines = between(&trust(OLD), &trust(&swapped)).unwrap();
        let wanted = [
            format!("root key removed: a ({a})"),
            format!("root key added: a ({b})"),
            format!("release key removed: b ({b})"),
            format!("release key added: b ({a})"),
        ];
        assert_eq!(lines, wanted);
        let more = OLD.replace(r#""name": "b"}"#, r#""name": "ci"}, {"public": "KEY0", "name": "c"}"#);
        let lines = between(
            &trust(OLD),
            &trust(&more.replace(r#""release": {"threshold": 1"#, r#""release": {"threshold": 2"#)),
        );
        let wanted = [
            format!("release key renamed: b -> ci ({b})"),
            format!("release key added: c ({a})"),
            "release signatures needed: 1 of 1 -> 2 of 2".to_owned(),
        ];
        assert_eq!(lines.unwrap(), wanted);
    }
}
