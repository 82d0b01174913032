//! Rows as tests, and the table of what became of those that were run.

use std::{
    collections::HashMap,
    env, fs, panic,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

/// The row that a program in namespaces of its own runs.
const ROW: &str = "PHASE_TEST_ROW";
/// Where that program writes its outcome.
const OUTCOME: &str = "PHASE_TEST_OUTCOME";

/// One way in, under one firmware.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// The matrix's name for it, which no other row has.
    name: &'static str,
    /// What it does; with the name, that of the test.
    sentence: &'static str,
    /// Whether `make test` has time for it; all others wait for `--include-ignored`.
    quick: bool,
    /// Whether it runs in user, network and mount namespaces of its own, which [`qemu::lan`] wants.
    isolated: bool,
    /// Makes the artefact, boots it, and asserts what has to be true.
    run: fn() -> Outcome,
}

impl Row {
    /// A row that `make test` has no time for.
    pub(crate) fn new(name: &'static str, sentence: &'static str, run: fn() -> Outcome) -> Self {
        Self { name, sentence, quick: false, isolated: false, run }
    }

    /// The row, in `make test` too.
    pub(crate) fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    /// The row, in namespaces of its own.
    pub(crate) fn isolated(self) -> Self {
        Self { isolated: true, ..self }
    }
}

/// What the table says of a row that did what it should.
pub(crate) struct Outcome {
    /// Mode, hand-off, and where the release came from.
    pub(crate) words: String,
    /// From the machine's start to the first instruction of PID 1 (the first one, if there were several).
    pub(crate) to_init: Duration,
    /// From the machine's start to the release's PID 1, or to its login prompt.
    pub(crate) to_release: Duration,
    /// Bytes of what somebody writes to a stick, burns or serves.
    pub(crate) artefact: u64,
}

/// What became of the rows that were run, by their names: the outcome, or the first line of what went wrong.
type Outcomes = Arc<Mutex<HashMap<&'static str, Result<Outcome, String>>>>;

/// Characters of that line which the table has room for.
const REASON: usize = 100;

/// Runs the rows that the command line names, and prints the table.
pub(crate) fn main(rows: Vec<Row>) -> ExitCode {
    if let (Ok(name), Some(file)) = (env::var(ROW), env::var_os(OUTCOME)) {
        let row = rows.into_iter().find(|row| row.name == name).expect("a row of the table");
        (row.run)().write(Path::new(&file));
        return ExitCode::SUCCESS;
    }
    for (number, row) in rows.iter().enumerate() {
        assert!(rows[..number].iter().all(|other| other.name != row.name), "two rows are called {}", row.name);
    }
    let outcomes = Outcomes::default();
    let trials = rows.iter().map(|row| trial(*row, Arc::clone(&outcomes))).collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    print(&rows, &outcomes.lock().unwrap());
    conclusion.exit_code()
}

fn trial(row: Row, outcomes: Outcomes) -> Trial {
    let run = move || {
        let outcome = if row.isolated { in_namespaces(row) } else { here(row) };
        let failed = outcome.as_ref().err().cloned();
        outcomes.lock().unwrap().insert(row.name, outcome.map_err(|said| reason(&said)));
        failed.map_or(Ok(()), |said| Err(Failed::from(said)))
    };
    Trial::test(format!("{} {}", row.name, row.sentence), run).with_ignored_flag(!row.quick)
}

/// Runs a row in this program; a panic is its failure.
fn here(row: Row) -> Result<Outcome, String> {
    panic::catch_unwind(row.run).map_err(|payload| match payload.downcast::<String>() {
        Ok(said) => *said,
        Err(payload) => payload.downcast_ref::<&str>().map_or("it panicked", |said| *said).to_owned(),
    })
}

/// Runs a row in namespaces of its own, which end with it.
fn in_namespaces(row: Row) -> Result<Outcome, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = directory.path().join("outcome");
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = qemu::lan::isolated(&program).map_err(|error| error.to_string())?;
    let output = command.env(ROW, row.name).env(OUTCOME, &file).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {said}", output.status));
    }
    Outcome::read(&file).ok_or_else(|| "the row left no outcome".to_owned())
}

/// The line that a table has room for: what a panic said, or else the first one.
fn reason(said: &str) -> String {
    let mut lines = said.lines();
    let panicked = lines.by_ref().find(|line| line.contains(" panicked at ")).and_then(|_| lines.next());
    panicked.or_else(|| said.lines().next()).unwrap_or_default().chars().take(REASON).collect()
}

/// Prints the rows that were run.
fn print(rows: &[Row], outcomes: &HashMap<&'static str, Result<Outcome, String>>) {
    let run = rows.iter().filter_map(|row| Some((row.name, outcomes.get(row.name)?)));
    for (number, (name, outcome)) in run.enumerate() {
        if number == 0 {
            println!("\n{:<20} {:>8} {:>8} {:>10}  outcome", "row", "init", "release", "artefact");
        }
        match outcome {
            Ok(Outcome { words, to_init, to_release, artefact }) => println!(
                "{name:<20} {:>6.1} s {:>6.1} s {:>6} KiB  {words}",
                to_init.as_secs_f32(),
                to_release.as_secs_f32(),
                artefact / 1024,
            ),
            Err(reason) => println!("{name:<20} {:>8} {:>8} {:>10}  FAILED: {reason}", "-", "-", "-"),
        }
    }
}

/// Passes an outcome from the program in the namespaces to the one outside.
impl Outcome {
    fn write(&self, file: &Path) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
        let (init, release) = (micros(self.to_init), micros(self.to_release));
        fs::write(file, json!([self.words, init, release, self.artefact]).to_string()).unwrap();
    }

    fn read(file: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let time = |index: usize| value[index].as_u64().map(Duration::from_micros);
        Some(Self {
            words: value[0].as_str()?.to_owned(),
            to_init: time(1)?,
            to_release: time(2)?,
            artefact: value[3].as_u64()?,
        })
    }
}
