//! Names for the keys that results have: vantages, targets, services.

use std::{collections::HashMap, net::IpAddr};

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// A vantage, also one that is in the inventory no more.
#[derive(FromRow)]
pub(crate) struct Vantage {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) subnet: Option<String>,
    pub(crate) site: Option<String>,
}

/// A target, also one that is swept no more.
#[derive(FromRow)]
pub(crate) struct Target {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

/// All vantages, by key.
pub(crate) async fn vantages(connection: &mut PgConnection) -> Result<HashMap<i32, Vantage>> {
    let rows: Vec<Vantage> = sqlx::query_as("SELECT id, name, subnet::text AS subnet, site FROM vantage")
        .fetch_all(connection)
        .await
        .named("reading the names of the vantages")?;
    Ok(rows.into_iter().map(|vantage| (vantage.id, vantage)).collect())
}

/// All targets, by key.
pub(crate) async fn targets(connection: &mut PgConnection) -> Result<HashMap<i32, Target>> {
    let rows: Vec<Target> = sqlx::query_as("SELECT id, host, address FROM target")
        .fetch_all(connection)
        .await
        .named("reading the names of the targets")?;
    Ok(rows.into_iter().map(|target| (target.id, target)).collect())
}

/// All services, by number.
pub(crate) async fn services(connection: &mut PgConnection) -> Result<HashMap<i16, String>> {
    let rows: Vec<(i16, String)> = sqlx::query_as("SELECT id, name FROM service")
        .fetch_all(connection)
        .await
        .named("reading the names of the services")?;
    Ok(rows.into_iter().collect())
}

impl Target {
    /// Host name, or the address where there is none.
    pub(crate) fn name(&self) -> String {
        if self.host.is_empty() { self.address.to_string() } else { self.host.clone() }
    }
}
