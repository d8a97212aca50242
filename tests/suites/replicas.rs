//! Two controllers on one database: they run one sweep together, and the rest of it where one of them goes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it tells how long it took")]

use std::time::{Duration, Instant};

use sekisho_lab::truth;
use sekisho_model::{Outcome, SweepState};
use sekisho_tests::{Controller, Postgres, World, wait_for};

const DC_NETWORK: &[&str] = &["10.77.1.0/24"];
const SOON: Duration = Duration::from_secs(60);

#[test]
fn two_controllers_run_one_sweep() {
    let postgres = Postgres::start().unwrap();
    let mut world = World::with("replicas", "", &["--database-url", &postgres.url()]).unwrap();
    let second = world.further_controller("second", &postgres.url()).unwrap();
    world.probe("vlan10", DC_NETWORK).unwrap();
    let mut others = Vec::new();
    for vlan in ["vlan20", "vlan30"] {
        others.push(world.probe_at(&second, vlan, DC_NETWORK).unwrap());
    }
    world.online(3).unwrap();
    assert_eq!(sessions(&postgres), "1,2");

    // From each of 3 vantages: 19 services of 3 targets, and 9 checks.
    let sweep = world.sweep(&[]).unwrap();
    assert_eq!((sweep.state, sweep.planned, sweep.observed), (SweepState::Complete, 198, 198));
    let one = world.controller.matrix("latest").unwrap();
    let other = second.matrix("latest").unwrap();
    assert_eq!(one, other);
    for row in truth() {
        let cell = one.cells.iter().find(|cell| {
            cell.vantage == row.vantage && cell.address == row.address && cell.service == row.service
        });
        if let Some(cell) = cell {
            assert_eq!(cell.outcome, row.outcome, "{cell:?}");
        }
    }
    assert!(one.cells.iter().any(|cell| cell.outcome == Outcome::Open));
    for (table, job, count) in [("observation", "job", "171|171"), ("check_result", "job_id", "27|27")] {
        let rows = format!("SELECT count(*), count(DISTINCT ({job}, task)) FROM {table}");
        assert_eq!(postgres.query(&rows).unwrap(), count, "{table}");
    }
    drop(others);
}

/// Controllers on one database, probes that know both and are all with the first one, and a sweep that runs.
fn begun(name: &str, postgres: &Postgres) -> (World, Controller) {
    let mut world = World::with(name, "", &["--database-url", &postgres.url()]).unwrap();
    let second = world.further_controller("second", &postgres.url()).unwrap();
    for vlan in ["vlan10", "vlan20", "vlan30"] {
        let probe = world.probe_of(&[&world.controller, &second], vlan, DC_NETWORK).unwrap();
        world.probes.push(probe);
    }
    world.online(3).unwrap();
    assert_eq!(sessions(postgres), "3");
    world.controller.ok(&["sweep", "run"]).unwrap();
    wait_for("some results", SOON, || {
        let rows = postgres.query("SELECT count(*) FROM observation")?;
        Ok((rows.parse::<u32>()? >= 30).then_some(()))
    })
    .unwrap();
    (world, second)
}

/// How many sessions each controller that has any holds.
fn sessions(postgres: &Postgres) -> String {
    let spread = "SELECT string_agg(n::text, ',' ORDER BY n) FROM (SELECT count(*) AS n FROM probe \
                  WHERE session_id IS NOT NULL GROUP BY controller_id) AS x";
    postgres.query(spread).unwrap()
}

fn ends_complete(controller: &Controller) {
    let sweep = wait_for("the end of the sweep", Duration::from_secs(180), || {
        Ok(controller.matrix("1")?.sweep.filter(|sweep| sweep.state != SweepState::Running))
    })
    .unwrap();
    assert_eq!(
        (sweep.state, sweep.planned, sweep.observed, sweep.missed),
        (SweepState::Complete, 198, 198, 0),
        "{sweep:?}"
    );
}

#[test]
fn a_controller_that_dies_hands_over() {
    let postgres = Postgres::start().unwrap();
    let (mut world, mut second) = begun("handover", &postgres);
    let first = postgres.query("SELECT DISTINCT controller_id FROM probe").unwrap();
    let of = |comparison: &str| {
        let of = format!("session_id IS NOT NULL AND controller_id {comparison} '{first}'");
        postgres.query(&format!("SELECT count(*) FROM probe WHERE {of}"))
    };
    let rows = "SELECT count(*) FROM observation";
    world.controller.kill().unwrap();
    let died = Instant::now();
    let before: u32 = postgres.query(rows).unwrap().parse().unwrap();
    wait_for("the probes at the other controller", SOON, || Ok((of("<>")? == "3").then_some(()))).unwrap();
    let connected = died.elapsed();
    wait_for("further results", SOON, || Ok((postgres.query(rows)?.parse::<u32>()? > before).then_some(())))
        .unwrap();
    println!(
        "handed over {:.1} s after the kill, results {:.1} s after it",
        connected.as_secs_f32(),
        died.elapsed().as_secs_f32()
    );
    ends_complete(&second);
    // One that says nothing any more, as a machine without power.
    world.controller.restart().unwrap();
    second.silence().unwrap();
    let silent = Instant::now();
    wait_for("the probes at the first controller", SOON, || Ok((of("=")? == "3").then_some(()))).unwrap();
    println!("handed over {:.1} s after the other fell silent", silent.elapsed().as_secs_f32());
    second.kill().unwrap();
    world.online(3).unwrap();
}

#[test]
fn a_rolling_restart_loses_no_task() {
    let postgres = Postgres::start().unwrap();
    let (mut world, mut second) = begun("rolling", &postgres);
    world.controller.stop().unwrap();
    world.controller.restart().unwrap();
    second.stop().unwrap();
    second.restart().unwrap();
    ends_complete(&second);
    assert_eq!(world.controller.matrix("1").unwrap(), second.matrix("1").unwrap());
    world.online(3).unwrap();
}
