//! Reads the inventory that was applied last.

use std::{collections::BTreeMap, error::Error as StdError, net::IpAddr, str::FromStr};

use sekisho_domain::inventory::{Computer, Domain, Inventory, Policy, Profile, Schedule, Target, Vantage};
use serde_json::Value;
use sqlx::PgConnection;

use crate::store::{Error, Named, Result};

const OPERATION: &str = "reading the inventory";

/// The inventory, without what was removed or discovered.
pub(crate) async fn read(connection: &mut PgConnection) -> Result<Inventory> {
    Ok(Inventory {
        domains: domains(connection).await?,
        targets: targets(connection).await?,
        computers: computers(connection).await?,
        vantages: vantages(connection).await?,
        profiles: profiles(connection).await?,
        policies: policies(connection).await?,
        schedules: schedules(connection).await?,
    })
}

fn parsed<T>(text: &str) -> Result<T>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    text.parse().map_err(|error| Error::decode(OPERATION, error))
}

fn number(budget: Option<i32>) -> Option<u32> {
    budget.map(i32::unsigned_abs)
}

async fn domains(connection: &mut PgConnection) -> Result<Vec<Domain>> {
    let rows: Vec<(String, Vec<IpAddr>, bool, Option<i32>)> = sqlx::query_as(
        "SELECT name, dns_servers, discover, budget FROM domain WHERE removed_at IS NULL ORDER BY name",
    )
    .fetch_all(connection)
    .await
    .named(OPERATION)?;
    rows.into_iter()
        .map(|(name, dns_servers, discover, budget)| {
            Ok(Domain { name: parsed(&name)?, dns_servers, discover, budget: number(budget) })
        })
        .collect()
}

async fn targets(connection: &mut PgConnection) -> Result<Vec<Target>> {
    let rows: Vec<(String, String, IpAddr, Option<i32>)> = sqlx::query_as(
        "SELECT d.name, t.host, t.address, t.budget FROM target t JOIN domain d ON d.id = t.domain_id
         WHERE t.removed_at IS NULL AND t.origin = 'inventory' ORDER BY d.name, t.host, t.address",
    )
    .fetch_all(connection)
    .await
    .named(OPERATION)?;
    rows.into_iter()
        .map(|(domain, host, address, budget)| {
            Ok(Target { domain: parsed(&domain)?, host: parsed(&host)?, address, budget: number(budget) })
        })
        .collect()
}

async fn computers(connection: &mut PgConnection) -> Result<Vec<Computer>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.name, d.name FROM computer c JOIN domain d ON d.id = c.domain_id
         WHERE d.removed_at IS NULL ORDER BY d.name, c.name",
    )
    .fetch_all(connection)
    .await
    .named(OPERATION)?;
    rows.into_iter()
        .map(|(name, domain)| Ok(Computer { name: parsed(&name)?, domain: parsed(&domain)? }))
        .collect()
}

async fn vantages(connection: &mut PgConnection) -> Result<Vec<Vantage>> {
    type Labels = sqlx::types::Json<BTreeMap<String, String>>;
    type Row = (String, Option<String>, Option<i32>, Option<String>, Labels, Option<i32>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT name, subnet::text, vlan, site, labels, budget FROM vantage WHERE removed_at IS NULL ORDER BY name",
    )
    .fetch_all(connection)
    .await
    .named(OPERATION)?;
    rows.into_iter()
        .map(|(name, subnet, vlan, site, labels, budget)| {
            Ok(Vantage {
                name: parsed(&name)?,
                subnet: subnet.as_deref().map(parsed).transpose()?,
                vlan,
                site: site.as_deref().map(parsed).transpose()?,
                labels: labels.0,
                budget: number(budget),
            })
        })
        .collect()
}

/// The user's own profiles.
pub(crate) async fn profiles(connection: &mut PgConnection) -> Result<Vec<Profile>> {
    let rows: Vec<(String, Vec<String>)> =
        sqlx::query_as("SELECT name, services FROM profile WHERE removed_at IS NULL ORDER BY name")
            .fetch_all(connection)
            .await
            .named(OPERATION)?;
    rows.into_iter()
        .map(|(name, services)| {
            let services = services.iter().map(|service| parsed(service)).collect::<Result<_>>()?;
            Ok(Profile { name: parsed(&name)?, services })
        })
        .collect()
}

async fn policies(connection: &mut PgConnection) -> Result<Vec<Policy>> {
    let rows: Vec<Value> = sqlx::query_scalar("SELECT definition FROM policy ORDER BY position, name")
        .fetch_all(connection)
        .await
        .named(OPERATION)?;
    rows.into_iter().map(from_json).collect()
}

async fn schedules(connection: &mut PgConnection) -> Result<Vec<Schedule>> {
    let rows: Vec<Value> = sqlx::query_scalar("SELECT definition FROM schedule ORDER BY name")
        .fetch_all(connection)
        .await
        .named(OPERATION)?;
    rows.into_iter().map(from_json).collect()
}

fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::decode(OPERATION, error))
}
