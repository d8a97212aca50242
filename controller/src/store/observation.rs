//! Observations of flows.

use std::net::IpAddr;

use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result, span::Flow};

/// One observation of a check job.
pub(crate) struct Observation {
    pub(crate) job: Uuid,
    pub(crate) task: i32,
    pub(crate) outcome: &'static str,
    pub(crate) by: Option<IpAddr>,
    pub(crate) rtt_us: Option<i32>,
    pub(crate) attempts: i16,
    pub(crate) confirmed: bool,
    pub(crate) facts: String,
    pub(crate) evidence: String,
    pub(crate) observed_at: jiff::Timestamp,
}

/// An observation that was not there yet.
#[derive(FromRow)]
pub(crate) struct Written {
    #[sqlx(rename = "job_id")]
    pub(crate) job: Uuid,
    #[sqlx(rename = "sweep_id")]
    pub(crate) sweep: i64,
    #[sqlx(flatten)]
    pub(crate) flow: Flow,
    pub(crate) outcome: String,
    pub(crate) by: Option<IpAddr>,
    pub(crate) observed_at: Timestamp,
}

/// Writes observations of locked jobs down. Returns those that were not there yet.
///
/// Nothing is observed after it has come in: a clock that is ahead gets the time of arrival. Else the flow would look, until
/// that time comes, as it looks in that observation.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    probe: Uuid,
    observations: &[Observation],
) -> Result<Vec<Written>> {
    if observations.is_empty() {
        return Ok(Vec::new());
    }
    let list = observations;
    sqlx::query_as(
        "INSERT INTO observation (job_id, task, sweep_id, vantage_id, target_id, service_id, outcome, by, rtt_us,
                                  attempts, confirmed, facts, evidence, observed_at, probe_id)
         SELECT j.id, o.task, j.sweep_id, j.vantage_id, j.task_targets[o.task + 1], j.task_services[o.task + 1],
                o.outcome::outcome, o.by, o.rtt_us, o.attempts, o.confirmed, o.facts::jsonb, o.evidence::jsonb,
                least(o.observed_at, now()), $1
         FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::inet[], $6::integer[], $7::smallint[],
                     $8::boolean[], $9::text[], $10::text[], $11::timestamptz[])
              AS o (job_id, task, outcome, by, rtt_us, attempts, confirmed, facts, evidence, observed_at)
         JOIN job j ON j.id = o.job_id
         ON CONFLICT (job_id, task) DO NOTHING
         RETURNING job_id, sweep_id, vantage_id, target_id, service_id, outcome::text, by, observed_at",
    )
    .bind(probe)
    .bind(list.iter().map(|o| o.job).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.task).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.outcome).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.by).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.rtt_us).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.attempts).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.confirmed).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.facts.as_str()).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.evidence.as_str()).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.observed_at.to_sqlx()).collect::<Vec<Timestamp>>())
    .fetch_all(connection)
    .await
    .named("writing observations")
}
