//! `phase-verify`: what a machine would say about a release, said on any Linux.
//!
//! The checks are those of the library, called as `init` calls them; what this adds is files, a clock, and words. A disk
//! or a directory that is audited is hostile: its names are read as what they should be or shown escaped, what is no
//! regular file is not opened, and nothing is read without a limit or held in memory as a whole.
//!
//! Exit status: 0 everything that was checked is good; 1 something is refused; 2 nothing was checked, since the command
//! line cannot be carried out or a file that it names cannot be read.

mod audit;
mod blobs;
mod cli;
mod files;
mod report;
mod text;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    match told(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("phase-verify: {error}");
            ExitCode::from(2)
        }
    }
}

/// Checks, says what came of it, and returns whether all is good.
fn told(args: &cli::Args) -> Result<bool, Box<dyn std::error::Error>> {
    let report = audit::run(args)?;
    let text = if args.json { report.to_json()? } else { text::of(&report) };
    // A reader that is gone has seen what it wanted; the exit status says the rest.
    let _gone = std::io::stdout().write_all(text.as_bytes());
    Ok(report.good)
}
