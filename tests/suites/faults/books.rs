//! What must be true after any fault: every task is counted once, and nothing that was observed is lost.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use sekisho_model::{SweepState, SweepSummary};
use sekisho_tests::wait_for;
use std::time::Duration;

use super::{
    plan::{CONTROLLERS, Part, What},
    stage::Stage,
};

/// A result: a job and a task of it.
type Result = (String, u32);

/// Each query gives one line for each thing that is wrong.
const WRONG: [(&str, &str); 7] = [
    (
        "a job that has ended, in a sweep that has ended, counts each task once",
        "SELECT j.sweep_id, j.id, j.state, j.planned, j.observed, j.missed FROM job j JOIN sweep s ON s.id = j.sweep_id
         WHERE s.state <> 'running' AND (j.state <> 'finished' OR j.planned <> j.observed + j.missed)",
    ),
    (
        "a job counts as observed what there are rows of",
        "SELECT j.sweep_id, j.id, j.observed, count(r.job) FROM job j LEFT JOIN result r ON r.job = j.id
         GROUP BY j.id HAVING j.observed <> count(r.job)",
    ),
    ("no task has two results", "SELECT job, task FROM result GROUP BY job, task HAVING count(*) > 1"),
    (
        "a sweep of a schedule is of one run",
        "SELECT s.id, count(r.due_at) FROM sweep s LEFT JOIN schedule_run r ON r.sweep_id = s.id
         WHERE s.schedule IS NOT NULL GROUP BY s.id HAVING count(r.due_at) <> 1",
    ),
    (
        "a run is a sweep, or has a reason why it is none",
        "SELECT schedule, due_at, state, reason FROM schedule_run
         WHERE state = 'failed' OR (state = 'started' AND sweep_id IS NULL) OR (state = 'skipped' AND reason IS NULL)",
    ),
    (
        "every time of a schedule has its run",
        "SELECT c.name, t.due FROM schedule c
         CROSS JOIN LATERAL (SELECT min(due_at) AS first FROM schedule_run WHERE schedule = c.name) f
         CROSS JOIN LATERAL generate_series(f.first, c.considered_until - interval '45 s', interval '1 min') AS t (due)
         LEFT JOIN schedule_run r ON r.schedule = c.name AND r.due_at = t.due WHERE r.due_at IS NULL",
    ),
    (
        "a schedule was looked at when it was due",
        "SELECT name, considered_until FROM schedule WHERE considered_until < now() - interval '75 s'",
    ),
];

/// Every result that there is.
const RESULT: &str = "WITH result AS (
    SELECT j.id AS job, o.task::integer AS task FROM observation o JOIN job j ON j.number = o.job
    UNION ALL SELECT job_id, task FROM check_result UNION ALL SELECT job_id, task FROM discovery) ";

impl Stage {
    /// Looks at everything so far.
    pub(crate) fn books(&mut self) -> anyhow::Result<()> {
        self.nothing_is_lost()?;
        for (what, query) in WRONG {
            let wrong = self.postgres.query(&format!("{RESULT}{query}"))?;
            ensure!(wrong.is_empty(), "not true: {what}:\n{wrong}");
        }
        for number in 0..CONTROLLERS {
            let sweeps =
                self.controller(number).ok(&["sweep", "list", "--limit", "500", "--format", "json"])?;
            let sweeps: Vec<SweepSummary> = serde_json::from_str(&sweeps)?;
            for sweep in sweeps.iter().filter(|sweep| sweep.state != SweepState::Running) {
                ensure!(sweep.planned == sweep.observed + sweep.missed, "controller {number}: {sweep:?}");
                let is_whole = sweep.state == SweepState::Complete;
                ensure!(!is_whole || sweep.missed == 0, "controller {number}: {sweep:?}");
            }
        }
        self.logs_are_quiet()
    }

