//! What the names of one flow stand for.

use std::net::IpAddr;

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// Key of the vantage of that name, also where it is in the inventory no more.
pub(crate) async fn vantage(connection: &mut PgConnection, name: &str) -> Result<Option<i32>> {
    sqlx::query_scalar("SELECT id FROM vantage WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .named("looking for a vantage")
}

/// Number of a service, where anything of that name was ever planned.
pub(crate) async fn service(connection: &mut PgConnection, name: &str) -> Result<Option<i16>> {
    sqlx::query_scalar("SELECT id FROM service WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .named("looking for a service")
}

/// A target that may be meant.
#[derive(FromRow)]
pub(crate) struct Candidate {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    /// It is swept.
    pub(crate) present: bool,
    /// The flow to it was tested from the vantage.
    pub(crate) tested: bool,
}

/// Targets of that host name or address, also those that are not swept any more.
pub(crate) async fn targets(
    connection: &mut PgConnection,
    host: &str,
    address: Option<IpAddr>,
    vantage: i32,
    service: Option<i16>,
) -> Result<Vec<Candidate>> {
    sqlx::query_as(
        "SELECT id, host, address, removed_at IS NULL AS present,
                EXISTS (SELECT 1 FROM span WHERE vantage_id = $3 AND target_id = id AND $4 = ANY(services)) AS tested
         FROM target WHERE host = $1 OR address = $2 ORDER BY host, address, id",
    )
    .bind(host)
    .bind(address)
    .bind(vantage)
    .bind(service)
    .fetch_all(connection)
    .await
    .named("looking for a target")
}

/// Names of the targets that are swept: hosts, or addresses where there is no host name.
pub(crate) async fn target_names(connection: &mut PgConnection) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT coalesce(nullif(host, ''), host(address)) AS name FROM target
         WHERE removed_at IS NULL ORDER BY name",
    )
    .fetch_all(connection)
    .await
    .named("reading the names of the targets")
}
