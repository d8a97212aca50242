//! The command line: the controller itself, and the operators' commands, which talk to its API.

mod alert;
mod apply;
mod baseline;
mod change_request;
mod client;
mod connection;
mod diff;
mod duration;
mod export;
mod gaps;
mod history;
mod matrix;
mod output;
mod policy;
mod probe;
mod readiness;
mod schedule;
mod serve;
mod sweep;
mod table;
mod time;
mod watch;

#[cfg(test)]
mod tests;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use connection::Global;

/// What the caller learns from a command's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Fine = 0,
    /// The command was wrong, or failed.
    Failure = 1,
    /// Gaps, exposures, changes that must not be, or computers that cannot join.
    Found = 2,
    /// The sweep has missed flows or checks, or what was not tested decides.
    Incomplete = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::Found => Self::from(2),
            Exit::Incomplete => Self::from(3),
        }
    }
}

/// Which subnets reach the domain controllers, and who on the path says no.
#[derive(Debug, Parser)]
#[command(
    name = "sekisho",
    version,
    max_term_width = 100,
    after_help = "Every command has examples in its --help.\n\n\
        Exit status: 0 fine, 1 usage or failure, 2 gaps, exposures, not ready, changes that --fail-on names,\n\
        or what --check finds, 3 incomplete (missed flows or checks).\n\n\
        Begin with:\n  sekisho serve --data-dir /var/lib/sekisho\n  \
        export SEKISHO_DATA_DIR=/var/lib/sekisho\n  sekisho apply inventory.toml\n  \
        sekisho probe token --vantage vlan20\n  sekisho sweep run --wait"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a controller.
    Serve(serve::ServeArgs),
    /// Make the inventory what a file says.
    Apply(apply::ApplyArgs),
    /// The agents in the subnets: let one in, list them, shut one out.
    #[command(subcommand)]
    Probe(probe::ProbeCommand),
    /// Test flows: start a sweep, watch it, cancel it, list them.
    #[command(subcommand)]
    Sweep(sweep::SweepCommand),
    /// Sweeps by the clock: what runs when, what became of it, run now, pause.
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Show a sweep: vantages against services, what blocks, and the checks of the vantages.
    Matrix(matrix::MatrixArgs),
    /// Compare two sweeps, or two vantages in one sweep.
    Diff(diff::DiffArgs),
    /// The intended state: accept a sweep as it, show it, list, remove.
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// Show where reality is not what the policies of the inventory want, and why.
    Gaps(gaps::GapsArgs),
    /// Policies: draft them from what was open.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Show since when a flow is as it is, and what it was before.
    History(history::HistoryArgs),
    /// Write results as files for other programs: CSV, JSON, Parquet.
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Tell whether computers can join from a vantage, what Windows will answer, why, and what to do.
    Readiness(readiness::ReadinessArgs),
    /// What sweeps found that somebody has to know: list it, and try the channels that it is told to.
    #[command(subcommand)]
    Alert(alert::AlertCommand),
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    // It is installed already only if somebody embeds this; then theirs is as good.
    _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed terminal is no reason to fail differently.
            _ = error.print();
            return if error.use_stderr() { Exit::Failure.into() } else { Exit::Fine.into() };
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        // Whoever reads has read enough, as `head` does.
        Err(error) if output::is_broken_pipe(&error) => Exit::Fine.into(),
        Err(error) => {
            // A message may repeat what a file or a stranger said.
            let text = sekisho_model::table::plain(&format!("error: {error:#}"));
            _ = writeln!(std::io::stderr(), "{text}");
            Exit::Failure.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let global = cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(args, &global),
        Command::Apply(args) => block_on(apply::run(args, &global)),
        Command::Probe(command) => block_on(probe::run(command, &global)),
        Command::Sweep(command) => block_on(sweep::run(command, &global)),
        Command::Schedule(command) => block_on(schedule::run(command, &global)),
        Command::Matrix(args) => block_on(matrix::run(args, &global)),
        Command::Diff(args) => block_on(diff::run(args, &global)),
        Command::Baseline(command) => block_on(baseline::run(command, &global)),
        Command::Gaps(args) => block_on(gaps::run(args, &global)),
        Command::Policy(command) => block_on(policy::run(command, &global)),
        Command::History(args) => block_on(history::run(args, &global)),
        Command::Export(command) => block_on(export::run(command, &global)),
        Command::Readiness(args) => block_on(readiness::run(args, &global)),
        Command::Alert(command) => block_on(alert::run(command, &global)),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}
