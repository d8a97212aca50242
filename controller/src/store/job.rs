//! Jobs: created, counted, ended.

use std::collections::{BTreeMap, BTreeSet};

use jiff_sqlx::Timestamp;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result, letter};

/// Queues a discovery job: one task per domain. The known targets of the domains may be asked, for domain controllers are DNS
/// servers.
pub(crate) async fn create_discovery(
    connection: &mut PgConnection,
    id: Uuid,
    sweep: i64,
    vantage: i32,
    domains: &[i32],
    known: &[i32],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO job (id, sweep_id, vantage_id, kind, domain_ids, known_targets, planned)
         VALUES ($1, $2, $3, 'discovery', $4, $5, cardinality($4))",
    )
    .bind(id)
    .bind(sweep)
    .bind(vantage)
    .bind(domains)
    .bind(known)
    .execute(connection)
    .await
    .named("queueing a discovery job")?;
    Ok(())
}

/// Queues a job of flows. The number of a task is its position in `targets` and `services`.
pub(crate) async fn create_check(
    connection: &mut PgConnection,
    id: Uuid,
    sweep: i64,
    vantage: i32,
    targets: &[i32],
    services: &[i16],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO job (id, sweep_id, vantage_id, kind, task_targets, task_services, known_targets, planned)
         VALUES ($1, $2, $3, 'check', $4, $5, ARRAY(SELECT DISTINCT t FROM unnest($4::integer[]) AS t ORDER BY t),
                 cardinality($4))",
    )
    .bind(id)
    .bind(sweep)
    .bind(vantage)
    .bind(targets)
    .bind(services)
    .execute(connection)
    .await
    .named("queueing a job of flows")?;
    Ok(())
}

/// Checks of a vantage that a job is to do. The number of a task is its position in each list.
pub(crate) struct NewChecks<'a> {
    pub(crate) sweep: i64,
    pub(crate) vantage: i32,
    pub(crate) checks: &'a [&'static str],
    pub(crate) domains: &'a [i32],
    pub(crate) targets: &'a [Option<i32>],
    pub(crate) computers: &'a [Option<&'a str>],
    /// The domain controllers that the checks may have to talk to.
    pub(crate) known: &'a [i32],
}

/// Queues a job of checks of its vantage.
pub(crate) async fn create_vantage(
    connection: &mut PgConnection,
    id: Uuid,
    job: &NewChecks<'_>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO job (id, sweep_id, vantage_id, kind, task_checks, domain_ids, task_targets, task_computers,
                          known_targets, planned)
         VALUES ($1, $2, $3, 'vantage', $4, $5, $6, $7, $8, cardinality($4))",
    )
    .bind(id)
    .bind(job.sweep)
    .bind(job.vantage)
    .bind(job.checks)
    .bind(job.domains)
    .bind(job.targets)
    .bind(job.computers)
    .bind(job.known)
    .execute(connection)
    .await
    .named("queueing a job of checks")?;
    Ok(())
}

/// A job as it is listed.
#[derive(FromRow)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) vantage: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) planned: i32,
    pub(crate) observed: i32,
    pub(crate) missed: i32,
    pub(crate) probe_id: Option<Uuid>,
    /// A probe did it by itself.
    pub(crate) autonomous: bool,
    pub(crate) handed_in_at: Option<Timestamp>,
}

/// The jobs of a sweep, by vantage: discoveries, flows, checks of the vantage.
pub(crate) async fn of_sweep(connection: &mut PgConnection, sweep: i64) -> Result<Vec<Job>> {
    sqlx::query_as(
        "SELECT j.id, v.name AS vantage, j.kind, j.state, j.reason, j.planned, j.observed, j.missed, j.probe_id,
                j.autonomous, j.handed_in_at
         FROM job j JOIN vantage v ON v.id = j.vantage_id
         WHERE j.sweep_id = $1 ORDER BY v.name, j.kind <> 'discovery', j.kind, j.id",
    )
    .bind(sweep)
    .fetch_all(connection)
    .await
    .named("reading the jobs of a sweep")
}

