//! Schedules: how far they are looked at, and whether they are paused.

use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::{FromRow, PgConnection, types::Json};

use super::{Named, Result};
use sekisho_domain::inventory::Schedule;

/// A schedule and how things stand with it.
#[derive(FromRow)]
pub(crate) struct Standing {
    pub(crate) definition: Json<Schedule>,
    pub(crate) considered_until: Timestamp,
    pub(crate) paused_at: Option<Timestamp>,
    pub(crate) paused_until: Option<Timestamp>,
    pub(crate) paused_by: Option<String>,
    pub(crate) pause_reason: Option<String>,
    /// The newest sweep of it that has not ended.
    pub(crate) running: Option<i64>,
    /// The database's clock.
    pub(crate) now: Timestamp,
}

macro_rules! standing {
    ($rest:literal) => {
        concat!(
            "SELECT c.definition, c.considered_until, c.paused_at, c.paused_until, c.paused_by, c.pause_reason, now() AS now,
                    (SELECT max(s.id) FROM schedule_run r JOIN sweep s ON s.id = r.sweep_id
                     WHERE r.schedule = c.name AND s.state = 'running') AS running
             FROM schedule c ",
            $rest
        )
    };
}

/// Name of a schedule that has something due and that nobody else looks at; it is locked until the transaction ends.
pub(crate) async fn claim_due(connection: &mut PgConnection) -> Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT name FROM schedule WHERE look_at <= now() ORDER BY look_at, name LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
    )
    .fetch_optional(connection)
    .await
    .named("looking for due schedules")
}

/// Locks a schedule until the transaction ends. Says whether there is one.
pub(crate) async fn lock(connection: &mut PgConnection, name: &str) -> Result<bool> {
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM schedule WHERE name = $1 FOR NO KEY UPDATE")
        .bind(name)
        .fetch_optional(connection)
        .await
        .named("locking a schedule")?;
    Ok(found.is_some())
}

/// The same without waiting: `false` also where somebody else holds it.
pub(crate) async fn try_lock(connection: &mut PgConnection, name: &str) -> Result<bool> {
    let found: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM schedule WHERE name = $1 FOR NO KEY UPDATE SKIP LOCKED")
            .bind(name)
            .fetch_optional(connection)
            .await
            .named("locking a schedule")?;
    Ok(found.is_some())
}

/// One schedule.
pub(crate) async fn find(connection: &mut PgConnection, name: &str) -> Result<Option<Standing>> {
    sqlx::query_as(standing!("WHERE c.name = $1"))
        .bind(name)
        .fetch_optional(connection)
        .await
        .named("reading a schedule")
}

/// Every schedule, by name.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Standing>> {
    sqlx::query_as(standing!("ORDER BY c.name")).fetch_all(connection).await.named("reading the schedules")
}

/// Notes that every run up to `until` is dealt with, and when to look again: `None` is never.
pub(crate) async fn considered(
    connection: &mut PgConnection,
    name: &str,
    until: jiff::Timestamp,
    look_at: Option<jiff::Timestamp>,
) -> Result<()> {
    sqlx::query(
        "UPDATE schedule SET considered_until = greatest(considered_until, $2), look_at = coalesce($3, 'infinity')
         WHERE name = $1",
    )
    .bind(name)
    .bind(until.to_sqlx())
    .bind(look_at.map(ToSqlx::to_sqlx))
    .execute(connection)
    .await
    .named("noting that a schedule was looked at")?;
    Ok(())
}

/// Leaves a schedule alone for a minute.
pub(crate) async fn postpone(connection: &mut PgConnection, name: &str) -> Result<()> {
    sqlx::query("UPDATE schedule SET look_at = now() + interval '1 minute' WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await
        .named("postponing a schedule")?;
    Ok(())
}

/// Pauses a schedule; an earlier pause is replaced, and began when it did.
pub(crate) async fn pause(
    connection: &mut PgConnection,
    name: &str,
    until: Option<jiff::Timestamp>,
    by: &str,
    reason: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "UPDATE schedule SET paused_at = CASE WHEN paused_until <= now() THEN now() ELSE coalesce(paused_at, now()) END,
                             paused_until = $2, paused_by = $3, pause_reason = $4
         WHERE name = $1",
    )
    .bind(name)
    .bind(until.map(ToSqlx::to_sqlx))
    .bind(by)
    .bind(reason)
    .execute(connection)
    .await
    .named("pausing a schedule")?;
    Ok(())
}

/// Ends the pause of a schedule.
pub(crate) async fn resume(connection: &mut PgConnection, name: &str) -> Result<()> {
    sqlx::query(
        "UPDATE schedule SET paused_at = NULL, paused_until = NULL, paused_by = NULL, pause_reason = NULL
         WHERE name = $1",
    )
    .bind(name)
    .execute(connection)
    .await
    .named("resuming a schedule")?;
    Ok(())
}
