//! Sweeps.

use std::time::Duration;

use jiff_sqlx::{Timestamp, ToSqlx};
use sekisho_model::{SpanId, TraceParent};
use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// What a sweep is asked to do.
pub(crate) struct NewSweep<'a> {
    pub(crate) profile: &'a str,
    pub(crate) services: &'a [String],
    pub(crate) checks: &'a [String],
    /// Computers to look for besides those of the inventory.
    pub(crate) computers: &'a [String],
    /// Flows whose packets are to be kept.
    pub(crate) captures: &'a [String],
    pub(crate) domains: &'a [i32],
    pub(crate) vantages: &'a [i32],
    pub(crate) actor: &'a str,
    /// The schedule that begins it.
    pub(crate) schedule: Option<&'a str>,
    pub(crate) deadline: Duration,
    /// When it began, where it is written down after the fact.
    pub(crate) since: Option<jiff::Timestamp>,
    /// Its span; `None`: it is not traced.
    pub(crate) traceparent: Option<TraceParent>,
    /// The span that it comes under.
    pub(crate) trace_parent: Option<SpanId>,
}

/// Writes a sweep down that is not planned yet; returns its number.
pub(crate) async fn create(connection: &mut PgConnection, sweep: &NewSweep<'_>) -> Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO sweep (state, profile, services, domain_ids, vantage_ids, actor, deadline, checks, computers,
                            captures, schedule, started_at, traceparent, trace_parent)
         VALUES ('running', $1, $2, $3, $4, $5, coalesce($11, now()) + make_interval(secs => $6), $7, $8, $9, $10,
                 coalesce($11, now()), $12, $13) RETURNING id",
    )
    .bind(sweep.profile)
    .bind(sweep.services)
    .bind(sweep.domains)
    .bind(sweep.vantages)
    .bind(sweep.actor)
    .bind(sweep.deadline.as_secs_f64())
    .bind(sweep.checks)
    .bind(sweep.computers)
    .bind(sweep.captures)
    .bind(sweep.schedule)
    .bind(sweep.since.map(ToSqlx::to_sqlx))
    .bind(sweep.traceparent.map(|span| span.to_string()))
    .bind(sweep.trace_parent.filter(|_| sweep.traceparent.is_some()).map(|span| span.to_string()))
    .fetch_one(connection)
    .await
    .named("writing a sweep")
}

/// A sweep in numbers: of flows and checks of vantages. Discovery jobs are not counted: they find out what to do.
#[derive(FromRow)]
pub(crate) struct Summary {
    pub(crate) id: i64,
    pub(crate) state: String,
    pub(crate) profile: String,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) is_planned: bool,
    pub(crate) note: Option<String>,
    /// Its span; `None`: it is not traced.
    pub(crate) traceparent: Option<String>,
    pub(crate) planned: i64,
    /// How many of them are checks of a vantage.
    pub(crate) checks: i64,
    pub(crate) observed: i64,
    pub(crate) missed: i64,
    /// When its jobs and observations were deleted because of their age.
    pub(crate) expired_at: Option<Timestamp>,
}

macro_rules! summary {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.state, s.profile, s.started_at, s.finished_at, s.planned_at IS NOT NULL AS is_planned, s.note, s.traceparent,
                    s.expired_at, coalesce(s.planned, sum(j.planned), 0)::bigint AS planned,
                    coalesce(s.checks_planned, sum(j.planned) FILTER (WHERE j.kind = 'vantage'), 0)::bigint AS checks,
                    coalesce(s.observed, sum(j.observed), 0)::bigint AS observed,
                    coalesce(s.missed, sum(j.missed), 0)::bigint AS missed
             FROM sweep s LEFT JOIN job j ON j.sweep_id = s.id AND j.kind <> 'discovery' ",
            $rest
        )
    };
}

/// The newest sweeps, newest first.
pub(crate) async fn list(connection: &mut PgConnection, limit: i64) -> Result<Vec<Summary>> {
    sqlx::query_as(summary!(
        "WHERE s.id IN (SELECT id FROM sweep ORDER BY id DESC LIMIT $1) GROUP BY s.id ORDER BY s.id DESC"
    ))
    .bind(limit)
    .fetch_all(connection)
    .await
    .named("reading the sweeps")
}

/// One sweep.
pub(crate) async fn find(connection: &mut PgConnection, id: i64) -> Result<Option<Summary>> {
    sqlx::query_as(summary!("WHERE s.id = $1 GROUP BY s.id"))
        .bind(id)
        .fetch_optional(connection)
        .await
        .named("reading a sweep")
}

