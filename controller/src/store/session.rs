//! Sessions of probes.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// What a probe says of itself.
pub(crate) struct Greeting<'a> {
    pub(crate) host: &'a str,
    pub(crate) version: &'a str,
    pub(crate) services: &'a [String],
    pub(crate) icmp: &'a str,
    pub(crate) spooled: i64,
    pub(crate) clock_offset_us: Option<i64>,
}

/// Opens a session, replacing an older one; returns the vantage. `None` when the probe is not known or revoked.
pub(crate) async fn open(
    connection: &mut PgConnection,
    probe: Uuid,
    session: Uuid,
    controller: Uuid,
    greeting: &Greeting<'_>,
) -> Result<Option<i32>> {
    sqlx::query_scalar(
        "UPDATE probe SET session_id = $2, controller_id = $3, host = $4, version = $5, services = $6, icmp = $7,
                spooled = $8, clock_offset_us = $9, seen_at = now(), problems = '{}', dropped = 0,
                owing_since = CASE WHEN EXISTS (
                    SELECT 1 FROM job WHERE probe_id = $1 AND state = 'assigned' AND reported_at IS NULL)
                    THEN coalesce(owing_since, now()) END
         WHERE id = $1 AND revoked_at IS NULL RETURNING vantage_id",
    )
    .bind(probe)
    .bind(session)
    .bind(controller)
    .bind(greeting.host)
    .bind(greeting.version)
    .bind(greeting.services)
    .bind(greeting.icmp)
    .bind(greeting.spooled)
    .bind(greeting.clock_offset_us)
    .fetch_optional(connection)
    .await
    .named("opening a session")
}

/// What a probe says of itself again and again.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) probe: Uuid,
    pub(crate) session: Uuid,
    pub(crate) spooled: i64,
    pub(crate) dropped: i64,
    pub(crate) clock_offset_us: Option<i64>,
    pub(crate) problems: Vec<String>,
    /// It has handed something in since the beat before.
    pub(crate) progressed: bool,
}

/// Notes that the probe was heard. Says whether the session is still the probe's.
pub(crate) async fn touch(connection: &mut PgConnection, beat: &Beat) -> Result<bool> {
    let changed = sqlx::query(
        "UPDATE probe SET seen_at = now(), spooled = $3, clock_offset_us = coalesce($4, clock_offset_us),
                dropped = $5, problems = $6,
                owing_since = CASE WHEN NOT $7 THEN owing_since WHEN EXISTS (
                    SELECT 1 FROM job WHERE probe_id = $1 AND state = 'assigned' AND reported_at IS NULL) THEN now() END
         WHERE id = $1 AND session_id = $2 AND revoked_at IS NULL",
    )
    .bind(beat.probe)
    .bind(beat.session)
    .bind(beat.spooled)
    .bind(beat.clock_offset_us)
    .bind(beat.dropped)
    .bind(&beat.problems)
    .bind(beat.progressed)
    .execute(connection)
    .await
    .named("noting a heartbeat")?;
    Ok(changed.rows_affected() > 0)
}

/// The same of many probes: gives the sessions of those that it was noted of. Who is locked is left out.
pub(crate) async fn touch_all(connection: &mut PgConnection, beats: &[Beat]) -> Result<Vec<Uuid>> {
    // The problems of each as one text: arrays in an array would need the same length.
    let problems = |beat: &Beat| serde_json::Value::from(beat.problems.as_slice()).to_string();
    sqlx::query_scalar(
        "WITH heard AS (
             SELECT p.id, beat.* FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bool[])
                        AS beat (probe, session, spooled, clock_offset_us, dropped, problems, progressed)
             JOIN probe p ON p.id = beat.probe AND p.session_id = beat.session AND p.revoked_at IS NULL
             FOR NO KEY UPDATE OF p SKIP LOCKED)
         UPDATE probe p SET seen_at = now(), spooled = heard.spooled,
                clock_offset_us = coalesce(heard.clock_offset_us, p.clock_offset_us), dropped = heard.dropped,
                problems = ARRAY(SELECT jsonb_array_elements_text(heard.problems::jsonb)),
                owing_since = CASE WHEN NOT heard.progressed THEN p.owing_since WHEN EXISTS (
                    SELECT 1 FROM job j WHERE j.probe_id = p.id AND j.state = 'assigned' AND j.reported_at IS NULL) THEN now() END
         FROM heard WHERE p.id = heard.id RETURNING heard.session",
    )
    .bind(beats.iter().map(|beat| beat.probe).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.session).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.spooled).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.clock_offset_us).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.dropped).collect::<Vec<_>>())
    .bind(beats.iter().map(problems).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.progressed).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .named("noting heartbeats")
}

/// The session of a probe.
#[derive(FromRow)]
pub(crate) struct Current {
    pub(crate) session_id: Option<Uuid>,
    pub(crate) revoked: bool,
    /// Whether jobs wait for the vantage.
    pub(crate) queued: bool,
}

/// The probe's present session, without waiting for anybody.
pub(crate) async fn current(connection: &mut PgConnection, probe: Uuid) -> Result<Option<Current>> {
    sqlx::query_as(
        "SELECT session_id, revoked_at IS NOT NULL AS revoked,
                EXISTS (SELECT 1 FROM job j WHERE j.vantage_id = p.vantage_id AND j.state = 'queued') AS queued
         FROM probe p WHERE id = $1",
    )
    .bind(probe)
    .fetch_optional(connection)
    .await
    .named("reading a session")
}

/// Locks the probe's session until the transaction ends: no other can take over in between. Says whether it still is
/// the probe's.
pub(crate) async fn lock(connection: &mut PgConnection, probe: Uuid, session: Uuid) -> Result<bool> {
    let found: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM probe WHERE id = $1 AND session_id = $2 AND revoked_at IS NULL FOR NO KEY UPDATE",
    )
    .bind(probe)
    .bind(session)
    .fetch_optional(connection)
    .await
    .named("locking a session")?;
    Ok(found.is_some())
}

/// Closes a session, unless another one has taken over.
pub(crate) async fn close(connection: &mut PgConnection, probe: Uuid, session: Uuid) -> Result<()> {
    sqlx::query("UPDATE probe SET session_id = NULL, controller_id = NULL WHERE id = $1 AND session_id = $2")
        .bind(probe)
        .bind(session)
        .execute(connection)
        .await
        .named("closing a session")?;
    Ok(())
}

/// Closes sessions whose probe was not heard for `live_window` seconds, whichever controller held them.
pub(crate) async fn close_stale(connection: &mut PgConnection, live_window: f64) -> Result<u64> {
    let closed = sqlx::query(
        "UPDATE probe SET session_id = NULL, controller_id = NULL WHERE id IN (
             SELECT id FROM probe
             WHERE session_id IS NOT NULL AND seen_at < now() - make_interval(secs => $1)
             ORDER BY id LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(live_window)
    .execute(connection)
    .await
    .named("closing stale sessions")?;
    Ok(closed.rows_affected())
}
