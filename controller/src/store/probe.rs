//! Probes.

use jiff_sqlx::Timestamp;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// A probe as it is listed.
#[derive(FromRow)]
pub(crate) struct Probe {
    pub(crate) id: Uuid,
    pub(crate) vantage: String,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) services: Vec<String>,
    pub(crate) icmp: Option<String>,
    pub(crate) spooled: i64,
    pub(crate) dropped: i64,
    pub(crate) problems: Vec<String>,
    /// Jobs that it has.
    pub(crate) jobs: i64,
    pub(crate) owing_seconds: Option<f64>,
    pub(crate) job_ended_at: Option<Timestamp>,
    pub(crate) clock_offset_us: Option<i64>,
    pub(crate) enrolled_at: Timestamp,
    pub(crate) seen_at: Option<Timestamp>,
    pub(crate) silent_seconds: Option<f64>,
    pub(crate) connected: bool,
    pub(crate) controller_id: Option<Uuid>,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) certificate_not_after: Option<Timestamp>,
}

/// Probes whose id begins with `prefix`, by vantage and host; at most `most`.
pub(crate) async fn list(connection: &mut PgConnection, prefix: &str, most: i64) -> Result<Vec<Probe>> {
    sqlx::query_as(
        "SELECT p.id, v.name AS vantage, p.host, p.version, p.services, p.icmp, p.spooled, p.clock_offset_us,
                p.dropped, p.problems, p.job_ended_at, extract(epoch FROM now() - p.owing_since)::float8 AS owing_seconds,
                (SELECT count(*) FROM job j
                 WHERE j.probe_id = p.id AND j.state = 'assigned' AND j.reported_at IS NULL) AS jobs,
                p.enrolled_at, p.seen_at, extract(epoch FROM now() - p.seen_at)::float8 AS silent_seconds,
                p.session_id IS NOT NULL AS connected, p.controller_id, p.revoked_at,
                (SELECT max(c.not_after) FROM certificate c WHERE c.probe_id = p.id) AS certificate_not_after
         FROM probe p JOIN vantage v ON v.id = p.vantage_id
         WHERE starts_with(p.id::text, $1)
         ORDER BY v.name, p.host, p.id LIMIT $2",
    )
    .bind(prefix)
    .bind(most)
    .fetch_all(connection)
    .await
    .named("reading the probes")
}

/// How many connected probes each vantage has, where it has any.
pub(crate) async fn live(connection: &mut PgConnection, live_window: f64) -> Result<Vec<(i32, i64)>> {
    sqlx::query_as(
        "SELECT vantage_id, count(*) FROM probe
         WHERE revoked_at IS NULL AND session_id IS NOT NULL AND seen_at > now() - make_interval(secs => $1)
         GROUP BY vantage_id",
    )
    .bind(live_window)
    .fetch_all(connection)
    .await
    .named("counting the connected probes")
}

/// Writes a probe down that enrols.
pub(crate) async fn create(
    connection: &mut PgConnection,
    id: Uuid,
    vantage: i32,
    host: &str,
    version: &str,
) -> Result<()> {
    sqlx::query("INSERT INTO probe (id, vantage_id, host, version) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(vantage)
        .bind(host)
        .bind(version)
        .execute(connection)
        .await
        .named("writing a probe")?;
    Ok(())
}

/// Whether a probe is revoked; `None` when there is no such probe.
pub(crate) async fn is_revoked(connection: &mut PgConnection, id: Uuid) -> Result<Option<bool>> {
    sqlx::query_scalar("SELECT revoked_at IS NOT NULL FROM probe WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await
        .named("reading a probe")
}

/// Shuts a probe out. Says whether it was not yet.
pub(crate) async fn revoke(connection: &mut PgConnection, id: Uuid) -> Result<bool> {
    let changed = sqlx::query(
        "UPDATE probe SET revoked_at = now(), session_id = NULL, controller_id = NULL
         WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(id)
    .execute(connection)
    .await
    .named("revoking a probe")?;
    Ok(changed.rows_affected() > 0)
}

/// Notes that the probe has work. The caller has locked its session.
pub(crate) async fn owes(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query("UPDATE probe SET owing_since = coalesce(owing_since, now()) WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await
        .named("noting that a probe has work")?;
    Ok(())
}

/// Notes that the probe is through with a job. It still owes the others that it has.
pub(crate) async fn ended_job(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query(
        "UPDATE probe SET job_ended_at = now(), owing_since = CASE WHEN EXISTS (
             SELECT 1 FROM job WHERE probe_id = $1 AND state = 'assigned' AND reported_at IS NULL) THEN now() END
         WHERE id = $1",
    )
    .bind(id)
    .execute(connection)
    .await
    .named("noting that a probe has ended a job")?;
    Ok(())
}
