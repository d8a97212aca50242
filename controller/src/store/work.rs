//! What probes have to do: jobs given out, sent and taken back.

use std::net::IpAddr;

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// Gives queued jobs of a vantage to a probe until it holds `most`. The caller has locked the probe's session.
///
/// Sweeps that operators asked for come before those of schedules. Among equals the sweep comes first of which the probes
/// of the vantage hold the fewest jobs, so that a small sweep gets the next place that a large one frees.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    probe: Uuid,
    vantage: i32,
    most: i64,
) -> Result<u64> {
    let claimed = sqlx::query(
        "WITH next AS (
             SELECT j.id FROM job j JOIN sweep s ON s.id = j.sweep_id
             LEFT JOIN (SELECT sweep_id, count(*) AS jobs FROM job
                        WHERE vantage_id = $2 AND state = 'assigned' AND reported_at IS NULL GROUP BY sweep_id) held
                 ON held.sweep_id = j.sweep_id
             WHERE j.vantage_id = $2 AND j.state = 'queued'
             ORDER BY s.schedule IS NOT NULL, coalesce(held.jobs, 0), j.sweep_id, j.id
             LIMIT greatest(0, $3 - (SELECT count(*) FROM job WHERE probe_id = $1 AND state = 'assigned' AND reported_at IS NULL))
             FOR NO KEY UPDATE OF j SKIP LOCKED)
         UPDATE job SET state = 'assigned', probe_id = $1, assigned_at = now(), reported_at = NULL
         FROM next WHERE job.id = next.id",
    )
    .bind(probe)
    .bind(vantage)
    .bind(most)
    .execute(connection)
    .await
    .named("claiming jobs")?;
    Ok(claimed.rows_affected())
}

/// A job that a probe has.
#[derive(FromRow)]
pub(crate) struct Assigned {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    /// Flows of the sweep whose packets are to be kept.
    pub(crate) captures: Vec<String>,
    pub(crate) seconds_left: f64,
}

/// The jobs that a probe has and should go on with, oldest first.
pub(crate) async fn assigned(
    connection: &mut PgConnection,
    probe: Uuid,
    discovery_wait: f64,
) -> Result<Vec<Assigned>> {
    sqlx::query_as(
        "SELECT j.id, j.kind, s.captures, extract(epoch FROM least(s.deadline, CASE WHEN j.kind = 'discovery'
                    THEN s.started_at + make_interval(secs => $2) END) - now())::float8 AS seconds_left
         FROM job j JOIN sweep s ON s.id = j.sweep_id
         WHERE j.probe_id = $1 AND j.state = 'assigned' AND j.reported_at IS NULL
           AND s.deadline > now() ORDER BY j.sweep_id, j.id",
    )
    .bind(probe)
    .bind(discovery_wait)
    .fetch_all(connection)
    .await
    .named("reading a probe's jobs")
}

/// A job that a probe has and this session need not think of any more.
#[derive(FromRow)]
pub(crate) struct Surplus {
    pub(crate) id: Uuid,
    /// Whether the probe may still work on it.
    pub(crate) cancel: bool,
}

/// Those of `jobs` that are not wanted from this probe any more: unknown, given to another, or ended. A planned job (with the
/// number of its plan) may have begun before there was a row of it, and goes on until the end of its window: nobody else did it.
pub(crate) async fn surplus(
    connection: &mut PgConnection,
    probe: Uuid,
    jobs: &[Uuid],
    plans: &[Option<i64>],
) -> Result<Vec<Surplus>> {
    sqlx::query_as(
        "SELECT held.id, coalesce(j.reported_at IS NULL AND (j.state <> 'finished' OR j.missed > 0)
                                  AND (held.plan IS NULL OR s.state = 'cancelled' OR s.deadline < now()), true) AS cancel
         FROM unnest($2::uuid[], $3::bigint[]) AS held (id, plan)
         LEFT JOIN job j ON j.id = held.id LEFT JOIN sweep s ON s.id = j.sweep_id LEFT JOIN plan p ON p.number = held.plan
         WHERE (j.id IS NULL AND p.number IS NULL) OR j.state = 'finished' OR (j.state = 'assigned' AND j.probe_id IS DISTINCT FROM $1)",
    )
    .bind(probe)
    .bind(jobs)
    .bind(plans)
    .fetch_all(connection)
    .await
    .named("looking for jobs to take back")
}

