//! How a sweep moves on: from discovery to checks, and to its end. Any controller may do it, any number of times.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_domain::{
    TargetId, VantageId,
    plan::{Limits, PlannedJob, plan},
};
use sekisho_model::{Service, SweepState};
use sekisho_proto::limits;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Event, Result, Services, commit, sweep::strange};
use crate::store::{self, sweep::Locked, target::Target};

/// Most flows in one sweep: what a matrix can be read of, and a controller can hold.
const MAX_FLOWS: usize = 250_000;

impl Services {
    /// Plans and closes a sweep if it is time to.
    pub(crate) async fn advance(&self, sweep: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.plan(&mut transaction, sweep).await?;
        close(&mut transaction, sweep).await?;
        commit(transaction).await
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
        close(&mut transaction, sweep).await?;
        commit(transaction).await
    }

    /// Queues the check jobs of a sweep once its targets are known.
    pub(super) async fn plan(&self, connection: &mut PgConnection, sweep: i64) -> Result<()> {
        let wait = self.settings().discovery_wait.as_secs_f64();
        let Some(locked) = store::sweep::lock(connection, sweep, wait).await? else { return Ok(()) };
        if locked.state != SweepState::Running.word() || locked.is_planned {
            return Ok(());
        }
        if store::job::progress(connection, sweep).await?.open > 0 {
            if !locked.discovery_over {
                return Ok(());
            }
            for probe in store::job::end_all(connection, sweep, "expired").await? {
                store::event::send(connection, Event::JobsCancelled { probe }).await?;
            }
        }
        let mut targets = store::target::of_sweep(connection, sweep, &locked.domain_ids).await?;
        let with_targets: BTreeSet<i32> = targets.iter().map(|target| target.domain_id).collect();
        let mut note = without_targets(connection, sweep, &locked, &with_targets).await?;
        let mut flows = flows_of(&locked, targets.len());
        if flows > MAX_FLOWS {
            let left_out = leave_out_minorities(connection, sweep, &mut targets).await?;
            if left_out > 0 {
                let said = format!(
                    "{left_out} targets are left out: they were named at few vantages, and {flows} flows are more than \
                     the {MAX_FLOWS} of one sweep"
                );
                note = Some(note.map_or(said.clone(), |note| format!("{note}; {said}")));
            }
            flows = flows_of(&locked, targets.len());
        }
        let jobs = if flows > MAX_FLOWS {
            note = Some(format!(
                "{flows} flows are more than the {MAX_FLOWS} of one sweep: name fewer vantages, or one domain"
            ));
            Vec::new()
        } else {
            let targets: Vec<TargetId> = targets.iter().map(|target| TargetId(target.id)).collect();
            self.jobs(&locked, &targets)?
        };
        store::sweep::set_planned(connection, sweep, note.as_deref()).await?;
        if jobs.is_empty() {
            store::sweep::set_state(connection, sweep, SweepState::Partial.word()).await?;
        }
        queue(connection, sweep, &locked.services, &jobs).await?;
        store::event::send(connection, Event::SweepChanged { sweep }).await?;
        Ok(())
    }

    fn jobs(&self, sweep: &Locked, targets: &[TargetId]) -> Result<Vec<PlannedJob>> {
        let vantages: Vec<VantageId> = sweep.vantage_ids.iter().copied().map(VantageId).collect();
        let services: Vec<Service> = sweep
            .services
            .iter()
            .map(|name| name.parse().map_err(|_| strange("service", name)))
            .collect::<Result<_>>()?;
        let limits = Limits {
            tasks: self.settings().tasks_per_job.min(limits::TASKS_PER_JOB),
            targets: limits::TARGETS_PER_JOB,
        };
        Ok(plan(&vantages, targets, &services, limits))
    }
}

fn flows_of(sweep: &Locked, targets: usize) -> usize {
    targets.saturating_mul(sweep.vantage_ids.len()).saturating_mul(sweep.services.len())
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

async fn queue(
    connection: &mut PgConnection,
    sweep: i64,
    services: &[String],
    jobs: &[PlannedJob],
) -> Result<()> {
    let numbers = store::service::numbers(connection, services).await?;
    let mut vantages = BTreeSet::new();
    for job in jobs {
        let targets: Vec<i32> = job.tasks.iter().map(|task| task.target.0).collect();
        let services: Vec<i16> = job
            .tasks
            .iter()
            .map(|task| {
                let name = task.service.name();
                numbers.get(&name).copied().ok_or_else(|| strange("service without number", &name))
            })
            .collect::<Result<_>>()?;
        let VantageId(vantage) = job.vantage;
        store::job::create_check(connection, Uuid::now_v7(), sweep, vantage, &targets, &services).await?;
        vantages.insert(vantage);
    }
    for vantage in vantages {
        store::event::send(connection, Event::JobQueued { vantage }).await?;
    }
    Ok(())
}

/// What to say about domains of which no target is known.
async fn without_targets(
    connection: &mut PgConnection,
    sweep: i64,
    locked: &Locked,
    with_targets: &BTreeSet<i32>,
) -> Result<Option<String>> {
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

/// Closes a sweep whose jobs have all ended; completes a partial one when late results have filled every hole.
async fn close(connection: &mut PgConnection, sweep: i64) -> Result<()> {
    let Some(locked) = store::sweep::lock(connection, sweep, 0.0).await? else { return Ok(()) };
    if !locked.is_planned {
        return Ok(());
    }
    let progress = store::job::progress(connection, sweep).await?;
    let whole = progress.missed == 0 && locked.note.is_none();
    let state = match SweepState::named(&locked.state) {
        Some(SweepState::Running) if progress.open == 0 && !whole => SweepState::Partial,
        Some(SweepState::Running | SweepState::Partial) if progress.open == 0 && whole => {
            SweepState::Complete
        }
        Some(_) | None => return Ok(()),
    };
    store::sweep::set_state(connection, sweep, state.word()).await?;
    store::event::send(connection, Event::SweepChanged { sweep }).await?;
    Ok(())
}
