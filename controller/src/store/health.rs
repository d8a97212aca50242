//! The state of the database itself.

use jiff_sqlx::Timestamp;
use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// What a look at the database tells.
#[derive(FromRow)]
pub(crate) struct Look {
    /// Its clock.
    pub(crate) now: Timestamp,
    /// Numbers of the migrations that have run.
    pub(crate) migrations: Vec<i64>,
    /// Blocks of job numbers that are ready and not begun.
    pub(crate) ready: i64,
    /// Since when the newest block is used.
    pub(crate) block_seconds: Option<f64>,
    /// Whether a commit waits until it is safe.
    pub(crate) synchronous_commit: String,
}

/// Looks at the database.
pub(crate) async fn look(connection: &mut PgConnection) -> Result<Look> {
    sqlx::query_as(
        "SELECT clock_timestamp() AS now,
                ARRAY (SELECT version FROM _sqlx_migrations WHERE success ORDER BY version) AS migrations,
                (SELECT count(*) FROM block WHERE began_at IS NULL) AS ready,
                (SELECT extract(epoch FROM now() - max(began_at))::float8 FROM block) AS block_seconds,
                current_setting('synchronous_commit') AS synchronous_commit",
    )
    .fetch_one(connection)
    .await
    .named("looking at the state")
}
