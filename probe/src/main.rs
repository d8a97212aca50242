//! The probe.

use std::process::ExitCode;

fn main() -> ExitCode {
    sekisho_probe::cli::main()
}
