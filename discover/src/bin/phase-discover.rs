//! The program `phase-discover`; everything is in the library, so that `phase discover` shares it.

fn main() -> std::process::ExitCode {
    discover::cli::main()
}
