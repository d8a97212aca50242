//! `sekisho diff`.

use std::{collections::BTreeMap, fmt::Write};

use anyhow::bail;
use clap::{Args, builder::PossibleValuesParser};
use sekisho_domain::compare::{Change, Contrast, Difference, Kind};
use sekisho_model::{Outcome, SweepState, SweepSummary, table::plain};

use super::{
    Exit,
    client::Client,
    connection::Global,
    output::{self, FormatArg},
    table::{Column, address, flag, text, word},
    time,
};
use crate::service::{Reference, SweepDiff, TimeDiff, VantageDiff};

/// Compare two sweeps, or two vantages in one sweep.
#[derive(Debug, Args)]
#[command(
    override_usage = "sekisho diff [OPTIONS] [FROM [TO]]\n       sekisho diff [OPTIONS] --vantage A --vantage B [SWEEP]",
    after_help = "Kinds of changes between sweeps:\n  regression  was open, is blocked, and no policy denies it\n  exposure    was blocked, is open, and a policy denies it\n  fix         was blocked, is open\n  closure     was open, is blocked, as a policy wants it\n  shift       blocked before and after, in another way\n  new, gone   the first, the second sweep has no such flow\n  untested    failed, missed or not asked for in one of the sweeps: nothing can be said\n\nExit status: 2 a change of a kind that --fail-on names, 3 one of the sweeps is not complete, or of times: something was untested at one of them.\n\nExamples:\n  sekisho diff\n  sekisho diff 16 17 --format csv\n  sekisho diff \"2026-11-20 02:00\" now\n  sekisho diff baseline latest --fail-on regression,exposure\n  sekisho diff latest~1 latest --fail-on regression,exposure\n  sekisho diff --vantage vlan10 --vantage vlan20 latest"
)]
pub(super) struct DiffArgs {
    /// The sweeps: numbers, latest, or latest~1. The first may be baseline or baseline:NAME. Or two times:
    /// "2026-11-20 02:00", 2026-11-20 (its end), now. Without them the newest two sweeps; with --vantage one sweep.
    #[arg(value_name = "SWEEP", num_args = 0..=2, value_parser = reference, allow_negative_numbers = true)]
    sweeps: Vec<String>,
    /// Compare this vantage with another in one sweep; give it twice.
    #[arg(long, value_name = "V")]
    vantage: Vec<String>,
    /// End with 2 where there is a change of one of these kinds.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', conflicts_with = "vantage", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::word)))]
    fail_on: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// A sweep, a baseline, or a time.
fn reference(text: &str) -> Result<String, String> {
    if let Ok(reference) = text.parse::<Reference>() {
        return Ok(reference.to_string());
    }
    let bad = "use a number such as 17, latest, latest~1, baseline, baseline:NAME, or a time such as \"2026-11-20 02:00\"";
    time::parse(text).map(|at| at.to_string()).map_err(|_| bad.to_owned())
}

pub(super) async fn run(args: DiffArgs, global: &Global) -> anyhow::Result<Exit> {
    match (args.vantage.as_slice(), args.sweeps.as_slice()) {
        ([], []) => sweeps(&args, "latest~1", "latest", global).await,
        ([], [from]) => sweeps(&args, from, "latest", global).await,
        ([], [from, to, ..]) => sweeps(&args, from, to, global).await,
        ([from, to], []) => vantages(&args, "latest", [from, to], global).await,
        ([from, to], [sweep]) => vantages(&args, sweep, [from, to], global).await,
        ([_, _], _) => {
            bail!("two vantages are compared in one sweep: name one sweep, or none for the latest")
        }
        (_, _) => bail!("--vantage is given twice: sekisho diff --vantage A --vantage B"),
    }
}

async fn sweeps(args: &DiffArgs, from: &str, to: &str, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let is_time = |text: &str| matches!(text.parse(), Ok(Reference::Time(_)));
    match (is_time(from), is_time(to)) {
        (true, true) => return times(&client, args, from, to).await,
        (false, false) => {}
        (_, _) => bail!("a time is compared with a time: sekisho diff \"2026-11-20 02:00\" now"),
    }
    let doing = format!("compare sweeps {from} and {to}");
    let diff: SweepDiff = client.get(&doing, &["diff"], &[("from", from), ("to", to)]).await?;
    output::print(args.format.format, &diff, (CHANGES, &diff.difference.changes), || report(&diff))?;
    if fails(args, &diff.difference) {
        return Ok(Exit::Found);
    }
    Ok(exit(&[&diff.from_sweep, &diff.to_sweep]))
}

async fn times(client: &Client, args: &DiffArgs, from: &str, to: &str) -> anyhow::Result<Exit> {
    let doing = format!("compare what was known at {from} and at {to}");
    let diff: TimeDiff = client.get(&doing, &["diff"], &[("from", from), ("to", to)]).await?;
    output::print(args.format.format, &diff, (CHANGES, &diff.difference.changes), || time_report(&diff))?;
    if fails(args, &diff.difference) {
        return Ok(Exit::Found);
    }
    let is_untested = diff.difference.changes.iter().any(|change| change.kind == Kind::Untested);
    Ok(if is_untested { Exit::Incomplete } else { Exit::Fine })
}

/// Whether there is a change of a kind that `--fail-on` names.
fn fails(args: &DiffArgs, difference: &Difference) -> bool {
    let is_named = |change: &Change| args.fail_on.iter().any(|kind| kind == change.kind.word());
    difference.changes.iter().any(is_named)
}

async fn vantages(
    args: &DiffArgs,
    sweep: &str,
    [from, to]: [&String; 2],
    global: &Global,
) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let doing = format!("compare vantages {from} and {to} in sweep {sweep}");
    let query = [("sweep", sweep), ("from", from.as_str()), ("to", to.as_str())];
    let diff: VantageDiff = client.get(&doing, &["diff", "vantages"], &query).await?;
    let rows = (CONTRASTS, &diff.contrasts.changes);
    output::print(args.format.format, &diff, rows, || vantage_report(&diff))?;
    Ok(exit(&[&diff.sweep]))
}

