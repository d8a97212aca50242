//! What became of the runs of schedules.

use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// Most runs of a schedule that are kept. Older ones are forgotten; their sweeps stay.
const KEPT: i64 = 1_000;

/// A run and what became of it.
pub(crate) struct NewRun {
    pub(crate) due: jiff::Timestamp,
    pub(crate) state: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) detail: Option<String>,
    pub(crate) sweep: Option<i64>,
}

/// Those of `dues` that something has become of already.
pub(crate) async fn known(
    connection: &mut PgConnection,
    schedule: &str,
    dues: &[jiff::Timestamp],
) -> Result<Vec<jiff::Timestamp>> {
    let dues: Vec<Timestamp> = dues.iter().map(|due| due.to_sqlx()).collect();
    let known: Vec<Timestamp> =
        sqlx::query_scalar("SELECT due_at FROM schedule_run WHERE schedule = $1 AND due_at = ANY($2)")
            .bind(schedule)
            .bind(dues)
            .fetch_all(connection)
            .await
            .named("looking for runs of a schedule")?;
    Ok(known.into_iter().map(Timestamp::to_jiff).collect())
}

/// Writes runs of a locked schedule down, and forgets the oldest ones.
pub(crate) async fn record(
    connection: &mut PgConnection,
    schedule: &str,
    asked_by: Option<&str>,
    runs: &[NewRun],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO schedule_run (schedule, asked_by, due_at, state, reason, detail, sweep_id)
         SELECT $1, $2, * FROM unnest($3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[])",
    )
    .bind(schedule)
    .bind(asked_by)
    .bind(runs.iter().map(|run| run.due.to_sqlx()).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.state).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.reason).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.detail.clone()).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.sweep).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await
    .named("writing runs of a schedule")?;
    sqlx::query(
        "DELETE FROM schedule_run WHERE schedule = $1 AND due_at <
             (SELECT due_at FROM schedule_run WHERE schedule = $1 ORDER BY due_at DESC OFFSET $2 LIMIT 1)",
    )
    .bind(schedule)
    .bind(KEPT - 1)
    .execute(connection)
    .await
    .named("forgetting old runs of a schedule")?;
    Ok(())
}

/// A run as it is listed.
#[derive(FromRow)]
pub(crate) struct Run {
    pub(crate) schedule: String,
    pub(crate) due_at: Timestamp,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) sweep_id: Option<i64>,
    pub(crate) asked_by: Option<String>,
    pub(crate) recorded_at: Timestamp,
}

/// The newest runs of a schedule, newest first.
pub(crate) async fn newest(connection: &mut PgConnection, schedule: &str, most: i64) -> Result<Vec<Run>> {
    sqlx::query_as("SELECT * FROM schedule_run WHERE schedule = $1 ORDER BY due_at DESC LIMIT $2")
        .bind(schedule)
        .bind(most)
        .fetch_all(connection)
        .await
        .named("reading the runs of a schedule")
}

/// The newest run of each schedule of the inventory that has had any.
pub(crate) async fn newest_of_each(connection: &mut PgConnection) -> Result<Vec<Run>> {
    sqlx::query_as(
        "SELECT r.* FROM schedule c CROSS JOIN LATERAL (
             SELECT * FROM schedule_run WHERE schedule = c.name ORDER BY due_at DESC LIMIT 1) r",
    )
    .fetch_all(connection)
    .await
    .named("reading the newest runs of the schedules")
}
