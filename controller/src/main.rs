//! The program `sekisho`: the controller, and the commands of its operators.

fn main() -> std::process::ExitCode {
    sekisho::cli::main()
}
