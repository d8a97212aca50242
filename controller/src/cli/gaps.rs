//! `sekisho gaps`.

use std::fmt::Write;

use clap::Args;
use sekisho_domain::{
    attribution::{Cause, Control, ControlKind, Group},
    gaps::{Gap, GapKind, Gaps},
};
use sekisho_model::table as drawn;

use super::{
    Exit,
    client::{Client, ClientError},
    connection::Global,
    diff::{exit, flows, headline},
    matrix::PlaceArgs,
    output::{self, Format, FormatArg},
    table::{Column, address, integer, text, time, word},
};
use crate::service::SweepGaps;

/// Show where reality is not what the policies of the inventory want, and why.
#[derive(Debug, Args)]
#[command(
    after_help = "A gap is a flow that a policy allows and something blocks; an exposure one that a policy denies and that is open. Where policies overlap, the first one of the inventory that speaks of a flow decides. No cause is named without an open flow of the same sweep that proves it.\n\nExit status: 2 there are gaps or exposures, 3 there are none and the sweep is not complete.\n\nExamples:\n  sekisho gaps\n  sekisho gaps --site tokyo\n  sekisho gaps --sweep latest~1 --format csv\n  sekisho gaps --format json | jq '.[] | select(.cause == \"path-filter\") | {vantage, target, service, by}'"
)]
pub(super) struct GapsArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    format: FormatArg,
}

/// Most names of one kind in a line.
const NAMES: usize = 6;

pub(super) async fn run(args: GapsArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let found = fetch(&client, &args.sweep, &args.place).await?;
    let Gaps { gaps, .. } = &found.gaps;
    let idle = policies(&found.gaps, &args.place);
    output::print(args.format.format, gaps, (GAPS, gaps), || report(&found, &idle))?;
    if args.format.format != Format::Table {
        idle.iter().for_each(|line| output::note(line));
    }
    Ok(end(&found))
}

/// Policy against a sweep.
pub(super) async fn fetch(client: &Client, sweep: &str, place: &PlaceArgs) -> Result<SweepGaps, ClientError> {
    client.get(&format!("show the gaps of sweep {sweep}"), &["gaps"], &place.with(&[("sweep", sweep)])).await
}

/// Whether there is anything, or could be.
pub(super) fn end(found: &SweepGaps) -> Exit {
    if found.gaps.gaps.is_empty() { exit(&[&found.sweep]) } else { Exit::Found }
}

/// Gaps and exposures, as rows.
pub(super) const GAPS: &[Column<Gap>] = &[
    text("kind", |gap| Some(gap.kind.word().to_owned())),
    text("policy", |gap| Some(gap.policy.clone())),
    text("vantage", |gap| Some(gap.vantage.clone())),
    text("target", |gap| Some(gap.target.clone())),
    address("address", |gap| word(Some(gap.address))),
    text("service", |gap| Some(gap.service.name())),
    text("transport", |gap| word(Some(gap.transport))),
    integer("port", |gap| gap.port.map(i64::from)),
    text("expected", |gap| word(Some(gap.expected))),
    text("outcome", |gap| word(Some(gap.outcome))),
    text("cause", |gap| word(Some(gap.cause))),
    address("by", |gap| word(gap.by)),
    address("last_hop", |gap| word(gap.between?.last_hop)),
    address("next_hop", |gap| word(gap.between?.next_hop)),
    time("since", |gap| gap.since),
    text("control", |gap| gap.control.as_ref().map(open)),
    integer("group", |gap| gap.group.and_then(|group| group.try_into().ok())),
];

/// `dc1 smb from vlan10`.
fn open(control: &Control) -> String {
    format!("{} {} from {}", control.target, control.service, control.vantage)
}

