//! Controllers of this database.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Named, Result};

/// Makes a controller known. Says whether its certificate is new.
pub(crate) async fn register(
    connection: &mut PgConnection,
    id: Uuid,
    certificate: &[u8],
    host: &str,
) -> Result<bool> {
    let known: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT certificate FROM controller WHERE id = $1 FOR UPDATE")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await
            .named("reading a controller")?;
    sqlx::query(
        "INSERT INTO controller (id, certificate, host) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET certificate = $2, host = $3, seen_at = now()",
    )
    .bind(id)
    .bind(certificate)
    .bind(host)
    .execute(connection)
    .await
    .named("registering a controller")?;
    Ok(known.as_deref() != Some(certificate))
}

/// Notes that a controller is alive.
pub(crate) async fn touch(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query("UPDATE controller SET seen_at = now() WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await
        .named("noting that the controller is alive")?;
    Ok(())
}

/// CA certificates of all controllers, oldest first.
pub(crate) async fn certificates(connection: &mut PgConnection) -> Result<Vec<Vec<u8>>> {
    sqlx::query_scalar("SELECT certificate FROM controller ORDER BY created_at, id")
        .fetch_all(connection)
        .await
        .named("reading the controllers' certificates")
}
