//! Times by table, decisions by table, and what holds for all of them.

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZoneDatabase};
use proptest::{prelude::*, sample::select};

use super::{
    Decision, Due, Pause, Run, Situation, Skip, Timetable,
    estimate::{Bound, Budgets, Load, estimate},
};
use crate::inventory::{Inventory, Schedule};

fn schedule(cron: &str, zone: &str, more: &str) -> Schedule {
    let text = format!(
        "[[schedule]]\nname = \"nightly\"\ncron = \"{cron}\"\ntime_zone = \"{zone}\"\nwindow = \"2h\"\n{more}\n"
    );
    Inventory::parse("f", &text).unwrap().schedules.remove(0)
}

fn table(cron: &str, zone: &str, more: &str) -> Timetable {
    Timetable::of(&schedule(cron, zone, more))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dues(runs: &[Run]) -> Vec<String> {
    runs.iter().map(|run| run.due.to_string()).collect()
}

/// Cron, zone, after, the next runs in UTC.
const TIMES: &[(&str, &str, &str, &[&str])] = &[
    ("0 2 * * *", "Asia/Tokyo", "2026-11-26T00:00:00Z", &["2026-11-26T17:00:00Z", "2026-11-27T17:00:00Z"]),
    // Exactly at a run the next one is the one after it; a moment before, it is this one.
    ("0 2 * * *", "UTC", "2026-11-26T02:00:00Z", &["2026-11-27T02:00:00Z"]),
    ("0 2 * * *", "UTC", "2026-11-26T01:59:59.999Z", &["2026-11-26T02:00:00Z"]),
    // Spring: 02:30 does not exist, and runs when the clock jumps from 02:00 to 03:00.
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    ),
    (
        "30 2 * * *",
        "America/New_York",
        "2026-03-07T12:00:00Z",
        &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
    ),
    // Several times that do not exist are one run, together with the time that the clock jumps to.
    (
        "*/30 1-3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T23:00:00Z"],
    ),
    // Autumn: 02:30 comes twice, and runs the first time.
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-10-31T12:00:00Z",
        &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
    ),
    // Also when it is asked between the first time and the second.
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]),
    // Every hour pauses for the hour that is repeated.
    (
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-24T22:30:00Z",
        &["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"],
    ),
    // A zone whose clock is set forward by half an hour, and one that lost a day.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["2026-10-03T15:30:00Z"]),
    ("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", &["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z"]),
    // Midnight does not exist in Beirut on that day.
    ("0 0 * * *", "Asia/Beirut", "2026-03-28T00:00:00Z", &["2026-03-28T22:00:00Z"]),
    // Leap days, also across the century that has none.
    ("0 3 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T03:00:00Z", "2032-02-29T03:00:00Z"]),
    ("0 3 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29T03:00:00Z"]),
    ("0 3 L * *", "UTC", "2028-02-01T00:00:00Z", &["2028-02-29T03:00:00Z", "2028-03-31T03:00:00Z"]),
    ("0 22 * * 1-5", "Asia/Tokyo", "2026-11-27T13:00:00Z", &["2026-11-30T13:00:00Z"]),
];

#[test]
fn runs_come_when_the_clock_on_the_wall_says_so() {
    for (cron, zone, after, expected) in TIMES {
        let next = table(cron, zone, "").next(at(after), expected.len());
        assert_eq!(dues(&next), *expected, "{cron} {zone} after {after}");
    }
}

