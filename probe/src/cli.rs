//! The commands of `sekisho-probe`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod agent;
mod check;
mod credentials;
mod state;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand};

/// Tests which services of domain controllers this host can really reach.
#[derive(Debug, Parser)]
#[command(name = "sekisho-probe", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    sekisho-probe check corp.example\n  \
    sekisho-probe check dc1.corp.example --dns 10.0.0.10 --format json\n  \
    sekisho-probe enroll --controller https://sekisho.example:7443 --token sks1.… \\\n      \
        --state-dir /var/lib/sekisho-probe --allow 10.0.0.0/24\n  \
    sekisho-probe run --state-dir /var/lib/sekisho-probe")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Test a domain or hosts from here, without a controller
    Check(Box<check::Args>),
    /// Turn a token into this host's identity as a probe
    Enroll(agent::Enroll),
    /// Serve a controller as a probe
    Run(agent::Run),
    /// Show what is observed and no controller has committed yet
    #[command(
        after_help = "It also works while the agent runs. What is dropped is counted: what comes when the spool is full \
                            (200,000 observations or 128 MiB), and what is older than 35 days.\n\nExamples:\n  \
                            sekisho-probe spool --state-dir /var/lib/sekisho-probe\n  \
                            sekisho-probe spool --state-dir /var/lib/sekisho-probe --format json"
    )]
    Spool(state::State),
    /// List the jobs that this probe does by itself when no controller is there
    #[command(after_help = "Examples:\n  \
                            sekisho-probe plan --state-dir /var/lib/sekisho-probe\n  \
                            sekisho-probe plan --state-dir /var/lib/sekisho-probe --format json")]
    Plan(state::State),
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

impl Color {
    fn on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::from(error.use_stderr());
            // Nothing is left to do when even the message cannot be written.
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Command::Check(args) => check::run(*args),
        Command::Enroll(args) => agent::enroll(args),
        Command::Run(args) => agent::run(args),
        Command::Spool(args) => state::spool(&args),
        Command::Plan(args) => state::plan(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("sekisho-probe: {error:#}");
        ExitCode::from(1)
    })
}

/// The runtime of this process: one thread is enough for a few thousand sockets.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