/// These sweeps, as far as there are any.
pub(crate) async fn of_ids(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<Summary>> {
    sqlx::query_as(summary!("WHERE s.id = ANY($1) GROUP BY s.id"))
        .bind(ids)
        .fetch_all(connection)
        .await
        .named("reading sweeps")
}

/// Number of the sweep that many before the newest.
pub(crate) async fn latest(connection: &mut PgConnection, back: u32) -> Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM sweep ORDER BY id DESC OFFSET $1 LIMIT 1")
        .bind(i64::from(back))
        .fetch_optional(connection)
        .await
        .named("looking up the newest sweep")
}

/// The part of a sweep that planning and closing need.
#[derive(FromRow)]
pub(crate) struct Locked {
    pub(crate) state: String,
    pub(crate) services: Vec<String>,
    pub(crate) checks: Vec<String>,
    pub(crate) computers: Vec<String>,
    pub(crate) captures: Vec<String>,
    pub(crate) domain_ids: Vec<i32>,
    pub(crate) vantage_ids: Vec<i32>,
    pub(crate) is_planned: bool,
    pub(crate) note: Option<String>,
    pub(crate) discovery_over: bool,
}

/// A sweep, locked until the transaction ends. `discovery_wait` is the longest that discovery may take, in seconds.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    id: i64,
    discovery_wait: f64,
) -> Result<Option<Locked>> {
    sqlx::query_as(
        "SELECT state, services, checks, computers, captures, domain_ids, vantage_ids, planned_at IS NOT NULL AS is_planned,
                note, now() > least(deadline, started_at + make_interval(secs => $2)) AS discovery_over
         FROM sweep WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(id)
    .bind(discovery_wait)
    .fetch_optional(connection)
    .await
    .named("locking a sweep")
}

/// Notes that what a sweep has to do is known, and what is to say about them.
pub(crate) async fn set_planned(connection: &mut PgConnection, id: i64, note: Option<&str>) -> Result<()> {
    sqlx::query("UPDATE sweep SET planned_at = now(), note = $2 WHERE id = $1")
        .bind(id)
        .bind(note)
        .execute(connection)
        .await
        .named("noting that a sweep is planned")?;
    Ok(())
}

/// Sets the state of a sweep; one that ends for the first time gets the time.
pub(crate) async fn set_state(connection: &mut PgConnection, id: i64, state: &str) -> Result<()> {
    sqlx::query("UPDATE sweep SET state = $2, finished_at = coalesce(finished_at, now()) WHERE id = $1")
        .bind(id)
        .bind(state)
        .execute(connection)
        .await
        .named("ending a sweep")?;
    Ok(())
}

/// Running sweeps that can be planned: discovery has ended everywhere or has had its time.
pub(crate) async fn to_plan(connection: &mut PgConnection, discovery_wait: f64) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT s.id FROM sweep s WHERE s.state = 'running' AND s.planned_at IS NULL
           AND (now() > least(s.deadline, s.started_at + make_interval(secs => $1))
                OR NOT EXISTS (SELECT 1 FROM job j WHERE j.sweep_id = s.id AND j.state <> 'finished'))
         ORDER BY s.id LIMIT 100",
    )
    .bind(discovery_wait)
    .fetch_all(connection)
    .await
    .named("looking for sweeps to plan")
}

/// Running sweeps that are past their deadline. One that was written down after the fact waits `grace` seconds for what probes
/// have done of it by themselves.
pub(crate) async fn overdue(connection: &mut PgConnection, grace: f64) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT s.id FROM sweep s WHERE s.state = 'running' AND s.planned_at IS NOT NULL AND s.deadline < now()
           AND (s.planned_at < s.deadline OR s.planned_at < now() - make_interval(secs => $1))
           AND EXISTS (SELECT 1 FROM job j WHERE j.sweep_id = s.id AND j.state <> 'finished')
         ORDER BY s.id LIMIT 100",
    )
    .bind(grace)
    .fetch_all(connection)
    .await
    .named("looking for overdue sweeps")
}

/// Running sweeps all of whose jobs have ended.
pub(crate) async fn to_close(connection: &mut PgConnection) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT s.id FROM sweep s WHERE s.state = 'running' AND s.planned_at IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM job j WHERE j.sweep_id = s.id AND j.state <> 'finished')
         ORDER BY s.id LIMIT 100",
    )
    .fetch_all(connection)
    .await
    .named("looking for sweeps to close")
}

/// Partial sweeps of the last day that late results have completed.
pub(crate) async fn completed_late(connection: &mut PgConnection) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT s.id FROM sweep s
         WHERE s.state = 'partial' AND s.note IS NULL AND s.expired_at IS NULL AND s.finished_at > now() - interval '1 day'
           AND NOT EXISTS (SELECT 1 FROM job j WHERE j.sweep_id = s.id AND j.kind <> 'discovery' AND j.missed > 0)
         ORDER BY s.id LIMIT 100",
    )
    .fetch_all(connection)
    .await
    .named("looking for sweeps that late results completed")
}