#[test]
fn days_and_blackouts_are_days_of_the_zone() {
    let nightly =
        |more: &str| dues(&table("0 2 * * *", "Asia/Tokyo", more).next(at("2026-11-25T18:00:00Z"), 3));
    assert_eq!(
        nightly("not_before = \"2026-12-01\""),
        ["2026-11-30T17:00:00Z", "2026-12-01T17:00:00Z", "2026-12-02T17:00:00Z"]
    );
    assert_eq!(nightly("not_after = \"2026-11-28\""), ["2026-11-26T17:00:00Z", "2026-11-27T17:00:00Z"]);
    assert_eq!(
        nightly("blackout = [\"2026-11-27\", \"2026-11-29..2027-01-03\"]"),
        ["2026-11-27T17:00:00Z", "2027-01-03T17:00:00Z", "2027-01-04T17:00:00Z"]
    );
    // Every minute, and still answered at once.
    let minutely = table("* * * * *", "UTC", "blackout = [\"2026-11-01..2036-10-31\"]");
    assert_eq!(dues(&minutely.next(at("2026-11-25T18:00:00Z"), 1)), ["2036-11-01T00:00:00Z"]);
}

#[test]
fn a_splay_is_the_same_every_night_and_differs_between_names() {
    let named = |name: &str| {
        let mut schedule = schedule("50 23 * * *", "UTC", "splay = \"1h\"");
        schedule.name = name.parse().unwrap();
        Timetable::of(&schedule).next(at("2026-11-25T00:00:00Z"), 4)
    };
    let offsets = |runs: &[Run]| -> Vec<SignedDuration> {
        runs.iter().map(|run| run.start.duration_since(run.due)).collect()
    };
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..50 {
        let runs = named(&format!("site-{number}"));
        let of_all = offsets(&runs);
        assert!(of_all.iter().all(|offset| *offset == of_all[0]));
        assert!((SignedDuration::ZERO..SignedDuration::from_hours(1)).contains(&of_all[0]));
        assert_eq!(runs[0].deadline, runs[0].due + 2.hours(), "the window is that of the time");
        seen.insert(of_all[0]);
    }
    assert!(seen.len() > 45, "{seen:?}");
    // It stays what it is: a change would run a night twice, or not at all.
    assert_eq!(offsets(&named("nightly"))[0].as_secs(), 2_475);
}

#[test]
fn a_start_that_the_splay_moves_into_a_blackout_is_none() {
    let mut schedule =
        schedule("50 23 * * *", "UTC", "splay = \"1h\"\nblackout = [\"2026-11-26\"]\ncatch_up = \"once\"");
    schedule.name = "nightly".parse().unwrap();
    let table = Timetable::of(&schedule);
    let next = table.next(at("2026-11-25T12:00:00Z"), 2);
    assert_eq!(dues(&next), ["2026-11-27T23:50:00Z", "2026-11-28T23:50:00Z"]);
}

const NOW: &str = "2026-11-26T09:00:00Z";

/// What else the schedule says, since when runs are due, pause, running sweep, what becomes of each.
type Case = (
    &'static str,
    &'static str,
    Option<(&'static str, Option<&'static str>)>,
    Option<i64>,
    &'static [&'static str],
);

const DECISIONS: &[Case] = &[
    ("", "2026-11-26T08:30:00Z", None, None, &["start 11:00"]),
    // Within the window of two hours the newest is started, the others are not.
    ("", "2026-11-26T07:30:00Z", None, None, &["superseded", "start 11:00"]),
    ("", "2026-11-26T05:30:00Z", None, None, &["too-late", "too-late", "superseded", "start 11:00"]),
    (
        "catch_up = \"once\"",
        "2026-11-26T05:30:00Z",
        None,
        None,
        &["superseded", "superseded", "superseded", "start 11:00"],
    ),
    ("", "2026-11-26T08:30:00Z", None, Some(7), &["overlap"]),
    ("", "2026-11-26T07:30:00Z", None, Some(7), &["superseded", "overlap"]),
    ("", "2026-11-26T08:30:00Z", Some(("2026-11-26T08:59:00Z", None)), None, &["paused"]),
    (
        "",
        "2026-11-26T07:30:00Z",
        Some(("2026-11-26T07:00:00Z", Some("2026-11-26T08:30:00Z"))),
        None,
        &["paused", "start 11:00"],
    ),
    // A pause that begins after a run was due, and before it could start, holds too.
    ("", "2026-11-26T08:30:00Z", Some(("2026-11-26T09:00:00Z", None)), None, &["paused"]),
    (
        "",
        "2026-11-26T08:30:00Z",
        Some(("2026-11-25T00:00:00Z", Some("2026-11-26T09:00:00Z"))),
        None,
        &["start 11:00"],
    ),
    ("blackout = [\"2026-11-26\"]", "2026-11-26T07:30:00Z", None, Some(7), &["blackout", "blackout"]),
    ("not_after = \"2026-11-25\"", "2026-11-26T07:30:00Z", None, None, &[]),
];

