//! How a sweep moves on: from discovery to checks, and to its end. Any controller may do it, any number of times.

mod content;

use std::collections::{BTreeMap, BTreeSet};

use sekisho_domain::{
    VantageId,
    plan::{Limits, PlannedJob, checks::PlannedChecks},
};
use sekisho_model::{ComputerName, SweepState};
use sekisho_proto::limits;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Event, Result, Services, commit, planned::job_of, sweep::strange};
use crate::store::{self, job::NewChecks, sweep::Locked, target::Target};
use content::Content;

/// Most flows and checks in one sweep: what a matrix can be read of, and a controller can hold.
pub(super) const MAX_TASKS: usize = 250_000;

impl Services {
    /// Plans and closes a sweep if it is time to.
    pub(crate) async fn advance(&self, sweep: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        let is_empty = self.plan(&mut transaction, sweep).await?;
        let ended = close(&mut transaction, sweep).await?;
        commit(transaction).await?;
        self.tell(sweep, ended).await;
        if is_empty {
            self.trace_sweep(sweep).await;
        }
        Ok(())
    }

    /// As [`Services::advance`], where no job of the sweep is open: most ends of jobs move nothing on, and need no lock.
    pub(super) async fn advance_if_done(&self, sweep: i64) -> Result<()> {
        let mut connection = self.connection().await?;
        let is_open = store::job::has_open(&mut connection, sweep).await?;
        drop(connection);
        if is_open { Ok(()) } else { self.advance(sweep).await }
    }

    /// Ends a sweep that is past its deadline; what is not observed is missed.
    pub(crate) async fn expire(&self, sweep: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        let locked = store::sweep::lock(&mut transaction, sweep, 0.0).await?;
        if locked.is_none_or(|locked| locked.state != SweepState::Running.word()) {
            return Ok(());
        }
        for probe in store::job::end_all(&mut transaction, sweep, "expired").await? {
            store::event::send(&mut transaction, Event::JobsCancelled { probe }).await?;
        }
        let ended = close(&mut transaction, sweep).await?;
        commit(transaction).await?;
        self.tell(sweep, ended).await;
        Ok(())
    }

    /// Queues the jobs of a sweep once its targets are known. Says whether it has ended, since it has none.
    pub(super) async fn plan(&self, connection: &mut PgConnection, sweep: i64) -> Result<bool> {
        let wait = self.settings().discovery_wait.as_secs_f64();
        let Some(locked) = store::sweep::lock(connection, sweep, wait).await? else { return Ok(false) };
        if locked.state != SweepState::Running.word() || locked.is_planned {
            return Ok(false);
        }
        if store::job::progress(connection, sweep).await?.open > 0 {
            if !locked.discovery_over {
                return Ok(false);
            }
            for probe in store::job::end_all(connection, sweep, "expired").await? {
                store::event::send(connection, Event::JobsCancelled { probe }).await?;
            }
        }
        let mut content = Content::of(connection, sweep, &locked).await?;
        let adopted = adopt(connection, sweep, &mut content).await?;
        let mut notes = Vec::from_iter(without_targets(connection, sweep, &locked, &content).await?);
        notes.extend(within_bounds(connection, sweep, &mut content).await?);
        notes.extend(content.without_flow());
        let note = Some(notes.join("; ")).filter(|note| !note.is_empty());
        store::sweep::set_planned(connection, sweep, note.as_deref()).await?;
        let is_empty = content.tasks() == 0 && adopted.vantages.is_empty();
        if is_empty {
            store::sweep::set_state(connection, sweep, SweepState::Partial.word()).await?;
        }
        let tasks_per_job = self.settings().tasks_per_job;
        let limits =
            |tasks: usize| Limits { tasks: tasks_per_job.min(tasks), targets: limits::TARGETS_PER_JOB };
        let mut vantages = BTreeSet::new();
        vantages.extend(adopted.vantages.iter().copied());
        let numbers = store::service::numbers(connection, &locked.services).await?;
        for content in content.beyond(&adopted.targets, &adopted.vantages) {
            // Checks first: they are few, take as long as flows do, and so run beside them.
            for job in content.checks(limits(limits::CHECKS_PER_JOB)) {
                queue_checks(connection, sweep, &job).await?;
                vantages.insert(job.vantage);
            }
            for job in content.flows(limits(limits::TASKS_PER_JOB)) {
                queue_flows(connection, sweep, &numbers, &job).await?;
                vantages.insert(job.vantage);
            }
        }
        for VantageId(vantage) in vantages {
            store::event::send(connection, Event::JobQueued { vantage }).await?;
        }
        store::event::send(connection, Event::SweepChanged { sweep }).await?;
        Ok(is_empty)
    }

