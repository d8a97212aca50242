//! Schedules as text.

use std::fmt::Write;

use sekisho_model::table;

use super::super::{
    Exit,
    output::{self, time},
    table::{Column, integer, text, time as at, word},
};
use crate::service::{
    ForecastVantage, NextRun, ScheduleDetail, ScheduleRun, ScheduleState, ScheduleSummary, SweepForecast,
};

/// Most targets that a forecast lists.
const TARGETS: usize = 20;

/// What a person looks for in a list.
pub(super) const SHORT: &[Column<ScheduleSummary>] = &[
    text("name", |it| Some(it.name.clone())),
    text("state", |it| word(Some(it.state.word()))),
    text("cron", |it| Some(it.cron.clone())),
    text("zone", |it| Some(it.time_zone.clone())),
    text("next", |it| it.next.as_ref().map(|next| next.local.clone())),
    at("last", |it| it.last.as_ref().map(|last| last.due_at)),
    text("what became of it", |it| it.last.as_ref().map(outcome)),
];

/// Everything.
pub(super) const SCHEDULES: &[Column<ScheduleSummary>] = &[
    text("name", |it| Some(it.name.clone())),
    text("state", |it| word(Some(it.state.word()))),
    text("cron", |it| Some(it.cron.clone())),
    text("time_zone", |it| Some(it.time_zone.clone())),
    text("window", |it| Some(it.window.clone())),
    text("profile", |it| Some(it.profile.clone())),
    text("domains", |it| Some(it.domains.join(" "))),
    text("vantages", |it| Some(it.vantages.join(" "))),
    at("paused_until", |it| it.pause.as_ref().and_then(|pause| pause.until)),
    text("paused_by", |it| it.pause.as_ref().map(|pause| pause.by.clone())),
    text("pause_reason", |it| it.pause.as_ref().and_then(|pause| pause.reason.clone())),
    at("next_start", |it| it.next.as_ref().map(|next| next.starts_at)),
    at("last_due", |it| it.last.as_ref().map(|last| last.due_at)),
    text("last_state", |it| it.last.as_ref().map(|last| last.state.clone())),
    text("last_reason", |it| it.last.as_ref().and_then(|last| last.reason.clone())),
    integer("last_sweep", |it| it.last.as_ref().and_then(|last| last.sweep.as_ref()).map(|sweep| sweep.id)),
];

/// Runs to come.
const NEXT: &[Column<NextRun>] = &[
    text("next runs", |run| Some(run.local.clone())),
    at("utc", |run| Some(run.starts_at)),
    at("ends at the latest", |run| Some(run.deadline)),
];

/// What became of runs.
pub(super) const RUNS: &[Column<ScheduleRun>] = &[
    at("due_at", |run| Some(run.due_at)),
    text("run", |run| Some(run.state.clone())),
    integer("sweep", |run| run.sweep.as_ref().map(|sweep| sweep.id)),
    text("result", |run| word(run.sweep.as_ref().map(|sweep| sweep.state.word()))),
    integer("planned", |run| run.sweep.as_ref().map(|sweep| sweep.planned)),
    integer("observed", |run| run.sweep.as_ref().map(|sweep| sweep.observed)),
    integer("missed", |run| run.sweep.as_ref().map(|sweep| sweep.missed)),
    text("asked_by", |run| run.asked_by.clone()),
    text("reason", |run| run.reason.clone()),
    text("detail", |run| run.detail.clone()),
];

/// Vantages of a forecast.
pub(super) const VANTAGES: &[Column<ForecastVantage>] = &[
    text("vantage", |it| Some(it.vantage.clone())),
    integer("live_probes", |it| it.live_probes.try_into().ok()),
    integer("flows", |it| it.flows.try_into().ok()),
    integer("checks", |it| it.checks.try_into().ok()),
    integer("fastest_seconds", |it| {
        it.estimate.and_then(|estimate| estimate.fastest_seconds.try_into().ok())
    }),
    integer("slowest_seconds", |it| {
        it.estimate.and_then(|estimate| estimate.slowest_seconds.try_into().ok())
    }),
    text("bound", |it| word(it.estimate.map(|estimate| estimate.bound.word()))),
];

/// `sweep 17 complete`, `skipped: overlap`.
fn outcome(run: &ScheduleRun) -> String {
    match (&run.sweep, &run.reason) {
        (Some(sweep), _) => format!("sweep {} {}", sweep.id, sweep.state.word()),
        (None, Some(reason)) => format!("{}: {reason}", run.state),
        (None, None) => run.state.clone(),
    }
}

/// `schedule nightly active: 0 2 * * * Asia/Tokyo, ...`.
pub(super) fn headline(schedule: &ScheduleSummary) -> String {
    let of = |names: &[String], all: &str| if names.is_empty() { all.to_owned() } else { names.join(", ") };
    let mut out = format!(
        "schedule {} {}: {} by the clock of {}, profile {}, {}, {}\n",
        schedule.name,
        schedule.state.word(),
        schedule.cron,
        schedule.time_zone,
        schedule.profile,
        of(&schedule.domains, "all domains"),
        of(&schedule.vantages, "all vantages"),
    );
    if let Some(pause) = &schedule.pause {
        let until =
            pause.until.map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", time(at)));
        let reason = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        _ = writeln!(out, "paused by {} since {}, {until}{reason}", pause.by, time(pause.since));
    }
    if let Some(next) = schedule.next.as_ref().filter(|_| schedule.state != ScheduleState::Ended) {
        _ = writeln!(out, "next run {} ({})", next.local, time(next.starts_at));
    }
    table::plain(&out)
}

