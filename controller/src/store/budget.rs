//! Budgets, and the shares of them that are lent to jobs.

use std::{collections::BTreeMap, net::IpAddr};

use sekisho_domain::budget;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// A budget that a job needs a share of.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Need {
    pub(crate) job_id: Uuid,
    /// The address; `None`: the link of the job's vantage.
    pub(crate) address: Option<IpAddr>,
    pub(crate) vantage_id: Option<i32>,
    /// Attempts per second.
    pub(crate) budget: i32,
    /// What is lent of it, without what this probe has for this job.
    pub(crate) lent: i64,
    /// What this probe has for this job.
    pub(crate) own: Option<i32>,
}

/// What jobs need, and what of it is lent in the time until `until` seconds from now: of each address that is a target's and
/// that they may talk to, and of the link of their vantage where that has a budget.
pub(crate) async fn needs(
    connection: &mut PgConnection,
    probe: Uuid,
    jobs: &[Uuid],
    seconds: f64,
) -> Result<Vec<Need>> {
    sqlx::query_as(
        "WITH talk AS (
             SELECT j.id, t.address FROM job j JOIN target t ON t.id = ANY(j.known_targets) WHERE j.id = ANY($2)
             UNION
             SELECT j.id, server FROM job j JOIN domain d ON d.id = ANY(j.domain_ids), unnest(d.dns_servers) AS server
             WHERE j.id = ANY($2)
         ), need AS (
             SELECT talk.id AS job_id, talk.address, NULL::integer AS vantage_id, coalesce(
                 min(coalesce(t.budget, d.budget, $4)) FILTER (WHERE t.removed_at IS NULL),
                 min(coalesce(t.budget, d.budget, $4))) AS budget
             FROM talk JOIN target t ON t.address = talk.address JOIN domain d ON d.id = t.domain_id
             GROUP BY talk.id, talk.address
             UNION ALL
             SELECT j.id, NULL, v.id, v.budget FROM job j JOIN vantage v ON v.id = j.vantage_id
             WHERE j.id = ANY($2) AND v.budget IS NOT NULL)
         SELECT n.*, coalesce(s.lent, 0)::bigint AS lent, s.own FROM need n
         LEFT JOIN budget b ON b.address = n.address OR b.vantage_id = n.vantage_id
         LEFT JOIN LATERAL (
             SELECT sum(rate) FILTER (WHERE (job_id, probe_id) <> (n.job_id, $1)) AS lent,
                    max(rate) FILTER (WHERE (job_id, probe_id) = (n.job_id, $1)) AS own
             FROM share WHERE budget_id = b.id AND until_at > now() AND from_at < now() + make_interval(secs => $3)
         ) s ON true
         ORDER BY n.job_id, n.address",
    )
    .bind(probe)
    .bind(jobs)
    .bind(seconds)
    .bind(i32::try_from(budget::DEFAULT).unwrap_or(i32::MAX))
    .fetch_all(connection)
    .await
    .named("reading what jobs need of budgets")
}

/// The budgets of the addresses of targets, by target.
pub(crate) async fn of_targets(connection: &mut PgConnection, targets: &[i32]) -> Result<Vec<(i32, i32)>> {
    sqlx::query_as(
        "SELECT wanted.id, min(coalesce(t.budget, d.budget, $2)) FROM target wanted
         JOIN target t ON t.address = wanted.address JOIN domain d ON d.id = t.domain_id
         WHERE wanted.id = ANY($1) AND t.removed_at IS NULL GROUP BY wanted.id",
    )
    .bind(targets)
    .bind(i32::try_from(budget::DEFAULT).unwrap_or(i32::MAX))
    .fetch_all(connection)
    .await
    .named("reading the budgets of targets")
}

/// The budgets of vantages that have one.
pub(crate) async fn of_vantages(connection: &mut PgConnection, vantages: &[i32]) -> Result<Vec<(i32, i32)>> {
    sqlx::query_as("SELECT id, budget FROM vantage WHERE id = ANY($1) AND budget IS NOT NULL")
        .bind(vantages)
        .fetch_all(connection)
        .await
        .named("reading the budgets of vantages")
}