    async fn tell(&self, sweep: i64, ended: Option<Ended>) {
        let Some(Ended { state, is_first }) = ended else { return };
        tracing::info!(sweep, state = state.word(), "a sweep ended");
        if is_first {
            self.trace_sweep(sweep).await;
        }
    }
}

/// How a sweep ended.
struct Ended {
    state: SweepState,
    /// It ran until then; else late results have completed it.
    is_first: bool,
}

/// What is queued by a plan: at these vantages these targets.
#[derive(Default)]
struct Adopted {
    vantages: BTreeSet<VantageId>,
    targets: BTreeSet<i32>,
}

/// Queues the jobs that probes hold, under the numbers that they know, and takes what they test into the content.
async fn adopt(connection: &mut PgConnection, sweep: i64, content: &mut Content) -> Result<Adopted> {
    let Some(plan) = store::plan::of_sweep(connection, sweep).await? else { return Ok(Adopted::default()) };
    let parts = store::plan::parts(connection, plan.number).await?;
    let known = parts.iter().flat_map(|part| part.task_targets.iter().flatten().chain(&part.known_targets));
    let targets: BTreeSet<i32> = known.copied().collect();
    let vantages: BTreeSet<VantageId> =
        plan.vantage_ids.iter().copied().map(VantageId).filter(|vantage| content.has(*vantage)).collect();
    let mut jobs = Vec::new();
    for VantageId(vantage) in &vantages {
        for part in &parts {
            let id = job_of(plan.number, part.part, *vantage)?;
            jobs.push(store::plan::Adopted { id, vantage: *vantage, part: part.part });
        }
    }
    store::plan::queue(connection, plan.number, sweep, &jobs).await?;
    let ids = Vec::from_iter(targets.iter().copied());
    content.include(store::target::of_ids(connection, &ids).await?);
    Ok(Adopted { vantages, targets })
}

/// Leaves out what makes the sweep too large: targets that few have named, and where that is not enough, everything.
/// Says what it did.
async fn within_bounds(
    connection: &mut PgConnection,
    sweep: i64,
    content: &mut Content,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let asked = content.tasks();
    if asked > MAX_TASKS {
        let left_out = leave_out_minorities(connection, sweep, &mut content.targets).await?;
        if left_out > 0 {
            notes.push(format!(
                "{left_out} targets are left out: they were named at few vantages, and {asked} flows and checks are more \
                 than the {MAX_TASKS} of one sweep"
            ));
        }
    }
    let left = content.tasks();
    if left > MAX_TASKS {
        notes = vec![format!(
            "{left} flows and checks are more than the {MAX_TASKS} of one sweep: name fewer vantages, or one domain"
        )];
        content.clear();
    }
    Ok(notes)
}

/// Keeps what the inventory lists and what most vantages that were answered have named, so that one vantage with a
/// resolver or a probe that lies cannot stop a sweep. Returns how many targets are left out.
async fn leave_out_minorities(
    connection: &mut PgConnection,
    sweep: i64,
    targets: &mut Vec<Target>,
) -> Result<usize> {
    let asked: BTreeMap<i32, i64> = store::discovery::asked(connection, sweep).await?.into_iter().collect();
    let all = targets.len();
    targets.retain(|target| {
        let answered = asked.get(&target.domain_id).copied().unwrap_or(0);
        target.listed || target.named.saturating_mul(2) > answered
    });
    Ok(all - targets.len())
}

