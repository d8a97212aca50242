//! The flows of a sweep and what came of them.

use std::net::IpAddr;

use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// One flow that was observed, or missed: then `outcome` is null.
#[derive(FromRow)]
pub(crate) struct Cell {
    pub(crate) vantage: String,
    pub(crate) subnet: Option<String>,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) service: String,
    pub(crate) outcome: Option<String>,
    pub(crate) by: Option<IpAddr>,
    pub(crate) rtt_us: Option<i32>,
    pub(crate) attempts: Option<i16>,
    pub(crate) confirmed: Option<bool>,
    pub(crate) facts: Option<Value>,
    /// Why the job ended before its time, where it did.
    pub(crate) reason: Option<String>,
    pub(crate) observed_at: Option<Timestamp>,
}

/// Every flow of a sweep that is observed, or whose job has ended.
pub(crate) async fn cells(connection: &mut PgConnection, sweep: i64) -> Result<Vec<Cell>> {
    sqlx::query_as(
        "SELECT v.name AS vantage, v.subnet::text AS subnet, t.host, t.address, s.name AS service,
                o.outcome::text AS outcome, o.by, o.rtt_us, o.attempts, o.confirmed, o.facts, j.reason,
                o.observed_at
         FROM job j
         CROSS JOIN LATERAL unnest(j.task_targets, j.task_services) WITH ORDINALITY
             AS task (target_id, service_id, number)
         JOIN vantage v ON v.id = j.vantage_id
         JOIN target t ON t.id = task.target_id
         JOIN service s ON s.id = task.service_id
         LEFT JOIN observation o ON o.job_id = j.id AND o.task = task.number - 1
         WHERE j.sweep_id = $1 AND j.kind = 'check' AND (o.job_id IS NOT NULL OR j.state = 'finished')",
    )
    .bind(sweep)
    .fetch_all(connection)
    .await
    .named("reading the matrix of a sweep")
}
