//! Computers whose accounts are looked for.

use sqlx::PgConnection;

use super::{Named, Result};

/// The computers of the inventory in these domains, each with its domain.
pub(crate) async fn of_domains(connection: &mut PgConnection, domains: &[i32]) -> Result<Vec<(i32, String)>> {
    sqlx::query_as("SELECT domain_id, name FROM computer WHERE domain_id = ANY($1) ORDER BY domain_id, name")
        .bind(domains)
        .fetch_all(connection)
        .await
        .named("reading the computers to look for")
}
