//! `sekisho export ...`: results as files for other programs.

mod destination;
mod gaps;
mod history;
mod matrix;

use clap::Subcommand;

pub(super) use destination::Destination;

use super::{Exit, change_request, connection::Global};

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// The flows of a sweep, or its checks: one row each.
    #[command(
        after_help = "Exit status 3: the sweep ended with missed flows or checks.\n\nExamples:\n  sekisho export matrix --format csv --output matrix.csv\n  sekisho export matrix --sweep 17 --format parquet --output sweep17.parquet\n  sekisho export matrix --checks --format csv --output checks.csv --force\n  sekisho export matrix --format ndjson | jq -c 'select(.outcome != \"open\")'"
    )]
    Matrix(matrix::MatrixArgs),
    /// The history of all flows, or of some: one row a span.
    #[command(
        after_help = "Examples:\n  sekisho export history --format parquet --output history.parquet\n  sekisho export history --site tokyo --service smb --since 2026-11-01 --format csv\n  sekisho export history --vantage vlan20 --target 10.77.1.10 --service ldap --format ndjson"
    )]
    History(history::HistoryArgs),
    /// The gaps and exposures of a sweep: one row each.
    #[command(
        after_help = "Exit status: 2 there are gaps or exposures, 3 there are none and the sweep is not complete.\n\nExamples:\n  sekisho export gaps --format csv --output gaps.csv\n  sekisho export gaps --sweep latest~1 --format json"
    )]
    Gaps(gaps::GapsArgs),
    /// The rules that close the gaps of a sweep: a ticket, a table, or input of Aerleon.
    ChangeRequest(change_request::ChangeRequestArgs),
}

pub(super) async fn run(command: ExportCommand, global: &Global) -> anyhow::Result<Exit> {
    match command {
        ExportCommand::Matrix(args) => args.to.whole(matrix::run(&args, global)).await,
        ExportCommand::History(args) => args.to.whole(history::run(&args, global)).await,
        ExportCommand::Gaps(args) => args.to.whole(gaps::run(&args, global)).await,
        ExportCommand::ChangeRequest(args) => change_request::run(args, global).await,
    }
}