    /// What a probe has observed, or was told to be committed, is in the database.
    fn nothing_is_lost(&self) -> anyhow::Result<()> {
        let logs: String = self.world.probes.iter().map(sekisho_tests::Probe::log).collect();
        let observed = observed(&logs);
        ensure!(!observed.is_empty(), "the probes do not say what they observe");
        for place in 0..self.world.probes.len() {
            let spool = self.world.probes[place].ask(&self.world.lab, "spool")?;
            let dropped = (spool["dropped_full"].as_u64(), spool["dropped_old"].as_u64());
            ensure!(dropped == (Some(0), Some(0)), "{spool}");
        }
        // What was observed just now may still be on its way.
        wait_for("every observation to be in the database", Duration::from_secs(60), || {
            let rows = self.postgres.query(&format!("{RESULT}SELECT job, task FROM result"))?;
            let rows: BTreeSet<Result> = rows.lines().filter_map(row).collect();
            let lost: Vec<&Result> = observed.difference(&rows).collect();
            ensure!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), observed.len());
            Ok(Some(()))
        })
    }

    /// No program panics, no probe drops anything, and an error is logged only where a fault explains it.
    fn logs_are_quiet(&mut self) -> anyhow::Result<()> {
        for probe in &self.world.probes {
            let log = probe.log();
            let bad = log.lines().find(|line| line.contains("panicked at") || is_error(line));
            ensure!(bad.is_none(), "the probe of {}: {}", probe.vantage, bad.unwrap_or(""));
        }
        for number in 0..CONTROLLERS {
            let log = self.controller(number).logs();
            let is_bad = |line: &&str| {
                line.contains("panicked at")
                    || line.contains("observations were dropped")
                    || (is_error(line) && !self.is_explained(number, line))
            };
            let bad = log.lines().find(is_bad);
            ensure!(bad.is_none(), "controller {number}: {}", bad.unwrap_or(""));
        }
        Ok(())
    }

    /// Whether the database was away from that controller, or held up by another one that stood still, or the controller
    /// itself stood still.
    fn is_explained(&self, controller: usize, line: &str) -> bool {
        let Some(at) = line.split_whitespace().next().and_then(|at| at.parse::<Timestamp>().ok()) else {
            return false;
        };
        let grace = SignedDuration::from_secs(20);
        self.suffered.iter().any(|fault| {
            let explains = match fault.what {
                What::Kill(Part::Postgres) | What::Pause(Part::Postgres | Part::Controller(_)) => true,
                What::Database(number, _) => number == controller,
                What::Kill(_) | What::Pause(Part::Probe(_)) | What::Session(..) | What::Flows(_) => false,
            };
            explains && fault.from <= at && at <= fault.until + grace
        })
    }

    /// What there was, in a line.
    pub(crate) fn sums(&self) -> anyhow::Result<String> {
        let sums = self.postgres.query(&format!(
            "{RESULT}SELECT format('%s nights by the clock (%s complete, %s partial, %s with parts that probes ran by themselves), %s runs skipped, %s results, %s missed',
                 count(*) FILTER (WHERE schedule IS NOT NULL), count(*) FILTER (WHERE schedule IS NOT NULL AND state = 'complete'),
                 count(*) FILTER (WHERE schedule IS NOT NULL AND state = 'partial'), (SELECT count(DISTINCT sweep_id) FROM job WHERE autonomous),
                 (SELECT count(*) FROM schedule_run WHERE state = 'skipped'), (SELECT count(*) FROM result), (SELECT sum(missed) FROM job)) FROM sweep"
        ))?;
        let logs: String = self.world.probes.iter().map(sekisho_tests::Probe::log).collect();
        Ok(format!(
            "{sums}; {} results seen in the probes' logs; {} vain starts of controllers",
            observed(&logs).len(),
            self.vain_starts
        ))
    }
}

fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR")
}

/// The results that probes say to have in their spools, or to be committed.
fn observed(logs: &str) -> BTreeSet<Result> {
    let lines = logs.lines().filter(|line| {
        line.contains("observations are in the spool") || line.contains("observations are committed")
    });
    lines.flat_map(|line| tasks(line).unwrap_or_default()).collect()
}

/// `... job=UUID tasks=[1, 2]`
fn tasks(line: &str) -> anyhow::Result<Vec<Result>> {
    let after = |name: &str| line.split_once(name).map(|(_, rest)| rest).context("no such field");
    let job = after("job=")?.split_whitespace().next().context("no job")?;
    let tasks = after("tasks=[")?.split(']').next().context("no tasks")?;
    tasks.split(", ").map(|task| Ok((job.to_owned(), task.parse()?))).collect()
}

fn row(line: &str) -> Option<Result> {
    let (job, task) = line.split_once('|')?;
    Some((job.to_owned(), task.parse().ok()?))
}
