//! Results of checks of vantages.

use std::net::IpAddr;

use jiff_sqlx::{Timestamp, ToSqlx};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// One result of a vantage job.
pub(crate) struct CheckResult {
    pub(crate) job: Uuid,
    pub(crate) task: i32,
    pub(crate) status: &'static str,
    pub(crate) facts: String,
    pub(crate) observed_at: jiff::Timestamp,
}

/// Writes results of locked jobs down. Returns the job of each that was not there yet.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    probe: Uuid,
    results: &[CheckResult],
) -> Result<Vec<Uuid>> {
    if results.is_empty() {
        return Ok(Vec::new());
    }
    let list = results;
    sqlx::query_scalar(
        "INSERT INTO check_result (job_id, task, sweep_id, vantage_id, domain_id, target_id, computer, kind, status,
                                   facts, observed_at, probe_id)
         SELECT j.id, r.task, j.sweep_id, j.vantage_id, j.domain_ids[r.task + 1], j.task_targets[r.task + 1],
                j.task_computers[r.task + 1], j.task_checks[r.task + 1], r.status::check_status, r.facts::jsonb,
                r.observed_at, $1
         FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[])
              AS r (job_id, task, status, facts, observed_at)
         JOIN job j ON j.id = r.job_id
         ON CONFLICT (job_id, task) DO NOTHING RETURNING job_id",
    )
    .bind(probe)
    .bind(list.iter().map(|r| r.job).collect::<Vec<_>>())
    .bind(list.iter().map(|r| r.task).collect::<Vec<_>>())
    .bind(list.iter().map(|r| r.status).collect::<Vec<_>>())
    .bind(list.iter().map(|r| r.facts.as_str()).collect::<Vec<_>>())
    .bind(list.iter().map(|r| r.observed_at.to_sqlx()).collect::<Vec<Timestamp>>())
    .fetch_all(connection)
    .await
    .named("writing results of checks")
}

/// One check that was done, or missed: then `status` is null.
#[derive(FromRow)]
pub(crate) struct Check {
    pub(crate) vantage: String,
    pub(crate) domain: String,
    pub(crate) host: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) computer: Option<String>,
    pub(crate) kind: String,
    pub(crate) status: Option<String>,
    pub(crate) facts: Option<Value>,
    /// Why the job ended before its time, where it did.
    pub(crate) reason: Option<String>,
    pub(crate) observed_at: Option<Timestamp>,
}

/// What [`of_sweep`] asks. Public for the test of its plan.
pub const OF_SWEEP: &str = "
    SELECT v.name AS vantage, d.name AS domain, t.host, t.address, task.computer, task.kind,
           r.status::text AS status, r.facts, j.reason, r.observed_at
    FROM job j
    CROSS JOIN LATERAL unnest(j.task_checks, j.domain_ids, j.task_targets, j.task_computers) WITH ORDINALITY
        AS task (kind, domain_id, target_id, computer, number)
    JOIN vantage v ON v.id = j.vantage_id
    JOIN domain d ON d.id = task.domain_id
    LEFT JOIN target t ON t.id = task.target_id
    LEFT JOIN check_result r ON r.job_id = j.id AND r.task = task.number - 1
    WHERE j.sweep_id = $1 AND j.kind = 'vantage' AND ($2::integer[] IS NULL OR j.vantage_id = ANY($2))
      AND (r.job_id IS NOT NULL OR j.state = 'finished')";

/// Every check of a sweep, of these vantages or of all, that is done, or whose job has ended.
pub(crate) async fn of_sweep(
    connection: &mut PgConnection,
    sweep: i64,
    vantages: Option<&[i32]>,
) -> Result<Vec<Check>> {
    sqlx::query_as(OF_SWEEP)
        .bind(sweep)
        .bind(vantages)
        .fetch_all(connection)
        .await
        .named("reading the checks of a sweep")
}
