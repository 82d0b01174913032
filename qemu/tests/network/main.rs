//! Mode × source × fault: every row of a table is a machine that boots in a network of its own, with real servers and over a
//! cable with a fault (docs/testing.md).
//!
//! They need what the tests of boots/ need, and besides `dnsmasq`, `nginx`, `avahi-daemon` and the kernel's network namespaces. No
//! root. A program that runs a row is started by the one that runs the table, in namespaces that end with it.

// A test that cannot go on says so by panicking, and so does what it stands on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;
mod promises;
mod row;
mod scene;
// The other test program uses the rest of it.
#[allow(dead_code, unused_imports)]
#[path = "../boots/support/mod.rs"]
mod support;
mod table;

use std::{
    collections::HashMap,
    env,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use libtest_mimic::{Arguments, Failed, Trial};

use row::Outcome;
use table::Row;

/// The row that a program in the namespaces runs.
const ROW: &str = "PHASE_TEST_ROW";
/// Where that program writes its outcome.
const OUTCOME: &str = "PHASE_TEST_OUTCOME";

/// What became of the rows that were run, by their sentences.
type Outcomes = Arc<Mutex<HashMap<String, Result<Outcome, ()>>>>;

fn main() -> ExitCode {
    let rows = table::rows();
    if let (Ok(sentence), Some(file)) = (env::var(ROW), env::var_os(OUTCOME)) {
        let row = rows.into_iter().find(|row| row.sentence() == sentence).expect("a row of the table");
        row::run(row).write(Path::new(&file));
        return ExitCode::SUCCESS;
    }
    let outcomes = Outcomes::default();
    let trials = rows.iter().map(|row| trial(*row, Arc::clone(&outcomes))).collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    print(&rows, &outcomes.lock().unwrap());
    conclusion.exit_code()
}

/// A row as a test; those that `make test` has no time for are run by `make test-network`, with `--include-ignored`.
fn trial(row: Row, outcomes: Outcomes) -> Trial {
    let run = move || {
        let outcome = isolated(row);
        let kept = outcome.as_ref().map(|outcome| Outcome { words: outcome.words.clone(), ..*outcome }).map_err(|_| ());
        outcomes.lock().unwrap().insert(row.sentence(), kept);
        outcome.map(drop)
    };
    Trial::test(row.sentence(), run).with_ignored_flag(!row.is_quick())
}

/// Runs a row in namespaces of its own.
fn isolated(row: Row) -> Result<Outcome, Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("outcome");
    let mut command = qemu::lan::isolated(&env::current_exe()?)?;
    let output = command.env(ROW, row.sentence()).env(OUTCOME, &file).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {said}", output.status).into());
    }
    Outcome::read(&file).ok_or_else(|| "the row left no outcome".into())
}

/// Prints the table of the rows that were run.
fn print(rows: &[Row], outcomes: &HashMap<String, Result<Outcome, ()>>) {
    println!("\n{:<9} {:<26} {:<18} {:>7}  outcome", "mode", "source", "fault", "seconds");
    for row in rows {
        let (seconds, words) = match outcomes.get(&row.sentence()) {
            Some(Ok(outcome)) => (format!("{:.1}", outcome.seconds), outcome.words.as_str()),
            Some(Err(())) => ("-".to_owned(), "FAILED"),
            None => continue,
        };
        println!("{:<9} {:<26} {:<18} {seconds:>7}  {words}", row.place.mode(), row.place.word(), row.trouble.word());
    }
}
