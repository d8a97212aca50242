//! Schedules as text.

use std::fmt::Write;

use jiff::Timestamp;
use sekisho_model::table;

use super::super::{
    Exit,
    output::{self, Rows, time},
};
use crate::service::{
    ForecastVantage, NextRun, ScheduleDetail, ScheduleRun, ScheduleState, ScheduleSummary, SweepForecast,
};

/// Most targets that a forecast lists.
const TARGETS: usize = 20;

/// What a person looks for in a list.
pub(super) fn short_rows(schedules: &[ScheduleSummary]) -> Rows {
    let row = |schedule: &ScheduleSummary| {
        vec![
            schedule.name.clone(),
            schedule.state.word().to_owned(),
            schedule.cron.clone(),
            schedule.time_zone.clone(),
            schedule.next.as_ref().map_or_else(|| "-".to_owned(), |next| next.local.clone()),
            schedule.last.as_ref().map_or_else(|| "-".to_owned(), |last| time(last.due_at)),
            schedule.last.as_ref().map_or_else(|| "-".to_owned(), outcome),
        ]
    };
    Rows {
        header: vec!["name", "state", "cron", "zone", "next", "last", "what became of it"],
        rows: schedules.iter().map(row).collect(),
    }
}

/// Everything.
pub(super) fn rows(schedules: &[ScheduleSummary]) -> Rows {
    let maybe = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let row = |schedule: &ScheduleSummary| {
        let (pause, next, last) = (schedule.pause.as_ref(), schedule.next.as_ref(), schedule.last.as_ref());
        vec![
            schedule.name.clone(),
            schedule.state.word().to_owned(),
            schedule.cron.clone(),
            schedule.time_zone.clone(),
            schedule.window.clone(),
            schedule.profile.clone(),
            schedule.domains.join(" "),
            schedule.vantages.join(" "),
            maybe(pause.and_then(|pause| pause.until)),
            pause.map(|pause| pause.by.clone()).unwrap_or_default(),
            pause.and_then(|pause| pause.reason.clone()).unwrap_or_default(),
            maybe(next.map(|next| next.starts_at)),
            maybe(last.map(|last| last.due_at)),
            last.map(|last| last.state.clone()).unwrap_or_default(),
            last.and_then(|last| last.reason.clone()).unwrap_or_default(),
            last.and_then(|last| last.sweep.as_ref()).map(|sweep| sweep.id.to_string()).unwrap_or_default(),
        ]
    };
    Rows {
        header: vec![
            "name",
            "state",
            "cron",
            "time_zone",
            "window",
            "profile",
            "domains",
            "vantages",
            "paused_until",
            "paused_by",
            "pause_reason",
            "next_start",
            "last_due",
            "last_state",
            "last_reason",
            "last_sweep",
        ],
        rows: schedules.iter().map(row).collect(),
    }
}

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
    let next = Rows {
        header: vec!["next runs", "utc", "ends at the latest"],
        rows: detail
            .next_runs
            .iter()
            .map(|run: &NextRun| vec![run.local.clone(), time(run.starts_at), time(run.deadline)])
            .collect(),
    };
    _ = write!(out, "\n{}", output::columns(&next, "no run to come"));
    _ = write!(out, "\n{}", output::columns(&runs(&detail.runs, "-", time), "no runs yet"));
    out
}

/// What became of runs.
pub(super) fn runs(runs: &[ScheduleRun], none: &str, show_time: impl Fn(Timestamp) -> String) -> Rows {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| none.to_owned());
    let row = |run: &ScheduleRun| {
        let sweep = run.sweep.as_ref();
        let of = |text: Option<String>| text.unwrap_or_else(|| none.to_owned());
        vec![
            show_time(run.due_at),
            run.state.clone(),
            of(sweep.map(|sweep| sweep.id.to_string())),
            of(sweep.map(|sweep| sweep.state.word().to_owned())),
            of(sweep.map(|sweep| sweep.planned.to_string())),
            of(sweep.map(|sweep| sweep.observed.to_string())),
            of(sweep.map(|sweep| sweep.missed.to_string())),
            or(&run.asked_by),
            or(&run.reason),
            or(&run.detail),
        ]
    };
    Rows {
        header: vec![
            "due_at", "run", "sweep", "result", "planned", "observed", "missed", "asked_by", "reason",
            "detail",
        ],
        rows: runs.iter().map(row).collect(),
    }
}

/// Vantages of a forecast.
pub(super) fn vantages(vantages: &[ForecastVantage], none: &str) -> Rows {
    let row = |vantage: &ForecastVantage| {
        let of = |text: Option<String>| text.unwrap_or_else(|| none.to_owned());
        vec![
            vantage.vantage.clone(),
            vantage.live_probes.to_string(),
            vantage.flows.to_string(),
            vantage.checks.to_string(),
            of(vantage.estimate.map(|estimate| estimate.fastest_seconds.to_string())),
            of(vantage.estimate.map(|estimate| estimate.slowest_seconds.to_string())),
            of(vantage.estimate.map(|estimate| estimate.bound.word().to_owned())),
        ]
    };
    Rows {
        header: vec![
            "vantage",
            "live_probes",
            "flows",
            "checks",
            "fastest_seconds",
            "slowest_seconds",
            "bound",
        ],
        rows: vantages.iter().map(row).collect(),
    }
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
    _ = writeln!(out, "\n{}", output::columns(&vantages(&forecast.vantages, "-"), "no vantages"));
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
    _ = writeln!(out, "what binds: {}", limit(&forecast.limit));
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

fn limit(word: &str) -> String {
    let said = match word {
        "tasks" => "there are more flows and checks than one sweep may have",
        "window" => "the window, where every flow is silent: make it longer, or sweep less",
        "per-target" => "attempts per second to one target (per_target in the scope files)",
        "per-probe" => "attempts per second of one probe (total in the scope files)",
        "concurrency" => "attempts of one probe at the same time (concurrency in the scope files)",
        "round-trips" => "no rate; the network's own answers and silences",
        "none" => "no vantage has a probe",
        _ => "",
    };
    if said.is_empty() { word.to_owned() } else { format!("{word}, {said}") }
}

/// Whether a sweep would come out whole.
pub(super) fn exit(forecast: &SweepForecast) -> Exit {
    let is_short = ["tasks", "window"].contains(&forecast.limit.as_str());
    if is_short || without_probe(forecast).next().is_some() { Exit::Incomplete } else { Exit::Fine }
}
