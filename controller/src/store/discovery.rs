//! Results of discoveries.

use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Named, Result};

/// One result of a discovery job.
pub(crate) struct Discovery {
    pub(crate) job: Uuid,
    pub(crate) task: i32,
    pub(crate) domain: i32,
    pub(crate) outcome: &'static str,
    pub(crate) facts: String,
    pub(crate) evidence: String,
    pub(crate) observed_at: jiff::Timestamp,
}

/// At how many vantages each domain's records could be asked in a sweep.
pub(crate) async fn asked(connection: &mut PgConnection, sweep: i64) -> Result<Vec<(i32, i64)>> {
    sqlx::query_as(
        "SELECT domain_id, count(*) FROM discovery WHERE sweep_id = $1 AND outcome = 'open' GROUP BY domain_id",
    )
    .bind(sweep)
    .fetch_all(connection)
    .await
    .named("counting discoveries")
}

/// Whether a task of a locked job has its result.
pub(crate) async fn is_known(connection: &mut PgConnection, job: Uuid, task: i32) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM discovery WHERE job_id = $1 AND task = $2)")
        .bind(job)
        .bind(task)
        .fetch_one(connection)
        .await
        .named("looking for the result of a discovery")
}

/// Writes a result of a locked job down. Says whether it was not there yet.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    probe: Uuid,
    discovery: &Discovery,
    targets: &[i32],
) -> Result<bool> {
    let written = sqlx::query(
        "INSERT INTO discovery (job_id, task, sweep_id, vantage_id, domain_id, outcome, target_ids, facts, evidence,
                                observed_at, probe_id)
         SELECT j.id, $2, j.sweep_id, j.vantage_id, $3, $4::outcome, $5, $6::jsonb, $7::jsonb, $8, $9
         FROM job j WHERE j.id = $1
         ON CONFLICT (job_id, task) DO NOTHING",
    )
    .bind(discovery.job)
    .bind(discovery.task)
    .bind(discovery.domain)
    .bind(discovery.outcome)
    .bind(targets)
    .bind(&discovery.facts)
    .bind(&discovery.evidence)
    .bind(discovery.observed_at.to_sqlx())
    .bind(probe)
    .execute(connection)
    .await
    .named("writing the result of a discovery")?;
    Ok(written.rows_affected() > 0)
}
