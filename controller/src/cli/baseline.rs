//! `sekisho baseline ...`.

use std::{collections::BTreeMap, fmt::Write};

use clap::{Args, Subcommand};
use sekisho_domain::baseline::Counts;
use sekisho_model::{Cell, table};

use super::{
    Exit,
    client::Client,
    connection::Global,
    diff::{exit, flows, headline},
    output::{self, FormatArg, time},
    table::{self as sheet, Column, address, integer, text, word},
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
            output::print(args.format.format, &found, (FLOWS, &found.cells), || report(&found))?;
        }
        BaselineCommand::List(FormatArg { format }) => {
            let all: Vec<BaselineSummary> = client.get("list the baselines", &["baselines"], &[]).await?;
            let none = "no baseline; accept a sweep as one with: sekisho baseline set";
            output::print(format, &all, (BASELINES, &all), || output::columns(BASELINES, &all, none))?;
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
    let row = |(vantage, cells): (&str, Vec<&Cell>)| OfVantage {
        vantage: vantage.to_owned(),
        subnet: cells.first().and_then(|cell| cell.subnet),
        counts: Counts::of(cells),
    };
    out.push_str(&output::columns(VANTAGES, vantages.into_iter().map(row), "it has no flow"));
    out
}

/// What a baseline knows of a vantage.
struct OfVantage {
    vantage: String,
    subnet: Option<ipnet::IpNet>,
    counts: Counts,
}

const VANTAGES: &[Column<OfVantage>] = &[
    text("vantage", |row| Some(row.vantage.clone())),
    text("subnet", |row| word(row.subnet)),
    integer("open", |row| row.counts.open.try_into().ok()),
    integer("blocked", |row| row.counts.blocked.try_into().ok()),
    integer("not known", |row| row.counts.not_known.try_into().ok()),
];

const FLOWS: &[Column<Cell>] = &[
    text("vantage", |cell| Some(cell.vantage.clone())),
    text("subnet", |cell| word(cell.subnet)),
    text("target", |cell| Some(cell.target.clone())),
    address("address", |cell| word(Some(cell.address))),
    text("service", |cell| Some(cell.service.name())),
    text("outcome", |cell| word(Some(cell.outcome))),
    address("by", |cell| word(cell.by)),
];

const BASELINES: &[Column<BaselineSummary>] = &[
    text("name", |one| Some(one.name.clone())),
    integer("sweep", |one| Some(one.sweep.id)),
    text("state", |one| word(Some(one.sweep.state.word()))),
    text("profile", |one| Some(one.sweep.profile.clone())),
    sheet::time("accepted_at", |one| Some(one.accepted_at)),
    text("actor", |one| Some(one.actor.clone())),
    text("note", |one| Some(one.note.clone())),
];

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
        let csv = output::csv(BASELINES, [detail.summary]);
        assert!(csv.ends_with("\ndefault,17,partial,ports,2026-11-21T09:00:00Z,admin,CHG-1234\n"), "{csv}");
    }
}