/// How far the jobs of a sweep are.
#[derive(FromRow)]
pub(crate) struct Progress {
    pub(crate) open: i64,
    pub(crate) missed: i64,
}

/// Jobs of a sweep that have not ended, and what ended ones have missed of flows and checks.
pub(crate) async fn progress(connection: &mut PgConnection, sweep: i64) -> Result<Progress> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE state <> 'finished') AS open,
                coalesce(sum(missed) FILTER (WHERE kind <> 'discovery'), 0)::bigint AS missed
         FROM job WHERE sweep_id = $1",
    )
    .bind(sweep)
    .fetch_one(connection)
    .await
    .named("counting the jobs of a sweep")
}

/// Whether a job of a sweep has not ended.
pub(crate) async fn has_open(connection: &mut PgConnection, sweep: i64) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM job WHERE sweep_id = $1 AND state <> 'finished')")
        .bind(sweep)
        .fetch_one(connection)
        .await
        .named("looking for open jobs")
}

/// Ends every open job of a sweep; what is not observed is missed. Returns the probes that had them.
pub(crate) async fn end_all(connection: &mut PgConnection, sweep: i64, reason: &str) -> Result<Vec<Uuid>> {
    let probes: Vec<Option<Uuid>> = sqlx::query_scalar(
        "WITH open AS (
             SELECT id FROM job WHERE sweep_id = $1 AND state <> 'finished' ORDER BY id FOR NO KEY UPDATE)
         UPDATE job SET state = 'finished', reason = $2, missed = planned - observed, finished_at = now()
         FROM open WHERE job.id = open.id RETURNING probe_id",
    )
    .bind(sweep)
    .bind(reason)
    .fetch_all(connection)
    .await
    .named("ending the jobs of a sweep")?;
    let mut probes: Vec<Uuid> = probes.into_iter().flatten().collect();
    probes.sort();
    probes.dedup();
    Ok(probes)
}

/// Ends jobs that wait for a vantage where no probe was connected for `probe_grace` seconds. Returns how many.
pub(crate) async fn end_without_probe(
    connection: &mut PgConnection,
    live_window: f64,
    probe_grace: f64,
) -> Result<u64> {
    let ended = sqlx::query(
        "WITH due AS (
             SELECT j.id FROM job j
             WHERE j.state = 'queued' AND j.queued_at < now() - make_interval(secs => $2)
               AND NOT EXISTS (
                   SELECT 1 FROM probe p WHERE p.vantage_id = j.vantage_id AND p.revoked_at IS NULL
                     AND p.seen_at > now() - make_interval(secs => CASE WHEN p.session_id IS NULL THEN $2
                                                                   ELSE greatest($1, $2) END))
             ORDER BY j.id LIMIT 500 FOR NO KEY UPDATE OF j SKIP LOCKED)
         UPDATE job SET state = 'finished', reason = 'no-probe', missed = planned - observed, finished_at = now()
         FROM due WHERE job.id = due.id",
    )
    .bind(live_window)
    .bind(probe_grace)
    .execute(connection)
    .await
    .named("ending jobs without a probe")?;
    Ok(ended.rows_affected())
}

