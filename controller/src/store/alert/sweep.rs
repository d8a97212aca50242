//! Which sweeps were considered for alerts, and which are to be.

use sqlx::{FromRow, PgConnection};

use crate::store::{Named, Result};

/// Ended sweeps of the last week that were not considered, or were partial when they were; oldest first.
pub(crate) async fn to_consider(connection: &mut PgConnection, limit: i64) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM (
             SELECT s.id FROM sweep s LEFT JOIN alert_sweep a ON a.sweep_id = s.id
             WHERE s.state IN ('complete', 'partial') AND s.finished_at > now() - interval '7 days' AND s.expired_at IS NULL
               AND a.state IS DISTINCT FROM 'complete'
             ORDER BY s.id DESC LIMIT $1) newest
         ORDER BY id",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
    .named("looking for sweeps to tell of")
}

/// How a sweep was when it was considered.
#[derive(Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Considered {
    pub(crate) state: String,
    pub(crate) observed: i64,
}

/// How a sweep was when it was considered last.
pub(crate) async fn considered(connection: &mut PgConnection, sweep: i64) -> Result<Option<Considered>> {
    sqlx::query_as("SELECT state, observed FROM alert_sweep WHERE sweep_id = $1")
        .bind(sweep)
        .fetch_optional(connection)
        .await
        .named("looking whether a sweep was considered")
}

/// Later sweeps that were considered, oldest first.
pub(crate) async fn considered_after(
    connection: &mut PgConnection,
    sweep: i64,
    limit: i64,
) -> Result<Vec<i64>> {
    sqlx::query_scalar("SELECT sweep_id FROM alert_sweep WHERE sweep_id > $1 ORDER BY sweep_id LIMIT $2")
        .bind(sweep)
        .bind(limit)
        .fetch_all(connection)
        .await
        .named("looking for later sweeps")
}

/// Notes that a sweep was considered as it is.
pub(crate) async fn mark(
    connection: &mut PgConnection,
    sweep: i64,
    previous: Option<i64>,
    now: &Considered,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO alert_sweep (sweep_id, previous, state, observed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (sweep_id) DO UPDATE SET previous = $2, state = $3, observed = $4, considered_at = now()",
    )
    .bind(sweep)
    .bind(previous)
    .bind(&now.state)
    .bind(now.observed)
    .execute(connection)
    .await
    .named("noting that a sweep was considered")?;
    Ok(())
}

/// The sweep to compare one with: the last before it with the same profile that has ended, was not cancelled, and was
/// asked for the same domains and vantages, or for more. What no earlier sweep of the profile had does not count: it
/// came into the inventory later.
pub(crate) async fn previous(connection: &mut PgConnection, sweep: i64) -> Result<Option<i64>> {
    sqlx::query_scalar(
        "WITH earlier AS (
             SELECT e.id, e.domain_ids, e.vantage_ids FROM sweep s JOIN sweep e ON e.id < s.id AND e.profile = s.profile
             WHERE s.id = $1 AND e.state IN ('complete', 'partial') AND e.expired_at IS NULL
             ORDER BY e.id DESC LIMIT 1000)
         SELECT max(e.id) FROM earlier e, sweep s WHERE s.id = $1
           AND e.domain_ids @> ARRAY(
               SELECT d FROM unnest(s.domain_ids) d WHERE EXISTS (SELECT 1 FROM earlier x WHERE d = ANY(x.domain_ids)))
           AND e.vantage_ids @> ARRAY(
               SELECT v FROM unnest(s.vantage_ids) v WHERE EXISTS (SELECT 1 FROM earlier x WHERE v = ANY(x.vantage_ids)))",
    )
    .bind(sweep)
    .fetch_one(connection)
    .await
    .named("looking for the sweep to compare with")
}
