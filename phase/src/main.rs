//! The program `phase`; everything is in the library, so that tests and other commands share it.

fn main() -> std::process::ExitCode {
    phase::cli::main()
}
