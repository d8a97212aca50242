//! `kill -9` of each part, at several moments of a running sweep: the sweep ends, every flow and check is counted once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{thread, time::Duration};

use sekisho_model::{SweepState, SweepSummary};
use sekisho_tests::{World, wait_for};

/// Moments after the start of a sweep. A sweep of the lab takes nine seconds and more.
const MOMENTS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(400),
    Duration::from_millis(2_500),
    Duration::from_millis(7_200),
];

fn world(name: &str) -> World {
    let mut world = World::with(name, "[settings]\nlost_grace = \"8s\"\n", &[]).unwrap();
    for vlan in ["vlan10", "vlan20", "vlan30"] {
        world.probe(vlan, &["10.77.1.0/24"]).unwrap();
    }
    world.online(3).unwrap();
    world
}

/// Starts a sweep and gives its number.
fn start(world: &World) -> String {
    let started = world.controller.ok(&["sweep", "run", "--format", "json"]).unwrap();
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    started["id"].to_string()
}

/// Waits for the end of a sweep and checks its counts against the rows of the database.
fn ended(world: &World, sweep: &str) -> SweepSummary {
    let summary = wait_for("the end of the sweep", Duration::from_secs(120), || {
        let summary = world.controller.matrix(sweep)?.sweep;
        Ok(summary.filter(|s| s.state != SweepState::Running))
    })
    .unwrap();
    assert_eq!(summary.planned, summary.observed + summary.missed, "{summary:?}");
    let rows = format!(
        "SELECT count(*), count(DISTINCT (job_id, task)) FROM (
             SELECT j.id AS job_id, o.task, j.sweep_id FROM observation o JOIN job j ON j.number = o.job UNION ALL
             SELECT job_id, task, sweep_id FROM check_result) AS result WHERE sweep_id = {sweep}"
    );
    assert_eq!(world.controller.query(&rows).unwrap(), format!("{0}|{0}", summary.observed));
    let matrix = world.controller.matrix(sweep).unwrap();
    assert_eq!(i64::try_from(matrix.checks.len()).unwrap(), summary.checks);
    assert_eq!(i64::try_from(matrix.cells.len() + matrix.checks.len()).unwrap(), summary.planned);
    summary
}

/// The moment is what is tested here: nothing tells it but the clock.
#[allow(clippy::disallowed_methods, reason = "kills come at moments, not at conditions")]
fn at(moment: Duration) {
    thread::sleep(moment);
}

#[test]
fn of_a_probe_that_comes_back() {
    let mut world = world("kill-probe");
    for moment in MOMENTS {
        let sweep = start(&world);
        at(moment);
        world.probes[1].kill().unwrap();
        world.probes[1].run(&world.lab).unwrap();
        let summary = ended(&world, &sweep);
        assert_eq!((summary.state, summary.missed), (SweepState::Complete, 0), "killed after {moment:?}");
        world.online(3).unwrap();
    }
}

#[test]
fn of_a_probe_that_stays_away_and_hands_in_later() {
    let mut world = world("kill-away");
    let sweep = start(&world);
    at(Duration::from_millis(2_500));
    world.probes[1].kill().unwrap();
    let summary = ended(&world, &sweep);
    assert_eq!(summary.state, SweepState::Partial);
    // Two of three vantages are whole.
    assert!(summary.missed > 0 && 3 * summary.observed > 2 * summary.planned, "{summary:?}");
    let reasons = format!("SELECT DISTINCT reason FROM job WHERE sweep_id = {sweep} AND missed > 0");
    assert_eq!(world.controller.query(&reasons).unwrap(), "probe-lost");
    // The next sweep is none the worse.
    world.probes[1].run(&world.lab).unwrap();
    world.online(3).unwrap();
    let next = start(&world);
    assert_eq!(ended(&world, &next).state, SweepState::Complete);
    ended(&world, &sweep);
}

#[test]
fn of_the_controller() {
    let mut world = world("kill-controller");
    for moment in MOMENTS {
        let sweep = start(&world);
        at(moment);
        world.controller.kill().unwrap();
        world.controller.restart().unwrap();
        let summary = ended(&world, &sweep);
        assert_eq!((summary.state, summary.missed), (SweepState::Complete, 0), "killed after {moment:?}");
        world.online(3).unwrap();
    }
}

#[test]
fn of_postgresql() {
    let world = world("kill-postgres");
    for moment in MOMENTS {
        let sweep = start(&world);
        at(moment);
        world.controller.kill_postgres().unwrap();
        let summary = ended(&world, &sweep);
        assert_eq!((summary.state, summary.missed), (SweepState::Complete, 0), "killed after {moment:?}");
        world.online(3).unwrap();
    }
}