/// Whether every flow of the sweeps is decided and tested.
pub(super) fn exit(sweeps: &[&SweepSummary]) -> Exit {
    let is_complete = |sweep: &&SweepSummary| sweep.state == SweepState::Complete;
    if sweeps.iter().all(is_complete) { Exit::Fine } else { Exit::Incomplete }
}

/// Changes between sweeps, as rows.
const CHANGES: &[Column<Change>] = &[
    text("kind", |change| word(Some(change.kind))),
    text("vantage", |change| Some(change.vantage.clone())),
    text("target", |change| Some(change.target.clone())),
    address("address", |change| word(Some(change.address))),
    text("service", |change| Some(change.service.name())),
    text("from", |change| word(change.from)),
    text("to", |change| word(change.to)),
    address("by", |change| word(change.by)),
    text("expected", |change| word(change.expected)),
    flag("confirmed", |change| Some(change.confirmed)),
];

/// Differences between vantages, as rows.
const CONTRASTS: &[Column<Contrast>] = &[
    text("kind", |change| word(Some(change.kind))),
    text("target", |change| Some(change.target.clone())),
    address("address", |change| word(Some(change.address))),
    text("service", |change| Some(change.service.name())),
    text("from", |change| word(change.from)),
    text("to", |change| word(change.to)),
    address("from_by", |change| word(change.from_by)),
    address("to_by", |change| word(change.to_by)),
];

fn report(diff: &SweepDiff) -> String {
    let mut out = String::new();
    if let Some(name) = &diff.baseline {
        _ = writeln!(out, "baseline {}, which is:", plain(name));
    }
    for (word, sweep) in [("from", &diff.from_sweep), ("to  ", &diff.to_sweep)] {
        _ = writeln!(out, "{word} {}", headline(sweep));
    }
    let (from, to) = (format!("sweep {}", diff.from), format!("sweep {}", diff.to));
    draw(&mut out, &diff.difference, [&from, &to]);
    out
}

fn time_report(diff: &TimeDiff) -> String {
    let (from, to) = (output::time(diff.from), output::time(diff.to));
    let mut out = format!("from what was known at {from}\nto   what was known at {to}\n");
    draw(&mut out, &diff.difference, [&from, &to]);
    out
}