#[test]
fn each_run_is_decided_by_the_first_rule_that_speaks_of_it() {
    for (more, since, pause, running, expected) in DECISIONS {
        let table = table("0 * * * *", "UTC", more);
        let pause = pause.map(|(since, until)| Pause { since: at(since), until: until.map(at) });
        let due = table.due(at(since), at(NOW));
        let decided = table.decide(&due, at(NOW), Situation { pause, running: *running });
        let words: Vec<String> = decided.iter().map(|(_, decision)| word(decision)).collect();
        assert_eq!(words, *expected, "{more} since {since}, {pause:?}, {running:?}");
    }
}

fn word(decision: &Decision) -> String {
    match decision {
        Decision::Start { deadline, caught_up } => {
            format!("start {}{}", deadline.strftime("%H:%M"), if *caught_up { " late" } else { "" })
        }
        Decision::Skip(skip) => skip.word().to_owned(),
    }
}

#[test]
fn the_newest_night_that_may_be_is_caught_up() {
    let words = |more: &str| {
        let table = table("0 2 * * *", "UTC", more);
        let due = table.due(at("2026-11-23T09:00:00Z"), at(NOW));
        let decided = table.decide(&due, at(NOW), Situation::default());
        decided.iter().map(|(_, decision)| word(decision)).collect::<Vec<_>>()
    };
    assert_eq!(words(""), ["too-late", "too-late", "too-late"]);
    assert_eq!(words("catch_up = \"once\""), ["superseded", "superseded", "start 11:00 late"]);
    // A night in a blackout is not caught up, and does not keep another one from it.
    let frozen = "catch_up = \"once\"\nblackout = [\"2026-11-25\"]";
    assert_eq!(words(frozen), ["superseded", "blackout", "start 11:00 late"]);
    // Nothing is caught up into a blackout.
    let today = "catch_up = \"once\"\nblackout = [\"2026-11-26\"]";
    assert_eq!(words(today), ["blackout", "blackout", "blackout"]);
}

#[test]
fn skips_say_why_in_the_zone_of_the_schedule() {
    let table = table("0 2 * * *", "Asia/Tokyo", "catch_up = \"skip\"");
    let due = table.due(at("2026-11-25T09:00:00Z"), at(NOW));
    let decided = table.decide(&due, at(NOW), Situation::default());
    let Decision::Skip(skip) = &decided[0].1 else { panic!("{decided:?}") };
    assert_eq!(skip.to_string(), "no controller started it before its window ended at 2026-11-26 04:00 JST");
    assert_eq!(Skip::Overlap { sweep: 17 }.to_string(), "sweep 17 of this schedule had not ended");
}

#[test]
fn an_outage_of_months_is_looked_at_in_parts() {
    let table = table("* * * * *", "UTC", "catch_up = \"once\"");
    let (mut since, now) = (at("2026-11-24T00:00:00Z"), at(NOW));
    let (mut looked, mut started) = (0, Vec::new());
    loop {
        let Due { runs, until, more } = table.due(since, now);
        assert!(runs.len() <= super::MOST_DUE);
        looked += runs.len();
        let due = Due { runs, until, more };
        for (run, decision) in table.decide(&due, now, Situation::default()) {
            if matches!(decision, Decision::Start { .. }) {
                started.push(run.due);
            }
        }
        since = until;
        if !more {
            break;
        }
    }
    assert_eq!((looked, since), (57 * 60, now));
    assert_eq!(started, [now]);
}

