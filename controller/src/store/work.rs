//! What probes have to do: jobs given out, sent and taken back.

use std::net::IpAddr;

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{
    Named, Result,
    tasks::{self, CheckTask, KnownTarget, VantageTask},
};

/// A queued job that a probe could have.
#[derive(Clone, FromRow)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    /// How long it may take from now.
    pub(crate) seconds: f64,
    /// Tasks to each of its targets; `None` for a job of another kind than flows.
    pub(crate) tasks_each: Option<i64>,
    pub(crate) tasks: i32,
    /// The first of its targets.
    pub(crate) first_target: Option<i32>,
}

/// Vantages for which jobs are queued.
pub(crate) async fn queued_vantages(connection: &mut PgConnection) -> Result<Vec<i32>> {
    sqlx::query_scalar("SELECT DISTINCT vantage_id FROM job WHERE state = 'queued'")
        .fetch_all(connection)
        .await
        .named("looking for queued jobs")
}

/// Who asks for jobs.
pub(crate) struct Claim {
    pub(crate) probe: Uuid,
    pub(crate) vantage: i32,
    /// Jobs that the probe may hold.
    pub(crate) most: i64,
    /// Seconds after the start of a sweep when its discovery is over.
    pub(crate) discovery_wait: f64,
}

/// The queued jobs that a probe of a vantage could have next, and how many of them it has room for.
///
/// Sweeps that operators asked for come before those of schedules. Among equals the sweep comes first of which the probes
/// of the vantage hold the fewest jobs, so that a small sweep gets the next place that a large one frees.
pub(crate) async fn candidates(
    connection: &mut PgConnection,
    claim: &Claim,
) -> Result<(Vec<Candidate>, i64)> {
    let room: i64 = sqlx::query_scalar(
        "SELECT greatest(0, $2 - count(*)) FROM job
         WHERE probe_id = $1 AND state = 'assigned' AND reported_at IS NULL",
    )
    .bind(claim.probe)
    .bind(claim.most)
    .fetch_one(&mut *connection)
    .await
    .named("counting a probe's jobs")?;
    if room == 0 {
        return Ok((Vec::new(), 0));
    }
    let candidates = sqlx::query_as(
        "SELECT j.id, j.planned AS tasks, j.known_targets[1] AS first_target, extract(epoch FROM least(s.deadline, CASE WHEN j.kind = 'discovery'
                    THEN s.started_at + make_interval(secs => $3) END) - now())::float8 AS seconds,
                CASE WHEN j.kind = 'check' THEN ceil(j.planned::float8 / greatest(1, cardinality(j.known_targets)))::bigint END
                    AS tasks_each
         FROM job j JOIN sweep s ON s.id = j.sweep_id
         LEFT JOIN (SELECT sweep_id, count(*) AS jobs FROM job
                    WHERE vantage_id = $1 AND state = 'assigned' AND reported_at IS NULL GROUP BY sweep_id) held
             ON held.sweep_id = j.sweep_id
         WHERE j.vantage_id = $1 AND j.state = 'queued'
         ORDER BY s.schedule IS NOT NULL, coalesce(held.jobs, 0), j.sweep_id, j.id LIMIT $2",
    )
    .bind(claim.vantage)
    // More than there is room for: others may take some of them, and some may have to wait for a budget.
    .bind(room.saturating_mul(2).saturating_add(2))
    .bind(claim.discovery_wait)
    .fetch_all(connection)
    .await
    .named("looking for jobs")?;
    Ok((candidates, room))
}

/// Locks the first `most` of `jobs` that are still queued and that nobody else holds, until the transaction ends.
pub(crate) async fn lock_queued(
    connection: &mut PgConnection,
    jobs: &[Uuid],
    most: i64,
) -> Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT j.id FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, place) JOIN job j ON j.id = wanted.id
         WHERE j.state = 'queued' ORDER BY wanted.place LIMIT $2 FOR NO KEY UPDATE OF j SKIP LOCKED",
    )
    .bind(jobs)
    .bind(most)
    .fetch_all(connection)
    .await
    .named("locking queued jobs")
}