/// What differs between two sides of these names.
fn draw(out: &mut String, difference: &Difference, sides: [&str; 2]) {
    let (untested, changed): (Vec<Change>, Vec<Change>) =
        difference.changes.iter().cloned().partition(|change| change.kind == Kind::Untested);
    out.push('\n');
    out.push_str(&output::columns(CHANGES, &changed, "no change of any tested flow"));
    for ((vantage, why), count) in reasons(sides, &untested) {
        _ = writeln!(out, "untested: {}", plain(&format!("{vantage}: {} {why}", flows(count))));
    }
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for change in &difference.changes {
        *counts.entry(change.kind).or_default() += 1;
    }
    let mut words: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    words.push(format!("{} unchanged", difference.unchanged));
    _ = writeln!(out, "\n{}", words.join(", "));
}

/// How many flows of each vantage are untested, and why.
fn reasons([from, to]: [&str; 2], untested: &[Change]) -> BTreeMap<(String, String), usize> {
    let mut reasons = BTreeMap::new();
    for change in untested {
        let why =
            [(change.from, from), (change.to, to)].into_iter().find_map(|(outcome, side)| match outcome {
                Some(Outcome::Missed) => Some(format!("missed in {side}")),
                Some(Outcome::Failed) => Some(format!("could not be tested in {side}")),
                None => Some(format!("not decided in {side}, or not asked of it")),
                Some(_) => None,
            });
        *reasons.entry((change.vantage.clone(), why.unwrap_or_default())).or_default() += 1;
    }
    reasons
}

fn vantage_report(diff: &VantageDiff) -> String {
    let alike = flows(diff.contrasts.unchanged);
    format!(
        "{}\n\n{}\nfirst {}, second {}; alike: {alike}\n",
        headline(&diff.sweep),
        output::columns(CONTRASTS, &diff.contrasts.changes, "no difference"),
        plain(&diff.from),
        plain(&diff.to),
    )
}

/// `sweep 17 complete, profile ports, started ...: 108 flows planned, 108 observed, 0 missed`.
pub(super) fn headline(sweep: &SweepSummary) -> String {
    let SweepSummary { id, state, profile, started_at, observed, missed, .. } = sweep;
    format!(
        "sweep {id} {}, profile {}, started {}: {} planned, {observed} observed, {missed} missed",
        state.word(),
        plain(profile),
        output::time(*started_at),
        sweep.planned_words(),
    )
}

pub(super) fn flows(count: usize) -> String {
    format!("{count} flow{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff() -> SweepDiff {
        let sweep = |id, state| {
            serde_json::json!({
                "id": id, "state": state, "profile": "ports", "started_at": "2026-11-20T02:00:00Z",
                "finished_at": null, "planned": 3, "observed": 2, "missed": 1,
            })
        };
        let change = |service, from: Option<&str>, to, kind| {
            serde_json::json!({
                "vantage": "vlan20", "target": "dc1", "address": "10.0.0.10", "service": service, "from": from,
                "to": to, "kind": kind, "expected": null, "by": null, "confirmed": true,
            })
        };
        serde_json::from_value(serde_json::json!({
            "from": 1, "to": 2, "unchanged": 7,
            "from_sweep": sweep(1, "complete"), "to_sweep": sweep(2, "partial"),
            "changes": [
                change("smb", Some("open"), "filtered", "regression"),
                change("ldap", Some("open"), "missed", "untested"),
                change("gc", Some("open"), "missed", "untested"),
                change("ldaps", None, "open", "untested"),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_report_names_changes_and_counts_what_is_untested() {
        let text = report(&diff());
        for line in [
            "from sweep 1 complete, profile ports",
            "regression  vlan20   dc1     10.0.0.10  smb      open  filtered",
            "untested: vlan20: 2 flows missed in sweep 2",
            "untested: vlan20: 1 flow not decided in sweep 1, or not asked of it",
            "1 regression, 3 untested, 7 unchanged",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("ldap"), "what is untested is counted:\n{text}");
    }

    #[test]
    fn csv_leaves_empty_what_is_not_there() {
        let csv = output::csv(CHANGES, &diff().difference.changes);
        assert_eq!(csv.lines().count(), 5);
        assert_eq!(csv.lines().last().unwrap(), "untested,vlan20,dc1,10.0.0.10,ldaps,,open,,,true");
    }

    #[test]
    fn a_sweep_that_is_not_complete_is_told() {
        let diff = diff();
        assert_eq!(exit(&[&diff.from_sweep]), Exit::Fine);
        assert_eq!(exit(&[&diff.from_sweep, &diff.to_sweep]), Exit::Incomplete);
    }
}