#[test]
fn the_rules_are_told_in_words() {
    let berlin = table(
        "30 2 * * *",
        "Europe/Berlin",
        "splay = \"10m\"\nnot_before = \"2026-12-01\"\nblackout = [\"2026-12-24..2026-12-27\"]\ncatch_up = \"once\"",
    );
    let rules = berlin.rules(at(NOW)).join("\n");
    for said in [
        "a time that does not exist runs at the moment it does so",
        "a time that comes twice runs once, the first time",
        "of a splay of 10m",
        "a run has 2h from that time",
        "no run before 2026-12-01",
        "nothing is started on 2026-12-24..2026-12-27",
        "the newest one is caught up, with a whole window",
        "a run is skipped while a sweep of this schedule has not ended",
    ] {
        assert!(rules.contains(said), "missing: {said}\nin:\n{rules}");
    }
    let tokyo = table("30 2 * * *", "Asia/Tokyo", "").rules(at(NOW)).join("\n");
    assert!(
        tokyo.contains("not put forward or back") && tokyo.contains("after that it is skipped"),
        "{tokyo}"
    );
}

#[test]
fn a_time_is_read_as_it_is_written() {
    let berlin = table("0 2 * * *", "Europe/Berlin", "");
    for (text, expected) in [
        ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00Z"),
        ("2026-12-01T08:00:00+09:00", "2026-11-30T23:00:00Z"),
        ("2026-12-01 08:00", "2026-12-01T07:00:00Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
    ] {
        assert_eq!(berlin.read(text).unwrap(), at(expected), "{text}");
    }
    for text in ["", "tomorrow", "8h", "2026-13-01"] {
        assert!(berlin.read(text).unwrap_err().to_string().contains("2026-12-31 08:00"), "{text}");
    }
}

#[test]
fn an_estimate_names_the_limit_that_binds() {
    let of = |targets, tasks, probes| {
        let budgets = Budgets { target: 200, vantages: 1, link: None };
        let load = Load { targets, tasks, probes, jobs: 8 };
        let estimate = estimate(load, sekisho_model::rates::Rates::default(), budgets);
        (estimate.fastest_seconds, estimate.slowest_seconds, estimate.bound)
    };
    assert_eq!(of(1, 20, 1), (1, 8, Bound::RoundTrips));
    assert_eq!(of(2, 200, 1), (1, 32, Bound::PerTarget));
    assert_eq!(of(10_000, 190_000, 1), (95, 760, Bound::Concurrency));
    assert_eq!(of(10_000, 190_000, 2), (48, 380, Bound::Concurrency));
    assert_eq!(of(0, 0, 0), (1, 8, Bound::RoundTrips));
}

#[test]
fn an_estimate_names_the_budget_that_binds() {
    let of = |vantages, link| {
        let load = Load { targets: 2, tasks: 40, probes: 1, jobs: 1 };
        let budgets = Budgets { target: 200, vantages, link };
        let estimate = estimate(load, sekisho_model::rates::Rates::default(), budgets);
        (estimate.fastest_seconds, estimate.slowest_seconds, estimate.bound)
    };
    assert_eq!(of(4, None), (1, 8, Bound::RoundTrips));
    assert_eq!(
        of(1_000, None),
        (100, 1_700, Bound::TargetBudget),
        "20 flows from each of 1,000 at 200 a second"
    );
    assert_eq!(of(4, Some(10)), (4, 68, Bound::LinkBudget), "40 flows over one link at 10 a second");
    let words = [Bound::TargetBudget, Bound::LinkBudget].map(Bound::word);
    assert_eq!(words, ["target-budget", "link-budget"]);
}

fn zone() -> impl Strategy<Value = &'static str> {
    select(&[
        "Europe/Berlin",
        "America/New_York",
        "Asia/Tokyo",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "UTC",
    ])
}