/// How many queued jobs wait for each target, and at each vantage. Counts jobs of vantages with a connected probe.
pub(crate) async fn waiting(
    connection: &mut PgConnection,
    live_window: f64,
) -> Result<(Vec<(i32, i64)>, Vec<(i32, i64)>)> {
    let of_target = sqlx::query_as(
        "SELECT target, count(*) FROM job q CROSS JOIN unnest(q.known_targets) AS target
         WHERE q.state = 'queued' AND q.vantage_id IN (
             SELECT p.vantage_id FROM probe p
             WHERE p.session_id IS NOT NULL AND p.seen_at > now() - make_interval(secs => $1))
         GROUP BY target",
    )
    .bind(live_window)
    .fetch_all(&mut *connection)
    .await
    .named("counting jobs that wait for targets")?;
    let of_vantage = sqlx::query_as(
        "SELECT q.vantage_id, count(*) FROM job q
         WHERE q.state = 'queued' AND q.vantage_id IN (
             SELECT p.vantage_id FROM probe p
             WHERE p.session_id IS NOT NULL AND p.seen_at > now() - make_interval(secs => $1))
         GROUP BY q.vantage_id",
    )
    .bind(live_window)
    .fetch_all(connection)
    .await
    .named("counting jobs that wait at vantages")?;
    Ok((of_target, of_vantage))
}

/// Gives a locked job to a probe whose session the caller has locked.
pub(crate) async fn assign(connection: &mut PgConnection, probe: Uuid, job: Uuid) -> Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'assigned', probe_id = $1, assigned_at = now(), reported_at = NULL WHERE id = $2",
    )
    .bind(probe)
    .bind(job)
    .execute(connection)
    .await
    .named("giving a job to a probe")?;
    Ok(())
}

/// Queues jobs of a probe again that it does not have.
pub(crate) async fn put_back(connection: &mut PgConnection, probe: Uuid, jobs: &[Uuid]) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH mine AS (
             SELECT id FROM job WHERE id = ANY($2) AND probe_id = $1 AND state = 'assigned' AND reported_at IS NULL
             ORDER BY id FOR NO KEY UPDATE)
         UPDATE job SET state = 'queued', probe_id = NULL, assigned_at = NULL, queued_at = now()
         FROM mine WHERE job.id = mine.id",
    )
    .bind(probe)
    .bind(jobs)
    .execute(connection)
    .await
    .named("queueing jobs again")?;
    Ok(())
}

/// A job that a probe has.
#[derive(FromRow)]
pub(crate) struct Assigned {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    /// Flows of the sweep whose packets are to be kept.
    pub(crate) captures: Vec<String>,
    /// Where the sweep is in a trace.
    pub(crate) traceparent: Option<String>,
    pub(crate) seconds_left: f64,
}

/// The jobs that a probe has and should go on with, oldest first.
pub(crate) async fn assigned(
    connection: &mut PgConnection,
    probe: Uuid,
    discovery_wait: f64,
) -> Result<Vec<Assigned>> {
    sqlx::query_as(
        "SELECT j.id, j.kind, s.captures, s.traceparent, extract(epoch FROM least(s.deadline, CASE WHEN j.kind = 'discovery'
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

/// What [`check_tasks`] asks. Public for the test of its plan.
pub const CHECK_TASKS: &str = tasks::check_tasks!(
    "job",
    "o.vantage_id",
    "o.id = $1 AND CASE WHEN length(o.outcomes) > 0 THEN get_byte(o.outcomes, task.number::integer - 1) ELSE 0 END = 0"
);

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

/// The tasks of a vantage job that have no result.
pub(crate) async fn vantage_tasks(connection: &mut PgConnection, job: Uuid) -> Result<Vec<VantageTask>> {
    sqlx::query_as(tasks::vantage_tasks!(
        "job",
        "o.id = $1
         AND NOT EXISTS (SELECT 1 FROM check_result r WHERE r.job_id = o.id AND r.task = task.number - 1)"
    ))
    .bind(job)
    .fetch_all(connection)
    .await
    .named("reading the checks of a job")
}

/// The domain controllers that a vantage job knows, in the order in which it was made.
pub(crate) async fn known_targets(connection: &mut PgConnection, job: Uuid) -> Result<Vec<KnownTarget>> {
    sqlx::query_as(tasks::known_targets!("job", "o.id = $1"))
        .bind(job)
        .fetch_all(connection)
        .await
        .named("reading the targets of a job of checks")
}
