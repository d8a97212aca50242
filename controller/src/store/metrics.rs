//! What is counted for whoever watches.

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// Numbers of the database.
#[derive(FromRow)]
pub(crate) struct Numbers {
    pub(crate) bytes: i64,
    pub(crate) queued: i64,
    pub(crate) assigned: i64,
    /// Tasks of running sweeps.
    pub(crate) planned: i64,
    pub(crate) observed: i64,
    pub(crate) missed: i64,
}

/// Counts what is under way.
pub(crate) async fn numbers(connection: &mut PgConnection) -> Result<Numbers> {
    sqlx::query_as(
        "SELECT pg_database_size(current_database()) AS bytes,
                (SELECT count(*) FROM job WHERE state <> 'finished' AND state = 'queued') AS queued,
                (SELECT count(*) FROM job WHERE state <> 'finished' AND state = 'assigned') AS assigned,
                t.planned, t.observed, t.missed
         FROM (SELECT coalesce(sum(j.planned), 0)::bigint AS planned, coalesce(sum(j.observed), 0)::bigint AS observed,
                      coalesce(sum(j.missed), 0)::bigint AS missed
               FROM sweep s JOIN job j ON j.sweep_id = s.id AND j.kind <> 'discovery' WHERE s.state = 'running') t",
    )
    .fetch_one(connection)
    .await
    .named("counting what is under way")
}

/// Sweeps in each state.
pub(crate) async fn sweeps(connection: &mut PgConnection) -> Result<Vec<(String, i64)>> {
    sqlx::query_as("SELECT state, count(*) FROM sweep GROUP BY state")
        .fetch_all(connection)
        .await
        .named("counting the sweeps")
}

/// Number of the newest sweep that has ended.
pub(crate) async fn last_ended(connection: &mut PgConnection) -> Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM sweep WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .named("looking up the last sweep")
}