fn cron() -> impl Strategy<Value = &'static str> {
    select(&[
        "30 2 * * *",
        "*/20 * * * *",
        "0 */3 * * 1-5",
        "59 23 L * *",
        "0 0 * * *",
        "15,45 1-3 * * *",
        "0 3 29 2 *",
    ])
}

/// Minutes from 2026-01-01 on.
fn minute(minutes: i64) -> Timestamp {
    at("2026-01-01T00:00:00Z") + minutes.minutes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn due_runs_are_the_same_however_the_time_is_cut(
        zone in zone(), cron in cron(), splay in select(&["", "splay = \"90m\""]),
        start in 0..500_000_i64, mut cuts in proptest::collection::vec(0..5_000_000_i64, 0..12),
    ) {
        let table = table(cron, zone, splay);
        // Cuts to the tenth of a second over some six days.
        cuts.sort_unstable();
        let moments: Vec<Timestamp> = cuts.iter().map(|tenths| minute(start) + (tenths * 100).milliseconds()).collect();
        let (first, last) = (minute(start), minute(start) + 500_000.seconds());
        let mut parts = Vec::new();
        let mut since = first;
        for moment in moments.into_iter().chain([last]) {
            let due = table.due(since, moment);
            prop_assert!(!due.more);
            parts.extend(due.runs);
            since = moment;
        }
        prop_assert_eq!(parts, table.due(first, last).runs);
    }

    #[test]
    fn a_run_is_due_exactly_when_the_clock_first_shows_its_time_or_jumps_over_it(
        zone in zone(), cron in cron(), change in 0..4_usize, lead in 1..2_880_i64,
    ) {
        let table = table(cron, zone, "");
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        // Two days around a change of the clock, where the zone has any.
        let change = tz.following(minute(0)).nth(change).map_or(minute(20_000), |change| change.timestamp());
        let start = (change.as_second() - minute(0).as_second()) / 60 - lead;
        let runs = table.due(minute(start), minute(start) + 48.hours()).runs;
        let pattern = cron.parse::<crate::inventory::Cron>().unwrap();
        let mut expected = Vec::new();
        for number in 1..=2 * 24 * 60_i64 {
            let now = minute(start + number);
            let (wall, before) = (tz.to_datetime(now), tz.to_datetime(minute(start + number - 1)));
            let is_first = tz.to_ambiguous_timestamp(wall).earlier().unwrap() == now;
            let shown = is_first && pattern.pattern().is_time_matching(&wall).unwrap();
            let mut skipped = before + 1.minute();
            let mut jumped = false;
            while skipped < wall {
                jumped |= pattern.pattern().is_time_matching(&skipped).unwrap();
                skipped += 1.minute();
            }
            if shown || jumped {
                expected.push(now.to_string());
            }
        }
        prop_assert_eq!(dues(&runs), expected);
    }

    #[test]
    fn however_often_somebody_looks_each_run_gets_one_decision_and_none_is_lost(
        zone in zone(), cron in cron(), once in any::<bool>(), start in 0..500_000_i64, step in 1..2_000_i64,
    ) {
        let table = table(cron, zone, if once { "catch_up = \"once\"" } else { "" });
        let (mut since, end) = (minute(start), minute(start + 6_000));
        let mut decided = Vec::new();
        while since < end {
            let now = since + step.minutes();
            let due = table.due(since, now);
            let decisions = table.decide(&due, now, Situation::default());
            let starts = decisions.iter().filter(|(_, d)| matches!(d, Decision::Start { .. })).count();
            prop_assert!(starts <= 1);
            // Somebody who looks in time, or catches up, starts one whenever one is due.
            if once || step < 120 {
                prop_assert_eq!(starts, usize::from(!due.runs.is_empty()));
            }
            decided.extend(decisions.into_iter().map(|(run, _)| run));
            since = now;
        }
        prop_assert_eq!(decided, table.due(minute(start), since).runs);
    }

    #[test]
    fn no_text_makes_the_reader_of_times_panic(text in "\\PC{0,40}") {
        drop(table("0 2 * * *", "Europe/Berlin", "").read(&text));
    }
}
