//! The outbox: notices of alerts, and what became of them.

use std::time::Duration;

use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// A notice to write.
pub(crate) struct NewNotice<'a> {
    pub(crate) key: Uuid,
    /// The alert; `None` for a test.
    pub(crate) alert: Option<i64>,
    pub(crate) channel: &'a str,
    pub(crate) event: &'a str,
    pub(crate) body: Value,
    /// Why it will not be sent, where it will not.
    pub(crate) refused: Option<&'a str>,
}

/// Writes a notice.
pub(crate) async fn write(connection: &mut PgConnection, notice: &NewNotice<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO alert_notice (key, alert_id, channel, event, body, state, done_at, error)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $6::text IS NULL THEN 'waiting' ELSE 'failed' END,
                 CASE WHEN $6::text IS NOT NULL THEN now() END, $6)",
    )
    .bind(notice.key)
    .bind(notice.alert)
    .bind(notice.channel)
    .bind(notice.event)
    .bind(&notice.body)
    .bind(notice.refused)
    .execute(connection)
    .await
    .named("writing a notice")?;
    Ok(())
}

/// Channels that were told of an alert.
pub(crate) async fn channels_of(connection: &mut PgConnection, alert: i64) -> Result<Vec<String>> {
    sqlx::query_scalar("SELECT DISTINCT channel FROM alert_notice WHERE alert_id = $1 ORDER BY channel")
        .bind(alert)
        .fetch_all(connection)
        .await
        .named("reading who was told of an alert")
}

/// How many notices wait, and how many were given up in the last day.
pub(crate) async fn counts(connection: &mut PgConnection) -> Result<(i64, i64)> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM alert_notice WHERE state = 'waiting'),
                (SELECT count(*) FROM alert_notice WHERE state = 'failed' AND done_at > now() - interval '1 day')",
    )
    .fetch_one(connection)
    .await
    .named("counting the notices")
}

/// A notice to send.
#[derive(FromRow)]
pub(crate) struct Taken {
    pub(crate) id: i64,
    pub(crate) channel: String,
    pub(crate) body: Value,
    pub(crate) attempts: i32,
    /// How long ago it was written, seconds.
    pub(crate) age: f64,
}

/// Takes notices of a channel that are due, for the length of a lease. Of one alert only the oldest that waits: notices of
/// an alert come in order.
pub(crate) async fn take(
    connection: &mut PgConnection,
    channel: &str,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Taken>> {
    sqlx::query_as(
        "UPDATE alert_notice SET attempts = attempts + 1, next_at = now() + make_interval(secs => $2)
         WHERE id IN (
             SELECT n.id FROM alert_notice n
             WHERE n.state = 'waiting' AND n.next_at <= now() AND n.channel = $1
               AND NOT EXISTS (SELECT 1 FROM alert_notice e WHERE e.alert_id = n.alert_id AND e.channel = n.channel
                                 AND e.state = 'waiting' AND e.id < n.id)
             ORDER BY n.next_at, n.id LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING id, channel, body, attempts, extract(epoch FROM now() - created_at)::double precision AS age",
    )
    .bind(channel)
    .bind(lease.as_secs_f64())
    .bind(limit)
    .fetch_all(connection)
    .await
    .named("taking notices to send")
}

/// Notes that a notice was delivered.
pub(crate) async fn sent(connection: &mut PgConnection, id: i64) -> Result<()> {
    sqlx::query("UPDATE alert_notice SET state = 'sent', done_at = now(), error = NULL WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await
        .named("noting that a notice was delivered")?;
    Ok(())
}

/// Notes that an attempt failed, and when the next one may be made; without a pause it is the last one. Does nothing where
/// somebody else has taken the notice meanwhile.
pub(crate) async fn failed(
    connection: &mut PgConnection,
    notice: &Taken,
    error: &str,
    pause: Option<Duration>,
) -> Result<()> {
    sqlx::query(
        "UPDATE alert_notice SET error = $3, next_at = now() + make_interval(secs => coalesce($4, 0)),
                state = CASE WHEN $4::double precision IS NULL THEN 'failed' ELSE 'waiting' END,
                done_at = CASE WHEN $4::double precision IS NULL THEN now() END
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(notice.id)
    .bind(notice.attempts)
    .bind(error)
    .bind(pause.map(|pause| pause.as_secs_f64()))
    .execute(connection)
    .await
    .named("noting that a notice was not delivered")?;
    Ok(())
}

/// Gives up notices that were written `age` ago and that nobody has come for: no controller has their channel any more, and
/// it is none of `channels`. Says how many.
pub(crate) async fn give_up(connection: &mut PgConnection, channels: &[&str], age: Duration) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE alert_notice SET state = 'failed', done_at = now(),
                error = 'no controller has this channel' || coalesce('; before: ' || error, '')
         WHERE state = 'waiting' AND next_at < now() - interval '5 minutes'
           AND created_at < now() - make_interval(secs => $1) AND channel <> ALL($2)",
    )
    .bind(age.as_secs_f64())
    .bind(channels)
    .execute(connection)
    .await
    .named("giving notices up")?;
    Ok(done.rows_affected())
}

/// Forgets notices that were done with `age` ago, and all but the newest `most` of those that were done with. Those of an
/// alert that is not over stay: they say who is to hear of its end.
pub(crate) async fn forget(connection: &mut PgConnection, age: Duration, most: i64) -> Result<()> {
    sqlx::query(
        "DELETE FROM alert_notice n WHERE state <> 'waiting'
           AND NOT EXISTS (SELECT 1 FROM alert a WHERE a.id = n.alert_id AND (a.resolved_at IS NULL OR a.held))
           AND (done_at < now() - make_interval(secs => $1)
                OR done_at < (SELECT done_at FROM alert_notice WHERE state <> 'waiting' ORDER BY done_at DESC OFFSET $2 LIMIT 1))",
    )
    .bind(age.as_secs_f64())
    .bind(most)
    .execute(connection)
    .await
    .named("forgetting old notices")?;
    Ok(())
}

/// What became of a notice.
#[derive(FromRow)]
pub(crate) struct Listed {
    pub(crate) alert_id: Option<i64>,
    pub(crate) key: Uuid,
    pub(crate) channel: String,
    pub(crate) event: String,
    pub(crate) state: String,
    pub(crate) attempts: i32,
    pub(crate) created_at: Timestamp,
    pub(crate) done_at: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

/// Notices of alerts, at most the newest `each` of one alert, newest first.
pub(crate) async fn of_alerts(
    connection: &mut PgConnection,
    alerts: &[i64],
    each: i64,
) -> Result<Vec<Listed>> {
    sqlx::query_as(
        "SELECT n.alert_id, n.key, n.channel, n.event, n.state, n.attempts, n.created_at, n.done_at, n.error
         FROM unnest($1::bigint[]) a CROSS JOIN LATERAL (
             SELECT * FROM alert_notice WHERE alert_id = a ORDER BY id DESC LIMIT $2) n",
    )
    .bind(alerts)
    .bind(each)
    .fetch_all(connection)
    .await
    .named("reading what became of notices")
}

/// One notice.
pub(crate) async fn find(connection: &mut PgConnection, key: Uuid) -> Result<Option<Listed>> {
    sqlx::query_as(
        "SELECT alert_id, key, channel, event, state, attempts, created_at, done_at, error FROM alert_notice
         WHERE key = $1",
    )
    .bind(key)
    .fetch_optional(connection)
    .await
    .named("reading a notice")
}
