//! Two controllers on one database, each with a part of the probes, run one sweep together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sekisho_lab::truth;
use sekisho_model::{Outcome, SweepState};
use sekisho_tests::{Postgres, World};

const DC_NETWORK: &[&str] = &["10.77.1.0/24"];

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
    let spread = "SELECT string_agg(n::text, ',' ORDER BY n) FROM (SELECT count(*) AS n FROM probe \
                  WHERE session_id IS NOT NULL GROUP BY controller_id) AS x";
    assert_eq!(postgres.query(spread).unwrap(), "1,2");

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