/// Locks what is to be lent of until the transaction ends, and says by what number it is known.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    addresses: &[IpAddr],
    vantages: &[i32],
) -> Result<BTreeMap<(Option<IpAddr>, Option<i32>), i32>> {
    sqlx::query(
        "INSERT INTO budget (address, vantage_id)
         SELECT address, vantage_id FROM (
             SELECT address, NULL::integer AS vantage_id FROM unnest($1::inet[]) AS address
             UNION ALL SELECT NULL, vantage_id FROM unnest($2::integer[]) AS vantage_id) wanted
         WHERE NOT EXISTS (SELECT 1 FROM budget b WHERE b.address = wanted.address OR b.vantage_id = wanted.vantage_id)
         ORDER BY vantage_id, address
         ON CONFLICT DO NOTHING",
    )
    .bind(addresses)
    .bind(vantages)
    .execute(&mut *connection)
    .await
    .named("noting budgets")?;
    let rows: Vec<(i32, Option<IpAddr>, Option<i32>)> = sqlx::query_as(
        "SELECT id, address, vantage_id FROM budget WHERE address = ANY($1) OR vantage_id = ANY($2)
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(addresses)
    .bind(vantages)
    .fetch_all(connection)
    .await
    .named("locking budgets")?;
    Ok(rows.into_iter().map(|(id, address, vantage)| ((address, vantage), id)).collect())
}

/// Lends shares of locked budgets, by number and rate, for so many seconds. One that this probe has for this job is lent again.
pub(crate) async fn lend(
    connection: &mut PgConnection,
    (job, probe): (Uuid, Uuid),
    shares: &[(i32, u32)],
    seconds: f64,
) -> Result<()> {
    let (budgets, rates): (Vec<i32>, Vec<i32>) =
        shares.iter().map(|(budget, rate)| (*budget, i32::try_from(*rate).unwrap_or(i32::MAX))).unzip();
    sqlx::query(
        "INSERT INTO share (budget_id, job_id, probe_id, rate, from_at, until_at)
         SELECT budget_id, $1, $2, rate, now(), now() + make_interval(secs => $5)
         FROM unnest($3::integer[], $4::integer[]) AS s (budget_id, rate)
         ON CONFLICT (budget_id, job_id, probe_id) DO UPDATE SET rate = excluded.rate, from_at = excluded.from_at,
             until_at = greatest(share.until_at, excluded.until_at)",
    )
    .bind(job)
    .bind(probe)
    .bind(budgets)
    .bind(rates)
    .bind(seconds)
    .execute(connection)
    .await
    .named("lending shares of budgets")?;
    Ok(())
}

/// A share of a job.
#[derive(FromRow)]
pub(crate) struct Share {
    /// `None`: of the link.
    pub(crate) address: Option<IpAddr>,
    pub(crate) rate: i32,
}

/// What a probe may use for a job.
pub(crate) async fn of_job(connection: &mut PgConnection, job: Uuid, probe: Uuid) -> Result<Vec<Share>> {
    sqlx::query_as(
        "SELECT b.address, s.rate FROM share s JOIN budget b ON b.id = s.budget_id
         WHERE s.job_id = $1 AND s.probe_id = $2 AND s.until_at > now() ORDER BY b.address",
    )
    .bind(job)
    .bind(probe)
    .fetch_all(connection)
    .await
    .named("reading the shares of a job")
}

/// Takes back what a probe had for a job that it is through with, `linger` seconds from now. Until then it is nobody's: should
/// the probe get the job again, it needs other shares.
pub(crate) async fn give_back(
    connection: &mut PgConnection,
    job: Uuid,
    probe: Uuid,
    linger: f64,
) -> Result<()> {
    sqlx::query(
        "UPDATE share SET job_id = gen_random_uuid(),
                until_at = least(until_at, clock_timestamp() + make_interval(secs => $3))
         WHERE job_id = $1 AND probe_id = $2",
    )
    .bind(job)
    .bind(probe)
    .bind(linger)
    .execute(connection)
    .await
    .named("taking shares of budgets back")?;
    Ok(())
}

/// Forgets shares whose time is over.
pub(crate) async fn forget(connection: &mut PgConnection) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM share WHERE ctid IN (
             SELECT ctid FROM share WHERE until_at < now() ORDER BY until_at LIMIT 10000 FOR UPDATE SKIP LOCKED)",
    )
    .execute(connection)
    .await
    .named("forgetting shares")?;
    Ok(gone.rows_affected())
}