async fn queue_flows(
    connection: &mut PgConnection,
    sweep: i64,
    numbers: &BTreeMap<String, i16>,
    job: &PlannedJob,
) -> Result<()> {
    let targets: Vec<i32> = job.tasks.iter().map(|task| task.target.0).collect();
    let services: Vec<i16> = job
        .tasks
        .iter()
        .map(|task| {
            let name = task.service.name();
            numbers.get(&name).copied().ok_or_else(|| strange("service without number", &name))
        })
        .collect::<Result<_>>()?;
    let id = Uuid::now_v7();
    Ok(store::job::create_check(connection, id, sweep, job.vantage.0, &targets, &services).await?)
}

async fn queue_checks(connection: &mut PgConnection, sweep: i64, job: &PlannedChecks) -> Result<()> {
    let tasks = &job.tasks;
    let new = NewChecks {
        sweep,
        vantage: job.vantage.0,
        checks: &tasks.iter().map(|task| task.check.word()).collect::<Vec<_>>(),
        domains: &tasks.iter().map(|task| task.domain.0).collect::<Vec<_>>(),
        targets: &tasks.iter().map(|task| task.target.map(|target| target.0)).collect::<Vec<_>>(),
        computers: &tasks
            .iter()
            .map(|task| task.computer.as_ref().map(ComputerName::as_str))
            .collect::<Vec<_>>(),
        known: &job.targets.iter().map(|target| target.0).collect::<Vec<_>>(),
    };
    Ok(store::job::create_vantage(connection, Uuid::now_v7(), &new).await?)
}

/// What to say about domains of which no target is known.
async fn without_targets(
    connection: &mut PgConnection,
    sweep: i64,
    locked: &Locked,
    content: &Content,
) -> Result<Option<String>> {
    let with_targets: BTreeSet<i32> = content.targets.iter().map(|target| target.domain_id).collect();
    if locked.domain_ids.iter().all(|domain| with_targets.contains(domain)) {
        return Ok(None);
    }
    let asked = store::discovery::asked(connection, sweep).await?;
    let domains = store::domain::all(connection).await?;
    let vantages = locked.vantage_ids.len();
    let notes: Vec<String> = locked
        .domain_ids
        .iter()
        .filter(|id| !with_targets.contains(id))
        .map(|id| {
            let domain = domains.iter().find(|domain| domain.id == *id);
            let name = domain.map_or("a domain that was removed", |domain| domain.name.as_str());
            if !domain.is_some_and(|domain| domain.discover) {
                return format!("{name}: no target is listed, and it is not searched for any");
            }
            let asked = asked.iter().find(|(domain, _)| domain == id).map_or(0, |(_, count)| *count);
            format!("{name}: no targets; its SRV records were answered at {asked} of {vantages} vantages")
        })
        .collect();
    Ok(Some(notes.join("; ")))
}

/// Closes a sweep whose jobs have all ended; completes a partial one when late results have filled every hole. Says
/// how, where it did.
async fn close(connection: &mut PgConnection, sweep: i64) -> Result<Option<Ended>> {
    let Some(locked) = store::sweep::lock(connection, sweep, 0.0).await? else { return Ok(None) };
    if !locked.is_planned {
        return Ok(None);
    }
    let progress = store::job::progress(connection, sweep).await?;
    let whole = progress.missed == 0 && locked.note.is_none();
    let before = SweepState::named(&locked.state);
    let state = match before {
        Some(SweepState::Running) if progress.open == 0 && !whole => SweepState::Partial,
        Some(SweepState::Running | SweepState::Partial) if progress.open == 0 && whole => {
            SweepState::Complete
        }
        Some(_) | None => return Ok(None),
    };
    store::sweep::set_state(connection, sweep, state.word()).await?;
    store::event::send(connection, Event::SweepChanged { sweep }).await?;
    Ok(Some(Ended { state, is_first: before == Some(SweepState::Running) }))
}
