//! `sekisho matrix`.

use clap::Args;
use sekisho_model::{Cell, Check, Facts, Matrix, SweepState, SweepSummary, table};

use super::{
    Exit,
    client::{Client, ClientError},
    connection::Global,
    output::{self, Format, FormatArg, Rows},
};

/// Show a sweep: vantages against services, what blocks, and the checks of the vantages.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status 3: the sweep ended with missed flows or checks.\n\nExamples:\n  sekisho matrix\n  sekisho matrix --sweep 17 --format csv\n  sekisho matrix --site tokyo\n  sekisho matrix --at \"2026-11-20 02:00\"\n  sekisho matrix --checks\n  sekisho matrix --sweep latest~1 --format json | jq '.cells[] | select(.outcome != \"open\")'"
)]
pub(super) struct MatrixArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// What was known at a time, from the spans of the flows: "2026-11-20 02:00" or 2026-11-20 (its end) in the time zone of
    /// this machine, or 2026-11-20T02:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = super::time::parse, conflicts_with_all = ["sweep", "checks"])]
    at: Option<jiff::Timestamp>,
    /// With --at: a flow that was last seen longer before is shown as missed.
    #[arg(long, value_name = "DURATION", default_value = "36h", value_parser = super::duration::parse, requires = "at")]
    fresh: std::time::Duration,
    #[command(flatten)]
    place: PlaceArgs,
    /// Show the checks of the vantages, each in a row with all its facts, in place of the flows.
    #[arg(long)]
    checks: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(args: MatrixArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    if args.checks {
        return show_checks(&client, &args.sweep, &args.place, args.format.format).await;
    }
    let Some(at) = args.at else {
        return show(&client, &args.sweep, &args.place, args.format.format, global).await;
    };
    let (at, fresh) = (at.to_string(), format!("{}s", args.fresh.as_secs()));
    let query = [("at", at.as_str()), ("fresh", &fresh)];
    let doing = format!("show what was known at {at}");
    let matrix: Matrix = client.get(&doing, &["matrix"], &args.place.with(&query)).await?;
    print(&matrix, args.format.format, global)
}

async fn fetch(client: &Client, sweep: &str, place: &PlaceArgs) -> Result<Matrix, ClientError> {
    let doing = format!("show the matrix of sweep {sweep}");
    client.get(&doing, &["matrix"], &place.with(&[("sweep", sweep)])).await
}

/// Of which vantages.
#[derive(Debug, Default, Args)]
pub(super) struct PlaceArgs {
    /// Only vantages of this site.
    #[arg(long, value_name = "SITE")]
    pub(super) site: Option<String>,
    /// Only this vantage.
    #[arg(long, value_name = "V")]
    pub(super) vantage: Option<String>,
}

impl PlaceArgs {
    /// The query with what is named here.
    pub(super) fn with<'a>(&'a self, query: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [("site", &self.site), ("vantage", &self.vantage)];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        query.iter().copied().chain(own).collect()
    }
}

async fn show_checks(
    client: &Client,
    sweep: &str,
    place: &PlaceArgs,
    format: Format,
) -> anyhow::Result<Exit> {
    let matrix = fetch(client, sweep, place).await?;
    let rows = || check_rows(&matrix);
    let none = "no checks: the profile of the sweep has none, or none is done yet";
    output::print(format, &matrix.checks, rows, || output::columns(&rows(), none))?;
    Ok(matrix.sweep.as_ref().map_or(Exit::Fine, exit))
}

/// Prints the matrix of a sweep.
pub(super) async fn show(
    client: &Client,
    sweep: &str,
    place: &PlaceArgs,
    format: Format,
    global: &Global,
) -> anyhow::Result<Exit> {
    print(&fetch(client, sweep, place).await?, format, global)
}

fn print(matrix: &Matrix, format: Format, global: &Global) -> anyhow::Result<Exit> {
    output::print(format, matrix, || rows(matrix), || table::render(matrix, &output::style(global)))?;
    Ok(matrix.sweep.as_ref().map_or(Exit::Fine, exit))
}

/// Whether a sweep that ended left flows or checks undone.
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
            "need",
        ],
        rows: matrix.cells.iter().map(|cell| row(&sweep, cell)).collect(),
    }
}

fn row(sweep: &str, cell: &Cell) -> Vec<String> {
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
        facts(&cell.facts),
        maybe(cell.observed_at),
        cell.need.to_string(),
    ]
}

fn check_rows(matrix: &Matrix) -> Rows {
    let sweep = maybe(matrix.sweep.as_ref().map(|sweep| sweep.id));
    let row = |check: &Check| {
        vec![
            sweep.clone(),
            check.vantage.clone(),
            check.domain.clone(),
            maybe(check.target.as_ref()),
            maybe(check.address),
            check.check.to_string(),
            check.status.to_string(),
            facts(&check.facts),
            maybe(check.observed_at),
        ]
    };
    Rows {
        header: vec![
            "sweep",
            "vantage",
            "domain",
            "target",
            "address",
            "check",
            "status",
            "facts",
            "observed_at",
        ],
        rows: matrix.checks.iter().map(row).collect(),
    }
}

fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn facts(facts: &Facts) -> String {
    let facts: Vec<String> = facts.iter().map(|(name, fact)| format!("{name}={fact}")).collect();
    facts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_and_checks_are_rows_of_their_own() {
        let matrix = serde_json::json!({
            "cells": [{
                "vantage": "vlan20", "subnet": null, "target": "dc1", "address": "10.0.0.10", "service": "rpc-lsa",
                "transport": "tcp", "need": "recommended", "port": 49671, "outcome": "open", "by": null, "rtt_us": 900,
                "attempts": 1, "confirmed": false, "facts": { "port": 49671 }, "observed_at": "2026-11-20T02:00:00Z",
            }],
            "checks": [{
                "vantage": "vlan20", "domain": "corp.example", "target": null, "check": "computer-account",
                "status": "warning", "facts": { "computer": "PC8", "reason": "exists" },
                "observed_at": "2026-11-20T02:00:00Z",
            }],
        });
        let matrix: Matrix = serde_json::from_value(matrix).unwrap();
        for rows in [rows(&matrix), check_rows(&matrix)] {
            assert_eq!(rows.rows.len(), 1);
            assert_eq!(rows.header.len(), rows.rows[0].len());
        }
        let cell = &rows(&matrix).rows[0];
        assert_eq!((cell[7].as_str(), cell[15].as_str()), ("49671", "recommended"));
        let check = &check_rows(&matrix).rows[0];
        assert_eq!(check[5..8], ["computer-account", "warning", "computer=PC8; reason=exists"]);
    }
}