/// Takes jobs from probes that are revoked or away for `lost_grace` seconds: back to the queue where another probe
/// serves the vantage, else they end. Returns the vantages with newly queued jobs.
pub(crate) async fn take_from_lost(
    connection: &mut PgConnection,
    live_window: f64,
    lost_grace: f64,
) -> Result<Vec<i32>> {
    let rows: Vec<(i32, bool)> = sqlx::query_as(
        "WITH lost AS (
             SELECT j.id, EXISTS (
                 SELECT 1 FROM probe o WHERE o.vantage_id = j.vantage_id AND o.id <> j.probe_id
                   AND o.revoked_at IS NULL AND o.session_id IS NOT NULL
                   AND o.seen_at > now() - make_interval(secs => $1)) AS other
             FROM job j JOIN probe p ON p.id = j.probe_id
             WHERE j.state = 'assigned'
               AND (p.revoked_at IS NOT NULL OR p.seen_at < now() - make_interval(secs => greatest($1, $2)))
             ORDER BY j.id LIMIT 500 FOR NO KEY UPDATE OF j SKIP LOCKED)
         UPDATE job SET
             state = CASE WHEN other THEN 'queued' ELSE 'finished' END,
             reason = CASE WHEN other THEN NULL ELSE 'probe-lost' END,
             probe_id = CASE WHEN other THEN NULL ELSE probe_id END,
             queued_at = CASE WHEN other THEN now() ELSE queued_at END,
             assigned_at = CASE WHEN other THEN NULL ELSE assigned_at END,
             reported_at = CASE WHEN other THEN NULL ELSE reported_at END,
             missed = CASE WHEN other THEN 0 ELSE planned - observed END,
             finished_at = CASE WHEN other THEN NULL ELSE now() END
         FROM lost WHERE job.id = lost.id RETURNING job.vantage_id, other",
    )
    .bind(live_window)
    .bind(lost_grace)
    .fetch_all(connection)
    .await
    .named("taking jobs from lost probes")?;
    let mut vantages: Vec<i32> =
        rows.into_iter().filter(|(_, other)| *other).map(|(vantage, _)| vantage).collect();
    vantages.sort_unstable();
    vantages.dedup();
    Ok(vantages)
}

/// Ends jobs that their probe is through with and of which nothing more is on its disk, or nothing came for long.
/// Returns how many.
pub(crate) async fn end_refused(connection: &mut PgConnection, settle: f64) -> Result<u64> {
    let ended = sqlx::query(
        "WITH due AS (
             SELECT j.id FROM job j JOIN probe p ON p.id = j.probe_id
             WHERE j.state = 'assigned' AND j.reported_at < now() - make_interval(secs => $1)
               AND (p.spooled = 0 AND p.seen_at > j.reported_at
                    OR j.reported_at < now() - 6 * make_interval(secs => $1))
             ORDER BY j.id LIMIT 500 FOR NO KEY UPDATE OF j SKIP LOCKED)
         UPDATE job SET state = 'finished', reason = 'refused', missed = planned - observed, finished_at = now()
         FROM due WHERE job.id = due.id",
    )
    .bind(settle)
    .execute(connection)
    .await
    .named("ending refused jobs")?;
    Ok(ended.rows_affected())
}

/// Notes that the probe is through with a job.
pub(crate) async fn report(connection: &mut PgConnection, job: Uuid, probe: Uuid) -> Result<()> {
    sqlx::query(
        "UPDATE job SET reported_at = now()
         WHERE id = $1 AND probe_id = $2 AND state = 'assigned' AND reported_at IS NULL",
    )
    .bind(job)
    .bind(probe)
    .execute(connection)
    .await
    .named("noting that a probe is through with a job")?;
    Ok(())
}

/// A job that observations came in for.
#[derive(FromRow)]
pub(crate) struct Locked {
    pub(crate) id: Uuid,
    pub(crate) number: i32,
    pub(crate) sweep_id: i64,
    pub(crate) vantage_id: i32,
    pub(crate) kind: String,
    pub(crate) planned: i32,
    pub(crate) domain_ids: Vec<i32>,
    /// Letters by task, or empty.
    pub(crate) outcomes: Vec<u8>,
    pub(crate) task_targets: Vec<Option<i32>>,
    pub(crate) task_services: Vec<i16>,
    /// The time of the transaction.
    pub(crate) now: Timestamp,
}

/// The jobs of these ids at the probe's vantage, locked in the order of their ids until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, jobs: &[Uuid], probe: Uuid) -> Result<Vec<Locked>> {
    sqlx::query_as(
        "SELECT id, number, sweep_id, vantage_id, kind, planned, domain_ids, outcomes, task_targets, task_services,
                now() AS now
         FROM job
         WHERE id = ANY($1) AND vantage_id = (SELECT vantage_id FROM probe WHERE id = $2)
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(jobs)
    .bind(probe)
    .fetch_all(connection)
    .await
    .named("locking jobs")
}

