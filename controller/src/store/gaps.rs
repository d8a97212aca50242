//! What policies ask about targets.

use std::net::IpAddr;

use sqlx::PgConnection;

use super::{Named, Result};

/// Host name, address and domain of every target that there ever was: policies are held against old sweeps too.
pub(crate) async fn domains_of_targets(
    connection: &mut PgConnection,
) -> Result<Vec<(String, IpAddr, String)>> {
    sqlx::query_as("SELECT t.host, t.address, d.name FROM target t JOIN domain d ON d.id = t.domain_id")
        .fetch_all(connection)
        .await
        .named("reading the domains of the targets")
}
