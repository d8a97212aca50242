//! `sekisho matrix`.

use clap::Args;
use sekisho_model::{Cell, Matrix, SweepState, SweepSummary, table};

use super::{
    Exit,
    client::Client,
    connection::Global,
    output::{self, Format, FormatArg, Rows},
};

/// Show a sweep: vantages against services, and what blocks.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status 3: the sweep ended with missed flows.\n\nExamples:\n  sekisho matrix\n  sekisho matrix --sweep 17 --format csv\n  sekisho matrix --sweep latest~1 --format json | jq '.cells[] | select(.outcome != \"open\")'"
)]
pub(super) struct MatrixArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(args: MatrixArgs, global: &Global) -> anyhow::Result<Exit> {
    show(&Client::new(global)?, &args.sweep, args.format.format, global).await
}

/// Prints the matrix of a sweep.
pub(super) async fn show(
    client: &Client,
    sweep: &str,
    format: Format,
    global: &Global,
) -> anyhow::Result<Exit> {
    let doing = format!("show the matrix of sweep {sweep}");
    let matrix: Matrix = client.get(&doing, &["matrix"], &[("sweep", sweep)]).await?;
    output::print(format, &matrix, || rows(&matrix), || table::render(&matrix, &output::style(global)))?;
    Ok(matrix.sweep.as_ref().map_or(Exit::Fine, exit))
}

/// Whether a sweep that ended left flows untested.
pub(super) fn exit(sweep: &SweepSummary) -> Exit {
    match sweep.state {
        SweepState::Running => Exit::Fine,
        SweepState::Complete | SweepState::Partial | SweepState::Cancelled if sweep.missed > 0 => {
            Exit::Incomplete
        }
        SweepState::Partial => Exit::Incomplete,
        SweepState::Complete | SweepState::Cancelled => Exit::Fine,
    }
}

fn rows(matrix: &Matrix) -> Rows {
    let sweep = matrix.sweep.as_ref().map(|sweep| sweep.id.to_string()).unwrap_or_default();
    Rows {
        header: vec![
            "sweep",
            "vantage",
            "subnet",
            "target",
            "address",
            "service",
            "transport",
            "port",
            "outcome",
            "by",
            "rtt_us",
            "attempts",
            "confirmed",
            "facts",
            "observed_at",
        ],
        rows: matrix.cells.iter().map(|cell| row(&sweep, cell)).collect(),
    }
}

fn row(sweep: &str, cell: &Cell) -> Vec<String> {
    fn maybe<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let facts: Vec<String> = cell.facts.iter().map(|(name, fact)| format!("{name}={fact}")).collect();
    vec![
        sweep.to_owned(),
        cell.vantage.clone(),
        maybe(cell.subnet),
        cell.target.clone(),
        cell.address.to_string(),
        cell.service.name(),
        cell.transport.to_string(),
        maybe(cell.port),
        cell.outcome.to_string(),
        maybe(cell.by),
        maybe(cell.rtt_us),
        cell.attempts.to_string(),
        cell.confirmed.to_string(),
        facts.join("; "),
        maybe(cell.observed_at),
    ]
}
