//! Types carry trust: programs that would believe what nobody checked do not compile. One attempt per file in
//! `compile_fail/`; `compile_pass/` has the way that is left open, without which every one of them would be refused.
//!
//! The messages beside them are those of the toolchain of rust-toolchain.toml; after a change `TRYBUILD=overwrite cargo
//! test --package verify --test compile_fail` writes them, to be read before they are believed.

#[test]
fn what_nobody_checked_is_not_believed() {
    let programs = trybuild::TestCases::new();
    programs.pass("tests/compile_pass/*.rs");
    programs.compile_fail("tests/compile_fail/*.rs");
}