/// New observations of a job.
pub(crate) struct Counted {
    pub(crate) new: i32,
    /// Letters of all of its tasks; `None` for a job that keeps none.
    pub(crate) outcomes: Option<Vec<u8>>,
    /// The probe did the job by itself.
    pub(crate) autonomous: bool,
}

/// Counts new observations of locked jobs: a job that has all of them ends, one that had ended misses less. Returns the
/// sweeps of those that have ended.
pub(crate) async fn count_observed(
    connection: &mut PgConnection,
    jobs: &BTreeMap<Uuid, Counted>,
) -> Result<BTreeSet<i64>> {
    let sweeps: Vec<(i64, bool)> = sqlx::query_as(
        "UPDATE job SET
             observed = observed + new.count,
             outcomes = coalesce(new.outcomes, job.outcomes),
             autonomous = job.autonomous OR new.autonomous,
             handed_in_at = CASE WHEN new.autonomous THEN now() ELSE handed_in_at END,
             missed = CASE WHEN state = 'finished' THEN missed - new.count ELSE 0 END,
             state = CASE WHEN observed + new.count = planned THEN 'finished' ELSE state END,
             finished_at = CASE WHEN observed + new.count = planned THEN coalesce(finished_at, now())
                           ELSE finished_at END
         FROM unnest($1::uuid[], $2::integer[], $3::bytea[], $4::boolean[]) AS new (id, count, outcomes, autonomous)
         WHERE job.id = new.id
         RETURNING sweep_id, state = 'finished'",
    )
    .bind(jobs.keys().copied().collect::<Vec<_>>())
    .bind(jobs.values().map(|counted| counted.new).collect::<Vec<_>>())
    .bind(jobs.values().map(|counted| counted.outcomes.as_deref()).collect::<Vec<_>>())
    .bind(jobs.values().map(|counted| counted.autonomous).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .named("counting observations")?;
    Ok(sweeps.into_iter().filter(|(_, ended)| *ended).map(|(sweep, _)| sweep).collect())
}

/// What [`images`] asks. Public for the test of its plan.
pub const IMAGES: &str = "
    SELECT number, vantage_id, task_targets, task_services, outcomes, state = 'finished' AS is_over, reason
    FROM job WHERE sweep_id = $1 AND kind = 'check' AND ($2::integer[] IS NULL OR vantage_id = ANY($2))
    ORDER BY number";

/// The flows of a job and their outcomes.
#[derive(FromRow)]
pub(crate) struct Image {
    pub(crate) number: i32,
    pub(crate) vantage_id: i32,
    pub(crate) task_targets: Vec<i32>,
    pub(crate) task_services: Vec<i16>,
    /// Letters by task, or empty.
    pub(crate) outcomes: Vec<u8>,
    /// What is not observed is missed.
    pub(crate) is_over: bool,
    /// Why it ended before its time, where it did.
    pub(crate) reason: Option<String>,
}

impl Image {
    /// Target, service and letter of each flow that is decided, with its task.
    pub(crate) fn flows(&self) -> impl Iterator<Item = (usize, i32, i16, u8)> + '_ {
        let letters = self.outcomes.iter().copied().chain(std::iter::repeat(letter::NONE));
        let flows = self.task_targets.iter().zip(&self.task_services).zip(letters).enumerate();
        let decided = flows.filter(|(_, (_, letter))| self.is_over || *letter != letter::NONE);
        decided.map(|(task, ((target, service), letter))| (task, *target, *service, letter))
    }
}

/// The jobs of flows of a sweep, of these vantages, or of all.
pub(crate) async fn images(
    connection: &mut PgConnection,
    sweep: i64,
    vantages: Option<&[i32]>,
) -> Result<Vec<Image>> {
    sqlx::query_as(IMAGES)
        .bind(sweep)
        .bind(vantages)
        .fetch_all(connection)
        .await
        .named("reading the flows of a sweep")
}
