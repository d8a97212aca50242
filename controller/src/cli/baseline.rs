//! `sekisho baseline ...`.

use std::{collections::BTreeMap, fmt::Write};

use clap::{Args, Subcommand};
use sekisho_domain::baseline::Counts;
use sekisho_model::{Cell, table};

use super::{
    Exit,
    client::Client,
    connection::Global,
    diff::{exit, flows, headline, or},
    output::{self, FormatArg, Rows, time},
};
use crate::service::{BaselineDetail, BaselineRequest, BaselineSummary, DEFAULT_BASELINE};

#[derive(Debug, Subcommand)]
pub(super) enum BaselineCommand {
    /// Accept a sweep as the intended state.
    #[command(
        after_help = "The baseline keeps the outcome of each flow and outlives the sweep. What the sweep does not know (failed, missed) or nobody intends (wrong) it does not know either.\n\nExit status: 3 the sweep is not complete, and so does the baseline not know everything.\n\nExamples:\n  sekisho baseline set\n  sekisho baseline set --sweep 17 --name before-move --note 'as agreed in CHG-1234'\n  sekisho diff baseline latest"
    )]
    Set(SetArgs),
    /// Show a baseline: how much of each vantage is to be open and blocked.
    #[command(
        after_help = "Examples:\n  sekisho baseline show\n  sekisho baseline show --name before-move --format csv"
    )]
    Show(ShowArgs),
    /// List every baseline.
    #[command(after_help = "Examples:\n  sekisho baseline list\n  sekisho baseline list --format json")]
    List(FormatArg),
    /// Remove a baseline; its sweep stays.
    #[command(after_help = "Examples:\n  sekisho baseline clear --name before-move")]
    Clear(ClearArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// Name of the baseline; one of that name is replaced.
    #[arg(long, default_value = DEFAULT_BASELINE, value_name = "NAME")]
    name: String,
    /// Why it is as it should be.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    note: String,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of the baseline.
    #[arg(long, default_value = DEFAULT_BASELINE, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct ClearArgs {
    /// Name of the baseline.
    #[arg(long, default_value = DEFAULT_BASELINE, value_name = "NAME")]
    name: String,
}

pub(super) async fn run(command: BaselineCommand, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    match command {
        BaselineCommand::Set(args) => return set(&client, args).await,
        BaselineCommand::Show(args) => {
            let doing = format!("show baseline {}", args.name);
            let found: BaselineDetail = client.get(&doing, &["baselines", &args.name], &[]).await?;
            output::print(args.format.format, &found, || rows(&found.cells), || report(&found))?;
        }
        BaselineCommand::List(FormatArg { format }) => {
            let all: Vec<BaselineSummary> = client.get("list the baselines", &["baselines"], &[]).await?;
            let none = "no baseline; accept a sweep as one with: sekisho baseline set";
            let rows = |show_time: fn(jiff::Timestamp) -> String| summaries(&all, show_time);
            output::print(format, &all, || rows(|at| at.to_string()), || output::columns(&rows(time), none))?;
        }
        BaselineCommand::Clear(args) => {
            let doing = format!("remove baseline {}", args.name);
            let path = ["baselines", &args.name, "clear"];
            let removed: BaselineSummary = client.post(&doing, &path, &serde_json::json!({})).await?;
            let (name, sweep) = (table::plain(&removed.name), removed.sweep.id);
            output::text(&format!("baseline {name} is removed: it was sweep {sweep}\n"))?;
        }
    }
    Ok(Exit::Fine)
}

async fn set(client: &Client, args: SetArgs) -> anyhow::Result<Exit> {
    let doing = format!("accept sweep {} as baseline {}", args.sweep, args.name);
    let request = BaselineRequest { sweep: args.sweep, name: args.name, note: args.note };
    let set: BaselineDetail = client.post(&doing, &["baselines"], &request).await?;
    output::text(&format!("{}\n", sentence(&set)))?;
    Ok(exit(&[&set.summary.sweep]))
}

/// `baseline default is sweep 17: 90 flows open, 18 blocked, 0 not known`
fn sentence(baseline: &BaselineDetail) -> String {
    let Counts { open, blocked, not_known } = baseline.counts;
    let why = match not_known {
        0 => String::new(),
        _ => format!(" ({})", unknown(&baseline.cells)),
    };
    let name = table::plain(&baseline.summary.name);
    let open = flows(open);
    format!(
        "baseline {name} is sweep {}: {open} open, {blocked} blocked, {not_known} not known{why}",
        baseline.summary.sweep.id
    )
}