/// One flow that is still to be tested.
#[derive(FromRow)]
pub(crate) struct CheckTask {
    pub(crate) number: i64,
    pub(crate) target_id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) domain: String,
    pub(crate) service: String,
    /// Letter of what the flow was when it was last tested.
    pub(crate) last_outcome: Option<i8>,
}

/// What [`check_tasks`] asks. Public for the test of its plan.
pub const CHECK_TASKS: &str = "
    SELECT task.number - 1 AS number, task.target_id, t.host, t.address, d.name AS domain, s.name AS service,
           p.outcomes[array_position(p.services, task.service_id)] AS last_outcome
    FROM job j
    CROSS JOIN LATERAL unnest(j.task_targets, j.task_services) WITH ORDINALITY
        AS task (target_id, service_id, number)
    JOIN target t ON t.id = task.target_id
    JOIN domain d ON d.id = t.domain_id
    JOIN service s ON s.id = task.service_id
    LEFT JOIN span p ON p.vantage_id = j.vantage_id AND p.target_id = task.target_id
    WHERE j.id = $1
      AND CASE WHEN length(j.outcomes) > 0 THEN get_byte(j.outcomes, task.number::integer - 1) ELSE 0 END = 0
    ORDER BY task.number";

/// The tasks of a job of flows that have no observation, with the last outcome of each flow.
pub(crate) async fn check_tasks(connection: &mut PgConnection, job: Uuid) -> Result<Vec<CheckTask>> {
    sqlx::query_as(CHECK_TASKS).bind(job).fetch_all(connection).await.named("reading the tasks of a job")
}

/// One discovery that is still to be done.
#[derive(FromRow)]
pub(crate) struct DiscoveryTask {
    pub(crate) number: i64,
    pub(crate) domain: String,
    pub(crate) dns_servers: Vec<IpAddr>,
}

/// The tasks of a discovery job that have no result.
pub(crate) async fn discovery_tasks(connection: &mut PgConnection, job: Uuid) -> Result<Vec<DiscoveryTask>> {
    sqlx::query_as(
        "SELECT task.number - 1 AS number, d.name AS domain, d.dns_servers
         FROM job j
         CROSS JOIN LATERAL unnest(j.domain_ids) WITH ORDINALITY AS task (domain_id, number)
         JOIN domain d ON d.id = task.domain_id
         WHERE j.id = $1
           AND NOT EXISTS (SELECT 1 FROM discovery o WHERE o.job_id = j.id AND o.task = task.number - 1)
         ORDER BY task.number",
    )
    .bind(job)
    .fetch_all(connection)
    .await
    .named("reading the tasks of a discovery")
}

/// One check of a vantage that is still to be done.
#[derive(FromRow)]
pub(crate) struct VantageTask {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) domain: String,
    pub(crate) dns_servers: Vec<IpAddr>,
    pub(crate) target_id: Option<i32>,
    pub(crate) computer: Option<String>,
}

/// The tasks of a vantage job that have no result.
pub(crate) async fn vantage_tasks(connection: &mut PgConnection, job: Uuid) -> Result<Vec<VantageTask>> {
    sqlx::query_as(
        "SELECT task.number - 1 AS number, task.kind, d.name AS domain, d.dns_servers, task.target_id, task.computer
         FROM job j
         CROSS JOIN LATERAL unnest(j.task_checks, j.domain_ids, j.task_targets, j.task_computers) WITH ORDINALITY
             AS task (kind, domain_id, target_id, computer, number)
         JOIN domain d ON d.id = task.domain_id
         WHERE j.id = $1
           AND NOT EXISTS (SELECT 1 FROM check_result r WHERE r.job_id = j.id AND r.task = task.number - 1)
         ORDER BY task.number",
    )
    .bind(job)
    .fetch_all(connection)
    .await
    .named("reading the checks of a job")
}

/// A domain controller that the checks of a job may have to talk to.
#[derive(FromRow)]
pub(crate) struct KnownTarget {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) domain: String,
}

/// The domain controllers that a vantage job knows, in the order in which it was made.
pub(crate) async fn known_targets(connection: &mut PgConnection, job: Uuid) -> Result<Vec<KnownTarget>> {
    sqlx::query_as(
        "SELECT t.id, t.host, t.address, d.name AS domain
         FROM job j
         CROSS JOIN LATERAL unnest(j.known_targets) WITH ORDINALITY AS known (target_id, place)
         JOIN target t ON t.id = known.target_id
         JOIN domain d ON d.id = t.domain_id
         WHERE j.id = $1 ORDER BY known.place",
    )
    .bind(job)
    .fetch_all(connection)
    .await
    .named("reading the targets of a job of checks")
}
