//! A scheduled night while the controller is away: the probes run it, and hand it in when the controller is back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use sekisho_model::{SweepState, SweepSummary};
use sekisho_tests::{World, wait_for};
use serde_json::Value;

/// Time for a night to come and to be run.
const NIGHT: Duration = Duration::from_secs(300);

/// A time in the second minute to come, and its cron expression.
fn soon() -> (Timestamp, String) {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let due = (&now + 2.minutes()).with().second(0).subsec_nanosecond(0).build().unwrap();
    (due.timestamp(), due.strftime("%-M %-H * * *").to_string())
}

/// What a probe says of the job of this night: "held", or the newest that became of it.
fn fates(world: &World, probe: usize, due: Timestamp) -> anyhow::Result<Vec<String>> {
    let plan = world.probes[probe].ask(&world.lab, "plan")?;
    let of_night = |row: &&Value| row["due"].as_str().and_then(|at| at.parse().ok()) == Some(due);
    let rows = plan["plans"].as_array().into_iter().flatten().filter(of_night);
    let fates = plan["fates"].as_array().into_iter().flatten().filter(of_night);
    let words = fates.map(|fate| fate["what"].as_str().unwrap_or("?").to_owned());
    Ok(rows.map(|_| "held".to_owned()).chain(words).collect())
}

fn wait_for_fates(world: &World, probe: usize, due: Timestamp, what: &str, count: usize) {
    wait_for(&format!("{count} times {what} of probe {probe}"), NIGHT, || {
        let fates = fates(world, probe, due)?;
        let found = fates.iter().filter(|fate| *fate == what).count();
        anyhow::ensure!(!fates.contains(&"refused".to_owned()), "{fates:?}");
        if found == count { Ok(Some(())) } else { Err(anyhow::anyhow!("{fates:?}")) }
    })
    .unwrap();
}

fn spooled(world: &World, probe: usize) -> anyhow::Result<u64> {
    let spool = world.probes[probe].ask(&world.lab, "spool")?;
    assert_eq!((spool["dropped_full"].as_u64(), spool["dropped_old"].as_u64()), (Some(0), Some(0)));
    spool["observations"].as_u64().ok_or_else(|| anyhow::anyhow!("{spool}"))
}

#[test]
fn a_night_without_a_controller_is_run_and_handed_in() {
    let mut world = World::with("night", "[settings]\nplan_grace = \"3s\"\n", &[]).unwrap();
    for vlan in ["vlan10", "vlan20", "vlan30"] {
        world.probe(vlan, &["10.77.1.0/24"]).unwrap();
    }
    world.online(3).unwrap();
    // By this one it is known which domain controllers there are.
    let before = world.sweep(&[]).unwrap();
    assert_eq!(before.state, SweepState::Complete);

    let (due, cron) = soon();
    let schedule = format!(
        "[[schedule]]\nname = \"nightly\"\ncron = \"{cron}\"\ntime_zone = \"UTC\"\nwindow = \"1h\"\n"
    );
    world.apply(&format!("{}\n{schedule}", sekisho_lab::inventory())).unwrap();
    // A job of flows and one of checks for each.
    for probe in 0..3 {
        wait_for_fates(&world, probe, due, "held", 2);
    }
    assert!(Timestamp::now() < due, "the probes hold the plan before the night");
    world.controller.kill().unwrap();

    // The second probe is killed when it has observed something and not everything, and goes on where it was.
    let of_each = u64::try_from(before.planned).unwrap() / 3;
    let seen = wait_for("observations of the second probe", NIGHT, || {
        let seen = spooled(&world, 1)?;
        Ok((seen > 0).then_some(seen))
    })
    .unwrap();
    assert!(Timestamp::now() > due && seen < of_each, "{seen} of {of_each}");
    world.probes[1].kill().unwrap();
    world.probes[1].run(&world.lab).unwrap();
    for probe in 0..3 {
        wait_for_fates(&world, probe, due, "done", 2);
        wait_for("everything to be in the spool", NIGHT, || {
            let spooled = spooled(&world, probe)?;
            anyhow::ensure!(spooled == of_each, "{spooled} of {of_each}");
            Ok(Some(()))
        })
        .unwrap();
    }

    let back = Timestamp::now();
    world.controller.restart().unwrap();
    let sweeps = wait_for("the sweep of the night", NIGHT, || {
        let sweeps: Vec<SweepSummary> =
            serde_json::from_str(&world.controller.ok(&["sweep", "list", "--format", "json"])?)?;
        let newest = &sweeps[0];
        let is_complete = newest.id != before.id && newest.state == SweepState::Complete;
        if is_complete { Ok(Some(sweeps)) } else { Err(anyhow::anyhow!("{newest:?}")) }
    })
    .unwrap();
    assert_eq!(sweeps.len(), 2, "one night, one sweep");
    let night = &sweeps[0];
    assert_eq!((night.planned, night.observed, night.missed), (before.planned, before.planned, 0));
    assert_eq!(night.started_at, due, "it began when it was due");
    assert!(night.finished_at.unwrap() >= back - SignedDuration::from_secs(1));
    let rows = format!(
        "SELECT count(*), count(DISTINCT (job_id, task)) FROM (
             SELECT j.id AS job_id, o.task, j.sweep_id FROM observation o JOIN job j ON j.number = o.job UNION ALL
             SELECT job_id, task, sweep_id FROM check_result) AS result WHERE sweep_id = {}",
        night.id
    );
    assert_eq!(world.controller.query(&rows).unwrap(), format!("{0}|{0}", night.planned));

    is_told_as_late(&world, night, back);
    is_as_before(&world, &before, due, back);
    is_behind(&world, due);
}

/// Who ran it, and how late it came in.
fn is_told_as_late(world: &World, night: &SweepSummary, back: Timestamp) {
    let shown = world.controller.ok(&["sweep", "show", &night.id.to_string(), "--format", "json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let jobs = shown["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 6, "{jobs:?}");
    for job in jobs {
        let handed_in: Timestamp = job["handed_in_at"].as_str().unwrap().parse().unwrap();
        assert!(job["autonomous"] == true && handed_in > back - SignedDuration::from_secs(1), "{job}");
    }
}

/// The flows came out as on the night before, and were tested while no controller was there.
fn is_as_before(world: &World, before: &SweepSummary, due: Timestamp, back: Timestamp) {
    let (first, second) = (
        world.controller.matrix(&before.id.to_string()).unwrap(),
        world.controller.matrix("latest").unwrap(),
    );
    for (then, now) in first.cells.iter().zip(&second.cells) {
        assert_eq!((&then.vantage, &then.address, then.service), (&now.vantage, &now.address, now.service));
        assert_eq!(then.outcome, now.outcome, "{now:?}");
        assert!(now.observed_at.is_some_and(|at| at > due && at < back), "{now:?}");
    }
}

/// Nothing is left of that night, and the next ones are held.
fn is_behind(world: &World, due: Timestamp) {
    for probe in 0..3 {
        wait_for("an empty spool and the next nights", NIGHT, || {
            let plan = world.probes[probe].ask(&world.lab, "plan")?;
            let held = plan["plans"].as_array().map_or(0, Vec::len);
            let of_night = fates(world, probe, due)?.contains(&"held".to_owned());
            anyhow::ensure!(spooled(world, probe)? == 0 && !of_night && held >= 2, "{plan}");
            Ok(Some(()))
        })
        .unwrap();
    }
}
