//! `sekisho-lab`: the lab from the command line.

fn main() -> std::process::ExitCode {
    sekisho_lab::cli::main()
}
