//! Where sweeps are in traces, and what spans are made of.

use jiff_sqlx::Timestamp;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// A sweep in its trace.
#[derive(FromRow)]
pub(crate) struct Sweep {
    pub(crate) traceparent: String,
    pub(crate) trace_parent: Option<String>,
    pub(crate) schedule: Option<String>,
}

/// A sweep that is traced and has ended.
pub(crate) async fn ended(connection: &mut PgConnection, sweep: i64) -> Result<Option<Sweep>> {
    sqlx::query_as(
        "SELECT traceparent, trace_parent, schedule FROM sweep
         WHERE id = $1 AND traceparent IS NOT NULL AND finished_at IS NOT NULL",
    )
    .bind(sweep)
    .fetch_optional(connection)
    .await
    .named("reading the trace of a sweep")
}

/// The traces of these sweeps, as far as they have one.
pub(crate) async fn of_sweeps(connection: &mut PgConnection, sweeps: &[i64]) -> Result<Vec<(i64, String)>> {
    sqlx::query_as("SELECT id, traceparent FROM sweep WHERE id = ANY($1) AND traceparent IS NOT NULL")
        .bind(sweeps)
        .fetch_all(connection)
        .await
        .named("reading the traces of sweeps")
}

/// What is to be told of a job.
#[derive(FromRow)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) vantage: String,
    pub(crate) kind: String,
    pub(crate) reason: Option<String>,
    pub(crate) planned: i32,
    pub(crate) observed: i32,
    pub(crate) missed: i32,
    pub(crate) probe_id: Option<Uuid>,
    pub(crate) autonomous: bool,
    pub(crate) queued_at: Timestamp,
    pub(crate) finished_at: Timestamp,
}

/// The jobs of a sweep that have ended.
pub(crate) async fn jobs(connection: &mut PgConnection, sweep: i64) -> Result<Vec<Job>> {
    sqlx::query_as(
        "SELECT j.id, v.name AS vantage, j.kind, j.reason, j.planned, j.observed, j.missed, j.probe_id, j.autonomous,
                j.queued_at, j.finished_at
         FROM job j JOIN vantage v ON v.id = j.vantage_id
         WHERE j.sweep_id = $1 AND j.finished_at IS NOT NULL ORDER BY j.finished_at, j.id",
    )
    .bind(sweep)
    .fetch_all(connection)
    .await
    .named("reading what is to be told of jobs")
}

/// A job that a probe was given and is through with.
#[derive(FromRow)]
pub(crate) struct Given {
    pub(crate) traceparent: String,
    pub(crate) vantage: String,
    pub(crate) kind: String,
    pub(crate) assigned_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// A job of a sweep that is traced, as the probe has it.
pub(crate) async fn given(connection: &mut PgConnection, job: Uuid, probe: Uuid) -> Result<Option<Given>> {
    sqlx::query_as(
        "SELECT s.traceparent, v.name AS vantage, j.kind, j.assigned_at, now() AS now
         FROM job j JOIN sweep s ON s.id = j.sweep_id JOIN vantage v ON v.id = j.vantage_id
         WHERE j.id = $1 AND j.probe_id = $2 AND j.assigned_at IS NOT NULL AND s.traceparent IS NOT NULL",
    )
    .bind(job)
    .bind(probe)
    .fetch_optional(connection)
    .await
    .named("reading the trace of a job")
}
