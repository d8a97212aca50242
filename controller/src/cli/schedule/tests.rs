//! What schedules look like.

use sekisho_model::{SweepState, SweepSummary};

use super::draw;
use crate::{
    cli::{Exit, output},
    service::{
        ForecastTarget, ForecastVantage, NextRun, ScheduleDetail, SchedulePause, ScheduleRun, ScheduleState,
        ScheduleSummary, SweepForecast,
    },
};

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn run(state: &str, reason: Option<&str>, sweep: Option<i64>) -> ScheduleRun {
    let summary = |id| SweepSummary {
        id,
        state: SweepState::Partial,
        profile: "ports".to_owned(),
        started_at: at("2026-11-25T17:00:00Z"),
        finished_at: None,
        planned: 48,
        checks: 0,
        observed: 40,
        missed: 8,
    };
    ScheduleRun {
        due_at: at("2026-11-25T17:00:00Z"),
        recorded_at: at("2026-11-25T17:00:01Z"),
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        detail: reason.map(|_| "because\u{1b}[31m".to_owned()),
        asked_by: None,
        sweep: sweep.map(summary),
    }
}

fn detail() -> ScheduleDetail {
    let next = NextRun {
        due_at: at("2026-11-26T17:00:00Z"),
        starts_at: at("2026-11-26T17:00:00Z"),
        deadline: at("2026-11-26T19:00:00Z"),
        local: "2026-11-27 02:00 JST".to_owned(),
        without_controller: Some("it does not take place: the budget\u{1b}[31m is too small".to_owned()),
    };
    ScheduleDetail {
        summary: ScheduleSummary {
            name: "nightly".to_owned(),
            cron: "0 2 * * *".to_owned(),
            time_zone: "Asia/Tokyo".to_owned(),
            window: "2h".to_owned(),
            profile: "ports".to_owned(),
            domains: vec![],
            vantages: vec!["vlan10".to_owned(), "vlan20".to_owned()],
            state: ScheduleState::Paused,
            pause: Some(SchedulePause {
                since: at("2026-11-25T08:00:00Z"),
                until: None,
                by: "admin".to_owned(),
                reason: Some("switch upgrade".to_owned()),
            }),
            next: Some(next.clone()),
            last: Some(run("skipped", Some("overlap"), None)),
        },
        rules: vec!["a rule".to_owned()],
        next_runs: vec![next],
        runs: vec![run("skipped", Some("overlap"), None), run("started", None, Some(17))],
    }
}

#[test]
fn a_schedule_is_shown_with_its_times_in_both_zones() {
    let text = draw::detail(&detail());
    for said in [
        "schedule nightly paused: 0 2 * * * by the clock of Asia/Tokyo, profile ports, all domains, vlan10, vlan20",
        "paused by admin since 2026-11-25 08:00:00Z, until it is resumed: switch upgrade",
        "- a rule",
        "2026-11-27 02:00 JST  2026-11-26 17:00:00Z  2026-11-26 19:00:00Z",
        "from 2026-11-27 02:00 JST without a controller: it does not take place: the budget",
        "17     partial  48       40        8",
        "overlap",
    ] {
        assert!(text.contains(said), "missing: {said}\nin:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    let list = output::columns(draw::SHORT, [detail().summary], "none");
    assert!(list.contains("skipped: overlap") && list.contains("2026-11-27 02:00 JST"), "{list}");
}

fn forecast(probes: usize, limit: &str) -> SweepForecast {
    SweepForecast {
        schedule: "nightly".to_owned(),
        profile: "ports".to_owned(),
        services: vec!["smb".to_owned()],
        checks: vec![],
        targets: vec![],
        vantages: vec![ForecastVantage {
            vantage: "vlan10".to_owned(),
            live_probes: probes,
            flows: 24,
            checks: 0,
            budget: None,
            estimate: None,
        }],
        planned: 24,
        planned_checks: 0,
        window_seconds: 7_200,
        fastest_seconds: 0,
        slowest_seconds: 0,
        limit: limit.to_owned(),
        notes: vec!["a note".to_owned()],
    }
}

#[test]
fn a_forecast_names_the_target_whose_budget_binds() {
    let target = |address: &str, budget| ForecastTarget {
        domain: "corp.example".to_owned(),
        host: String::new(),
        address: address.parse().unwrap(),
        origin: "inventory".to_owned(),
        budget,
    };
    let targets = vec![target("10.77.1.10", 200), target("10.77.1.11", 50), target("10.77.1.12", 50)];
    let text = draw::forecast(&SweepForecast { targets, ..forecast(1, "target-budget") });
    assert!(
        text.contains(
            "target-budget, 50 new attempts per second of the whole fleet to 10.77.1.11 and 1 more"
        ),
        "{text}"
    );
    let text = draw::forecast(&forecast(1, "link-budget"));
    assert!(text.contains("link-budget, new attempts per second over the link of a vantage"), "{text}");
}

#[test]
fn a_forecast_says_what_would_be_missed_and_ends_so() {
    let text = draw::forecast(&forecast(0, "none"));
    for said in [
        "24 flows and 0 checks",
        "everything would be missed: vlan10",
        "none, no vantage has a probe",
        "a note",
    ] {
        assert!(text.contains(said), "missing: {said}\nin:\n{text}");
    }
    assert_eq!(draw::exit(&forecast(0, "none")), Exit::Incomplete);
    assert_eq!(draw::exit(&forecast(1, "window")), Exit::Incomplete);
    assert_eq!(draw::exit(&forecast(1, "per-target")), Exit::Fine);
}
