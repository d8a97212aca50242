//! What policies ask about targets, and since when flows are as they are.

use std::net::IpAddr;

use jiff_sqlx::Timestamp;
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

/// A flow by its names.
pub(crate) struct FlowName<'a> {
    pub(crate) vantage: &'a str,
    /// Host name of the target, or its address where it has no name.
    pub(crate) target: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) service: String,
}

/// Beginnings of the spans in which flows were in a sweep, each with the place of its flow, from 1.
pub(crate) async fn since(
    connection: &mut PgConnection,
    sweep: i64,
    flows: &[FlowName<'_>],
) -> Result<Vec<(i64, Timestamp)>> {
    sqlx::query_as(
        "SELECT w.place, s.first_seen
         FROM unnest($2::text[], $3::text[], $4::inet[], $5::text[]) WITH ORDINALITY
              AS w (vantage, target, address, service, place)
         JOIN vantage v ON v.name = w.vantage
         JOIN target t ON t.address = w.address AND coalesce(nullif(t.host, ''), host(t.address)) = w.target
         JOIN service n ON n.name = w.service
         JOIN observation o ON o.vantage_id = v.id AND o.target_id = t.id AND o.service_id = n.id AND o.sweep_id = $1
         CROSS JOIN LATERAL (
             SELECT first_seen FROM span
             WHERE vantage_id = v.id AND target_id = t.id AND service_id = n.id
               AND (first_seen, first_sweep) <= (o.observed_at, o.sweep_id)
             ORDER BY first_seen DESC, first_sweep DESC LIMIT 1) s",
    )
    .bind(sweep)
    .bind(flows.iter().map(|flow| flow.vantage).collect::<Vec<_>>())
    .bind(flows.iter().map(|flow| flow.target).collect::<Vec<_>>())
    .bind(flows.iter().map(|flow| flow.address).collect::<Vec<_>>())
    .bind(flows.iter().map(|flow| flow.service.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .named("reading since when flows are as they are")
}
