//! Makes the database say what an inventory says. Rows that results refer to are marked as removed, never deleted.

use sekisho_domain::inventory::Inventory;
use serde_json::Value;
use sqlx::PgConnection;

use crate::store::{Error, Named, Result};

const OPERATION: &str = "writing the inventory";

/// Writes the whole inventory. The caller holds its lock.
pub(crate) async fn write(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    domains(connection, inventory).await?;
    targets(connection, inventory).await?;
    computers(connection, inventory).await?;
    vantages(connection, inventory).await?;
    profiles(connection, inventory).await?;
    policies(connection, inventory).await?;
    schedules(connection, inventory).await
}

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// As the database has it. The inventory's bounds are narrower.
fn integer(budget: Option<u32>) -> Option<i32> {
    budget.and_then(|budget| i32::try_from(budget).ok())
}

async fn domains(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    let names = strings(inventory.domains.iter().map(|d| &d.name));
    sqlx::query("UPDATE domain SET removed_at = now() WHERE removed_at IS NULL AND name <> ALL($1)")
        .bind(&names)
        .execute(&mut *connection)
        .await
        .named(OPERATION)?;
    for domain in &inventory.domains {
        sqlx::query(
            "INSERT INTO domain (name, dns_servers, discover, budget) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET dns_servers = $2, discover = $3, budget = $4, removed_at = NULL",
        )
        .bind(domain.name.as_str())
        .bind(&domain.dns_servers)
        .bind(domain.discover)
        .bind(integer(domain.budget))
        .execute(&mut *connection)
        .await
        .named(OPERATION)?;
    }
    Ok(())
}

async fn targets(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    let domains = strings(inventory.targets.iter().map(|t| &t.domain));
    let hosts = strings(inventory.targets.iter().map(|t| &t.host));
    let addresses: Vec<_> = inventory.targets.iter().map(|t| t.address).collect();
    sqlx::query(
        "UPDATE target t SET removed_at = now(), budget = NULL FROM domain d
         WHERE d.id = t.domain_id AND t.origin = 'inventory' AND t.removed_at IS NULL
           AND (d.name, t.host, t.address) NOT IN (SELECT * FROM unnest($1::text[], $2::text[], $3::inet[]))",
    )
    .bind(&domains)
    .bind(&hosts)
    .bind(&addresses)
    .execute(&mut *connection)
    .await
    .named(OPERATION)?;
    sqlx::query(
        "INSERT INTO target (domain_id, host, address, origin, budget)
         SELECT d.id, l.host, l.address, 'inventory', l.budget
         FROM unnest($1::text[], $2::text[], $3::inet[], $4::integer[]) AS l (domain, host, address, budget)
         JOIN domain d ON d.name = l.domain
         ORDER BY d.id, l.host, l.address
         ON CONFLICT (domain_id, host, address) DO UPDATE SET origin = 'inventory', budget = excluded.budget,
                                                              removed_at = NULL",
    )
    .bind(&domains)
    .bind(&hosts)
    .bind(&addresses)
    .bind(inventory.targets.iter().map(|t| integer(t.budget)).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await
    .named(OPERATION)?;
    Ok(())
}

async fn computers(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    sqlx::query("DELETE FROM computer").execute(&mut *connection).await.named(OPERATION)?;
    sqlx::query(
        "INSERT INTO computer (domain_id, name)
         SELECT d.id, l.name FROM unnest($1::text[], $2::text[]) AS l (domain, name) JOIN domain d ON d.name = l.domain",
    )
    .bind(strings(inventory.computers.iter().map(|c| &c.domain)))
    .bind(strings(inventory.computers.iter().map(|c| &c.name)))
    .execute(connection)
    .await
    .named(OPERATION)?;
    Ok(())
}

async fn vantages(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    let list = &inventory.vantages;
    let names = strings(list.iter().map(|v| &v.name));
    let labels =
        list.iter().map(|v| serde_json::to_string(&v.labels)).collect::<std::result::Result<Vec<_>, _>>();
    let labels = labels.map_err(|error| Error::decode(OPERATION, error))?;
    sqlx::query("UPDATE vantage SET removed_at = now() WHERE removed_at IS NULL AND name <> ALL($1)")
        .bind(&names)
        .execute(&mut *connection)
        .await
        .named(OPERATION)?;
    sqlx::query(
        "INSERT INTO vantage (name, subnet, vlan, site, labels, budget)
         SELECT name, subnet::cidr, vlan, site, labels::jsonb, budget
         FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::integer[])
              AS l (name, subnet, vlan, site, labels, budget)
         ON CONFLICT (name) DO UPDATE SET subnet = excluded.subnet, vlan = excluded.vlan, site = excluded.site,
                                          labels = excluded.labels, budget = excluded.budget, removed_at = NULL",
    )
    .bind(&names)
    .bind(list.iter().map(|v| v.subnet.map(|subnet| subnet.to_string())).collect::<Vec<_>>())
    .bind(list.iter().map(|v| v.vlan).collect::<Vec<_>>())
    .bind(list.iter().map(|v| v.site.as_ref().map(ToString::to_string)).collect::<Vec<_>>())
    .bind(labels)
    .bind(list.iter().map(|v| integer(v.budget)).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named(OPERATION)?;
    Ok(())
}

async fn profiles(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    let names = strings(inventory.profiles.iter().map(|p| &p.name));
    sqlx::query("UPDATE profile SET removed_at = now() WHERE removed_at IS NULL AND name <> ALL($1)")
        .bind(&names)
        .execute(&mut *connection)
        .await
        .named(OPERATION)?;
    for profile in &inventory.profiles {
        sqlx::query(
            "INSERT INTO profile (name, services) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET services = $2, removed_at = NULL",
        )
        .bind(profile.name.as_str())
        .bind(strings(profile.services.iter().map(|s| s.name())))
        .execute(&mut *connection)
        .await
        .named(OPERATION)?;
    }
    Ok(())
}

async fn policies(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    sqlx::query("DELETE FROM policy").execute(&mut *connection).await.named(OPERATION)?;
    let definitions = json(&inventory.policies)?;
    sqlx::query(
        "INSERT INTO policy (name, definition, position)
         SELECT name, definition, position - 1
         FROM unnest($1::text[], $2::jsonb[]) WITH ORDINALITY AS l (name, definition, position)",
    )
    .bind(strings(inventory.policies.iter().map(|p| &p.name)))
    .bind(definitions)
    .execute(connection)
    .await
    .named(OPERATION)?;
    Ok(())
}

async fn schedules(connection: &mut PgConnection, inventory: &Inventory) -> Result<()> {
    let names = strings(inventory.schedules.iter().map(|s| &s.name));
    sqlx::query("DELETE FROM schedule WHERE name <> ALL($1)")
        .bind(&names)
        .execute(&mut *connection)
        .await
        .named(OPERATION)?;
    // What stays keeps its pause, and is looked at again when it changes.
    sqlx::query(
        "INSERT INTO schedule (name, definition) SELECT * FROM unnest($1::text[], $2::jsonb[])
         ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, look_at = now()
         WHERE schedule.definition <> excluded.definition",
    )
    .bind(names)
    .bind(json(&inventory.schedules)?)
    .execute(connection)
    .await
    .named(OPERATION)?;
    Ok(())
}

fn json<T: serde::Serialize>(items: &[T]) -> Result<Vec<Value>> {
    items
        .iter()
        .map(|item| serde_json::to_value(item).map_err(|error| Error::decode(OPERATION, error)))
        .collect()
}
