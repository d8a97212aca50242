//! Enrolment tokens and certificates.

use std::time::Duration;

use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// Writes a token down; returns when it ends.
pub(crate) async fn create_token(
    connection: &mut PgConnection,
    hash: &[u8],
    vantage: i32,
    ttl: Duration,
) -> Result<jiff::Timestamp> {
    let expires: Timestamp = sqlx::query_scalar(
        "INSERT INTO enrolment_token (hash, vantage_id, expires_at)
         VALUES ($1, $2, now() + make_interval(secs => $3)) RETURNING expires_at",
    )
    .bind(hash)
    .bind(vantage)
    .bind(ttl.as_secs_f64())
    .fetch_one(connection)
    .await
    .named("writing an enrolment token")?;
    Ok(expires.to_jiff())
}

/// A token and what became of it.
#[derive(FromRow)]
pub(crate) struct Token {
    pub(crate) vantage_id: i32,
    pub(crate) vantage: String,
    pub(crate) vantage_removed: bool,
    pub(crate) used: bool,
    pub(crate) expired: bool,
}

/// The token with this hash, locked until the transaction ends.
pub(crate) async fn lock_token(connection: &mut PgConnection, hash: &[u8]) -> Result<Option<Token>> {
    sqlx::query_as(
        "SELECT t.vantage_id, v.name AS vantage, v.removed_at IS NOT NULL AS vantage_removed,
                t.used_at IS NOT NULL AS used, t.expires_at <= now() AS expired
         FROM enrolment_token t JOIN vantage v ON v.id = t.vantage_id
         WHERE t.hash = $1 FOR UPDATE OF t",
    )
    .bind(hash)
    .fetch_optional(connection)
    .await
    .named("looking up an enrolment token")
}

/// Marks a token as used by a probe.
pub(crate) async fn use_token(connection: &mut PgConnection, hash: &[u8], probe: Uuid) -> Result<()> {
    sqlx::query("UPDATE enrolment_token SET used_at = now(), probe_id = $2 WHERE hash = $1")
        .bind(hash)
        .bind(probe)
        .execute(connection)
        .await
        .named("using an enrolment token up")?;
    Ok(())
}

/// Notes a certificate that was issued.
pub(crate) async fn record_certificate(
    connection: &mut PgConnection,
    probe: Uuid,
    serial: &[u8],
    not_before: jiff::Timestamp,
    not_after: jiff::Timestamp,
) -> Result<()> {
    sqlx::query("INSERT INTO certificate (serial, probe_id, not_before, not_after) VALUES ($1, $2, $3, $4)")
        .bind(serial)
        .bind(probe)
        .bind(not_before.to_sqlx())
        .bind(not_after.to_sqlx())
        .execute(connection)
        .await
        .named("noting a certificate")?;
    Ok(())
}

/// How many certificates that are still good the probe was given in the last hour; they begin five minutes before
/// they are issued. Forgets those that ended long ago.
pub(crate) async fn recent_certificates(connection: &mut PgConnection, probe: Uuid) -> Result<i64> {
    sqlx::query("DELETE FROM certificate WHERE probe_id = $1 AND not_after < now() - interval '1 day'")
        .bind(probe)
        .execute(&mut *connection)
        .await
        .named("forgetting certificates that ended")?;
    sqlx::query_scalar(
        "SELECT count(*) FROM certificate
         WHERE probe_id = $1 AND not_after > now() AND not_before > now() - interval '65 minutes'",
    )
    .bind(probe)
    .fetch_one(connection)
    .await
    .named("counting a probe's certificates")
}

/// Serial numbers of certificates of revoked probes that have not expired.
pub(crate) async fn revoked_serials(connection: &mut PgConnection) -> Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(
        "SELECT c.serial FROM certificate c JOIN probe p ON p.id = c.probe_id
         WHERE p.revoked_at IS NOT NULL AND c.not_after > now() ORDER BY c.serial",
    )
    .fetch_all(connection)
    .await
    .named("reading revoked certificates")
}
