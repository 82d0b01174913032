//! The module indexes: a load order holds each file once, behind all that it needs, and never leaves the modules' folder;
//! no index makes the walk endless. The input is `modules.dep`, `modules.softdep`, `modules.alias` and a modalias,
//! separated by lines of `---`.

#![no_main]

use initramfs::kmod::{Index, KmodError, Limits, Sources, name_of_path, same_name};
use libfuzzer_sys::fuzz_target;

/// Small enough that a slow input is one that does too much work, not one that is large.
const LIMITS: Limits = Limits { bytes: 1 << 16, modules: 256, lines: 256, depth: 64 };

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(4, "\n---\n").chain(std::iter::repeat(""));
    let mut part = || parts.next().unwrap_or_default();
    let (dep, softdep, alias, modalias) = (part(), part(), part(), part());
    let sources = Sources { dep, alias, softdep, builtin: "" };
    let index = match Index::parse(&sources, LIMITS) {
        Ok(index) => index,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    };
    for name in index.matching(modalias) {
        assert!(alias.contains(name));
    }
    for name in index.names() {
        match index.load_order(name) {
            Ok(order) => check(&index, dep, name, &order),
            Err(KmodError::Unknown { .. } | KmodError::Cycle { .. } | KmodError::TooDeep { .. }) => {}
            Err(error) => panic!("a walk cannot fail like this: {error:?}"),
        }
    }
});

fn check(index: &Index<'_>, dep: &str, name: &str, order: &[&str]) {
    assert!(order.iter().any(|path| same_name(name_of_path(path), name)));
    for (place, path) in order.iter().enumerate() {
        assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."));
        assert!(!order[..place].contains(path), "{path} occurs twice");
        let line = dep.lines().find_map(|line| line.trim().strip_prefix(path)?.strip_prefix(':'));
        for need in line.unwrap_or_default().split_ascii_whitespace() {
            let need = index.path(name_of_path(need));
            assert!(need.is_some_and(|need| order[..place].contains(&need)), "{path} stands before what it needs");
        }
    }
}