fn report(found: &SweepGaps, policies: &[String]) -> String {
    let all = &found.gaps;
    let mut out = format!("{}\n\n", headline(&found.sweep));
    for (number, group) in all.groups.iter().enumerate() {
        _ = writeln!(out, "{}. {}", number.saturating_add(1), drawn::plain(&sentence(group)));
        let of_group = all.gaps.iter().filter(|gap| gap.group == Some(number));
        out.push_str(&listed(of_group));
        out.push('\n');
    }
    let exposed: Vec<&Gap> = all.gaps.iter().filter(|gap| gap.kind == GapKind::Exposure).collect();
    if !exposed.is_empty() {
        _ = writeln!(out, "exposed: {} open that policies deny", are(exposed.len()));
        out.push_str(&listed(exposed.iter().copied()));
        out.push('\n');
    }
    for line in policies {
        _ = writeln!(out, "{}", drawn::plain(line));
    }
    let gaps = all.gaps.len().saturating_sub(exposed.len());
    let decided: usize = all.policies.iter().map(|policy| policy.decided).sum();
    _ = writeln!(
        out,
        "{}: {gaps} blocked that policies allow, {} open that policies deny, {} untested; {} without policy",
        flows(decided),
        exposed.len(),
        all.untested,
        all.unspoken
    );
    out
}

fn are(count: usize) -> String {
    format!("{} {}", flows(count), if count == 1 { "is" } else { "are" })
}

/// Flows under the line that tells their cause.
fn listed<'a>(gaps: impl Iterator<Item = &'a Gap>) -> String {
    let row = |gap: &Gap| {
        vec![
            "   ".to_owned(),
            gap.vantage.clone(),
            gap.target.clone(),
            gap.address.to_string(),
            gap.service.name(),
            gap.port.map_or_else(|| gap.transport.to_string(), |port| format!("{port}/{}", gap.transport)),
            gap.outcome.to_string(),
            format!("policy {}", gap.policy),
        ]
    };
    drawn::columns(&gaps.map(row).collect::<Vec<_>>())
}

/// One cause: where, what, and the control that proves it.
fn sentence(group: &Group) -> String {
    let services: Vec<String> = group.services.iter().map(|service| service.name()).collect();
    let (vantages, targets) = (names(&group.vantages), names(&group.targets));
    let proof = match &group.control {
        Some(control) => {
            format!("{} is open{}", open(control), shows(control.kind))
        }
        None => "no open flow proves more".to_owned(),
    };
    format!(
        "{}{}: {} {} from {vantages} to {targets}: {} ({proof})",
        group.cause,
        place(group),
        are(group.flows),
        group.outcome,
        names(&services),
    )
}

/// What a control shows.
const fn shows(kind: ControlKind) -> &'static str {
    match kind {
        ControlKind::SameService => ", so the service works",
        ControlKind::OtherService => ", so the vantage, the target and the way work",
        ControlKind::OtherTarget => ", so the vantage works",
        ControlKind::OtherVantage => ", so the target works",
    }
}

fn place(group: &Group) -> String {
    if let Some(by) = group.by {
        // A device that knows no way is not where it ends.
        return if group.cause == Cause::Routing { format!(", says {by}") } else { format!(" at {by}") };
    }
    group.between.map_or_else(String::new, |between| format!(" {between}"))
}

fn names(all: &[String]) -> String {
    let head = all.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES) {
        0 => head,
        more => format!("{head} and {more} more"),
    }
}

/// What there is to say about policies. Of a part of the fleet there is nothing: what decides nothing there may do so elsewhere.
pub(super) fn policies(gaps: &Gaps, place: &PlaceArgs) -> Vec<String> {
    if gaps.policies.is_empty() {
        return vec!["the inventory has no policy: add [[policy]] tables, and apply it".to_owned()];
    }
    if !place.is_everywhere() {
        return Vec::new();
    }
    let told = |policy: &sekisho_domain::policy::Use| {
        let name = &policy.policy;
        if let Some(idle) = policy.idle {
            return Some(format!("policy {name} decides nothing: {}", idle.words()));
        }
        let services: Vec<String> = policy.unswept.iter().map(|service| service.name()).collect();
        (!services.is_empty())
            .then(|| format!("policy {name}: the sweep did not test {}", services.join(", ")))
    };
    gaps.policies.iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests;