/// `2 missed, 1 wrong`
fn unknown(cells: &[Cell]) -> String {
    let mut counts = BTreeMap::new();
    for cell in cells.iter().filter(|cell| sekisho_domain::baseline::intended(cell.outcome).is_none()) {
        *counts.entry(cell.outcome).or_insert(0_usize) += 1;
    }
    counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ")
}

fn report(found: &BaselineDetail) -> String {
    let BaselineSummary { sweep, note, actor, accepted_at, .. } = &found.summary;
    let mut out = format!("{}\n", sentence(found));
    _ = writeln!(out, "accepted {} by {}", time(*accepted_at), table::plain(actor));
    if !note.is_empty() {
        _ = writeln!(out, "note: {}", table::plain(note));
    }
    _ = writeln!(out, "{}\n", headline(sweep));
    let mut vantages: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
    for cell in &found.cells {
        vantages.entry(cell.vantage.as_str()).or_default().push(cell);
    }
    let row = |(vantage, cells): (&&str, &Vec<&Cell>)| {
        let Counts { open, blocked, not_known } = Counts::of(cells.iter().copied());
        let subnet = or(cells.first().and_then(|cell| cell.subnet), "-");
        vec![(*vantage).to_owned(), subnet, open.to_string(), blocked.to_string(), not_known.to_string()]
    };
    let rows = Rows {
        header: vec!["vantage", "subnet", "open", "blocked", "not known"],
        rows: vantages.iter().map(row).collect(),
    };
    out.push_str(&output::columns(&rows, "it has no flow"));
    out
}

fn rows(cells: &[Cell]) -> Rows {
    let row = |cell: &Cell| {
        vec![
            cell.vantage.clone(),
            or(cell.subnet, ""),
            cell.target.clone(),
            cell.address.to_string(),
            cell.service.name(),
            cell.outcome.to_string(),
            or(cell.by, ""),
        ]
    };
    Rows {
        header: vec!["vantage", "subnet", "target", "address", "service", "outcome", "by"],
        rows: cells.iter().map(row).collect(),
    }
}

fn summaries(all: &[BaselineSummary], show_time: fn(jiff::Timestamp) -> String) -> Rows {
    let row = |one: &BaselineSummary| {
        vec![
            one.name.clone(),
            one.sweep.id.to_string(),
            one.sweep.state.word().to_owned(),
            one.sweep.profile.clone(),
            show_time(one.accepted_at),
            one.actor.clone(),
            one.note.clone(),
        ]
    };
    Rows {
        header: vec!["name", "sweep", "state", "profile", "accepted_at", "actor", "note"],
        rows: all.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said() {
        let cell = |service: &str, outcome: &str| {
            serde_json::json!({
                "vantage": "vlan20", "subnet": "10.77.20.0/24", "target": "dc1", "address": "10.0.0.10",
                "service": service, "transport": "tcp", "need": "required", "port": 445, "outcome": outcome,
                "by": null, "rtt_us": null, "attempts": 0, "confirmed": false, "facts": {}, "observed_at": null,
            })
        };
        let cells = [
            ("smb", "open"),
            ("ldap", "filtered"),
            ("gc", "missed"),
            ("gc-ssl", "wrong"),
            ("ldaps", "missed"),
        ];
        let detail: BaselineDetail = serde_json::from_value(serde_json::json!({
            "name": "default", "note": "CHG-1234", "actor": "admin", "accepted_at": "2026-11-21T09:00:00Z",
            "open": 1, "blocked": 1, "not_known": 3, "cells": cells.map(|(service, outcome)| cell(service, outcome)),
            "sweep": {
                "id": 17, "state": "partial", "profile": "ports", "started_at": "2026-11-20T02:00:00Z",
                "finished_at": "2026-11-20T02:01:00Z", "planned": 5, "observed": 3, "missed": 2,
            },
        }))
        .unwrap();
        let expected = "\
baseline default is sweep 17: 1 flow open, 1 blocked, 3 not known (1 wrong, 2 missed)
accepted 2026-11-21 09:00:00Z by admin
note: CHG-1234
sweep 17 partial, profile ports, started 2026-11-20 02:00:00Z: 5 flows planned, 3 observed, 2 missed

VANTAGE  SUBNET         OPEN  BLOCKED  NOT KNOWN
vlan20   10.77.20.0/24  1     1        3
";
        assert_eq!(report(&detail), expected);
        let rows = rows(&detail.cells);
        assert!(rows.rows.iter().all(|row| row.len() == rows.header.len()));
        let summaries = summaries(&[detail.summary], time);
        assert_eq!(summaries.rows[0].len(), summaries.header.len());
    }
}
