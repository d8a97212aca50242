//! `sekisho matrix`.

use clap::Args;
use sekisho_model::{Cell, Check, Facts, Matrix, Outcome, SweepState, SweepSummary, table::render};

use super::{
    Exit,
    client::{Client, ClientError},
    connection::Global,
    output::{self, Format, FormatArg},
    table::{Column, address, flag, integer, json, text, time, word},
};

/// Show a sweep: vantages against services, what blocks, and the checks of the vantages.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status 3: the sweep ended with missed flows or checks; with --at, something is shown as missed.\n\nExamples:\n  sekisho matrix\n  sekisho matrix --sweep 17 --format csv\n  sekisho matrix --site tokyo\n  sekisho matrix --at \"2026-11-20 02:00\"\n  sekisho matrix --checks\n  sekisho matrix --sweep latest~1 --format json | jq '.cells[] | select(.outcome != \"open\")'"
)]
pub(super) struct MatrixArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// What was known at a time, from the spans of the flows: "2026-11-20 02:00" or 2026-11-20 (its end) in the time zone of
    /// this machine, 2026-11-20T02:00:00Z, or now.
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
    /// Whether nothing is left out.
    pub(super) const fn is_everywhere(&self) -> bool {
        self.site.is_none() && self.vantage.is_none()
    }

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
    let rows = || of_sweep(&matrix, &matrix.checks);
    let none = "no checks: the profile of the sweep has none, or none is done yet";
    output::print(format, &matrix.checks, (CHECKS, rows()), || output::columns(CHECKS, rows(), none))?;
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
    let rows = of_sweep(matrix, &matrix.cells);
    output::print(format, matrix, (FLOWS, rows), || render(matrix, &output::style(global)))?;
    Ok(matrix.sweep.as_ref().map_or_else(|| exit_at(&matrix.cells), exit))
}

/// Whether nobody looked, of what was known at a time.
fn exit_at(cells: &[Cell]) -> Exit {
    let is_missed = cells.iter().any(|cell| cell.outcome == Outcome::Missed);
    if is_missed { Exit::Incomplete } else { Exit::Fine }
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

/// A flow or a check, and the sweep that it is of.
pub(super) struct OfSweep<T> {
    pub(super) sweep: Option<i64>,
    pub(super) item: T,
}

/// The flows of a matrix, as rows.
pub(super) const FLOWS: &[Column<OfSweep<Cell>>] = &[
    integer("sweep", |row| row.sweep),
    text("vantage", |row| Some(row.item.vantage.clone())),
    address("subnet", |row| word(row.item.subnet)),
    text("target", |row| Some(row.item.target.clone())),
    address("address", |row| word(Some(row.item.address))),
    text("service", |row| Some(row.item.service.name())),
    text("transport", |row| word(Some(row.item.transport))),
    integer("port", |row| row.item.port.map(i64::from)),
    text("outcome", |row| word(Some(row.item.outcome))),
    address("by", |row| word(row.item.by)),
    integer("rtt_us", |row| row.item.rtt_us.map(i64::from)),
    integer("attempts", |row| Some(row.item.attempts.into())),
    flag("confirmed", |row| Some(row.item.confirmed)),
    json("facts", |row| facts(&row.item.facts)),
    time("observed_at", |row| row.item.observed_at),
    text("need", |row| word(Some(row.item.need))),
];

/// The checks of a matrix, as rows.
pub(super) const CHECKS: &[Column<OfSweep<Check>>] = &[
    integer("sweep", |row| row.sweep),
    text("vantage", |row| Some(row.item.vantage.clone())),
    text("domain", |row| Some(row.item.domain.clone())),
    text("target", |row| row.item.target.clone()),
    address("address", |row| word(row.item.address)),
    text("check", |row| word(Some(row.item.check))),
    text("status", |row| word(Some(row.item.status))),
    json("facts", |row| facts(&row.item.facts)),
    time("observed_at", |row| row.item.observed_at),
];

fn of_sweep<T: Clone>(matrix: &Matrix, items: &[T]) -> impl Iterator<Item = OfSweep<T>> {
    let sweep = matrix.sweep.as_ref().map(|sweep| sweep.id);
    items.iter().map(move |item| OfSweep { sweep, item: item.clone() })
}

fn facts(facts: &Facts) -> Option<serde_json::Value> {
    serde_json::to_value(facts).ok()
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
        let flows = output::csv(FLOWS, of_sweep(&matrix, &matrix.cells));
        assert_eq!(
            flows,
            "sweep,vantage,subnet,target,address,service,transport,port,outcome,by,rtt_us,attempts,confirmed,facts,observed_at,need\n\
             ,vlan20,,dc1,10.0.0.10,rpc-lsa,tcp,49671,open,,900,1,false,port=49671,2026-11-20T02:00:00Z,recommended\n"
        );
        let checks = output::csv(CHECKS, of_sweep(&matrix, &matrix.checks));
        assert_eq!(
            checks,
            "sweep,vantage,domain,target,address,check,status,facts,observed_at\n\
             ,vlan20,corp.example,,,computer-account,warning,computer=PC8; reason=exists,2026-11-20T02:00:00Z\n"
        );
    }
}