pub(super) fn detail(detail: &ScheduleDetail) -> String {
    let mut out = headline(&detail.summary);
    out.push('\n');
    for rule in &detail.rules {
        _ = writeln!(out, "- {}", table::plain(rule));
    }
    _ = write!(out, "\n{}", output::columns(NEXT, &detail.next_runs, "no run to come"));
    let mut told = None;
    for run in &detail.next_runs {
        let Some(alone) = run.without_controller.as_ref().filter(|alone| told != Some(*alone)) else {
            continue;
        };
        _ = writeln!(out, "from {} without a controller: {}", run.local, table::plain(alone));
        told = Some(alone);
    }
    _ = write!(out, "\n{}", output::columns(RUNS, &detail.runs, "no runs yet"));
    out
}

pub(super) fn forecast(forecast: &SweepForecast) -> String {
    let SweepForecast { schedule, profile, planned, planned_checks, .. } = forecast;
    let flows = planned.saturating_sub(*planned_checks);
    let mut out = format!("dry run of schedule {schedule}: nothing was started\n");
    _ = writeln!(out, "profile {profile}: {flows} flows and {planned_checks} checks");
    _ = writeln!(out, "services: {}", forecast.services.join(", "));
    if !forecast.checks.is_empty() {
        _ = writeln!(out, "checks: {}", forecast.checks.join(", "));
    }
    _ = writeln!(out, "targets: {}", targets(forecast));
    _ = writeln!(out, "\n{}", output::columns(VANTAGES, &forecast.vantages, "no vantages"));
    let without: Vec<&str> = without_probe(forecast).map(|vantage| vantage.vantage.as_str()).collect();
    if !without.is_empty() {
        _ = writeln!(out, "no probe is connected, so everything would be missed: {}", without.join(", "));
    }
    if forecast.vantages.iter().any(|vantage| vantage.estimate.is_some()) {
        _ = writeln!(
            out,
            "from {} s (every flow answers at once) to {} s (every flow is silent), at the rates that probes have unless their \
         scope files say otherwise; the window is {} s",
            forecast.fastest_seconds, forecast.slowest_seconds, forecast.window_seconds
        );
    }
    _ = writeln!(out, "what binds: {}", limit(forecast));
    for note in &forecast.notes {
        _ = writeln!(out, "{note}");
    }
    table::plain(&out)
}

fn targets(forecast: &SweepForecast) -> String {
    let target = |host: &str, address: std::net::IpAddr| {
        if host.is_empty() { address.to_string() } else { format!("{host} {address}") }
    };
    let mut list: Vec<String> =
        forecast.targets.iter().take(TARGETS).map(|t| target(&t.host, t.address)).collect();
    match forecast.targets.len().saturating_sub(TARGETS) {
        0 if list.is_empty() => "none is known".to_owned(),
        0 => list.join(", "),
        more => {
            list.push(format!("and {more} more"));
            list.join(", ")
        }
    }
}

fn without_probe(forecast: &SweepForecast) -> impl Iterator<Item = &ForecastVantage> {
    forecast.vantages.iter().filter(|vantage| vantage.live_probes == 0)
}

fn limit(forecast: &SweepForecast) -> String {
    let word = forecast.limit.as_str();
    let said = match word {
        "tasks" => "there are more flows and checks than one sweep may have",
        "window" => "the window, where every flow is silent: make it longer, or sweep less",
        "per-target" => "attempts per second to one target (per_target in the scope files)",
        "per-probe" => "attempts per second of one probe (total in the scope files)",
        "concurrency" => "attempts of one probe at the same time (concurrency in the scope files)",
        "target-budget" => return target_budget(forecast),
        "link-budget" => "new attempts per second over the link of a vantage (budget of its [[vantage]])",
        "round-trips" => "no rate; the network's own answers and silences",
        "none" => "no vantage has a probe",
        _ => "",
    };
    if said.is_empty() { word.to_owned() } else { format!("{word}, {said}") }
}

/// Which target's budget binds.
fn target_budget(forecast: &SweepForecast) -> String {
    let Some(least) = forecast.targets.iter().min_by_key(|target| target.budget) else {
        return forecast.limit.clone();
    };
    let others = forecast.targets.iter().filter(|target| target.budget == least.budget).count();
    let more = if others > 1 { format!(" and {} more", others - 1) } else { String::new() };
    format!(
        "{}, {} new attempts per second of the whole fleet to {}{more} (budget of its [[target]] or [[domain]])",
        forecast.limit, least.budget, least.address
    )
}

/// Whether a sweep would come out whole.
pub(super) fn exit(forecast: &SweepForecast) -> Exit {
    let is_short = ["tasks", "window"].contains(&forecast.limit.as_str());
    if is_short || without_probe(forecast).next().is_some() { Exit::Incomplete } else { Exit::Fine }
}
