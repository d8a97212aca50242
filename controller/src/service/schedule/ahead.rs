//! Plans of coming runs, for probes to hold: made again and again from what the inventory says, and changed only where that has
//! changed.

use sekisho_domain::{
    plan::{self, checks::PlannedChecks},
    planned::{PlannedId, seats},
    schedule::{Run, Timetable},
};
use sqlx::PgConnection;

use super::{everywhere, found, pause, wanted};
use crate::{
    service::{
        Error, Event, Result, Services, commit,
        plan::MAX_TASKS,
        sweep::{Wanted, strange},
    },
    store::{
        self,
        plan::{NewPlan, Part, Plan},
    },
};

/// Runs of a schedule that are planned ahead.
const RUNS: usize = 3;
/// Most schedules that one round looks at.
const ROUND: usize = 1_000;

impl Services {
    /// Brings the plans of every schedule up to date. Any controller may do it at any time; a schedule that another one looks at
    /// is left to it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan_ahead(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let all = store::schedule::all(&mut connection).await?;
        let mut is_changed = store::plan::clear(&mut connection).await?;
        drop(connection);
        for standing in all.iter().take(ROUND) {
            let name = standing.definition.0.name.as_str();
            let mut transaction = self.begin().await?;
            if !store::schedule::try_lock(&mut transaction, name).await? {
                continue;
            }
            let planned = match self.plan_schedule(&mut transaction, name).await {
                Ok(changed) => {
                    commit(transaction).await?;
                    is_changed |= changed;
                    self.reserve(&standing.definition.0, &all).await
                }
                Err(error) => {
                    transaction.rollback().await.ok();
                    Err(error)
                }
            };
            match planned {
                Ok(changed) => is_changed |= changed,
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::error!(schedule = %name, error, "the nights of a schedule could not be planned ahead");
                }
            }
        }
        if is_changed {
            let mut connection = self.connection().await?;
            store::event::send(&mut connection, Event::PlansChanged).await?;
        }
        Ok(())
    }

    /// Brings the plans of a locked schedule up to date. Says whether anything changed.
    async fn plan_schedule(&self, connection: &mut PgConnection, name: &str) -> Result<bool> {
        let standing = found(connection, name).await?;
        let now = standing.now.to_jiff();
        let until = now.saturating_add(seats::AHEAD).unwrap_or(now);
        // What is due by now and not begun is not planned anew: probes may have begun it.
        let from = standing.considered_until.to_jiff().max(now);
        let mut runs = Timetable::of(&standing.definition.0).next(from, RUNS);
        runs.retain(|run| run.start <= until);
        if let Some(pause) = pause(&standing) {
            runs.retain(|run| !pause.holds(run.start));
        }
        // A schedule whose splay was changed may name a run a second time: it is not planned again.
        let dues: Vec<jiff::Timestamp> = runs.iter().map(|run| run.due).collect();
        let mut over = store::schedule_run::known(connection, name, &dues).await?;
        over.extend(store::plan::begun(connection, name, &dues).await?);
        runs.retain(|run| !over.contains(&run.due));
        let mut asked = Vec::new();
        if !runs.is_empty() {
            match wanted(connection, &standing.definition.0).await {
                Ok(wanted) => {
                    let parts = parts(connection, &wanted, self.settings().tasks_per_job).await?;
                    let of = |run: &Run| new_plan(*run, &wanted, parts.clone());
                    asked = runs.iter().map(of).filter(fits).collect();
                }
                // The inventory has lost what the schedule names; the run itself will say so.
                Err(Error::NotFound(_) | Error::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut is_changed = false;
        for old in store::plan::coming(connection, name).await? {
            if old.start_at.to_jiff() <= now {
                // Probes may have begun it: it stays as it is.
                asked.retain(|plan: &NewPlan| plan.due != old.due_at.to_jiff());
                continue;
            }
            let place = asked.iter().position(|plan| plan.due == old.due_at.to_jiff());
            let new = place.map(|place| asked.swap_remove(place));
            is_changed |= bring_up_to_date(connection, name, &old, new).await?;
        }
        is_changed |= !asked.is_empty();
        for plan in &asked {
            store::plan::create(connection, name, plan).await?;
        }
        Ok(is_changed)
    }
}

/// Keeps a plan that is as it should be; changes its vantages, makes it anew or deletes it where it is not. Says whether it did
/// any of these.
async fn bring_up_to_date(
    connection: &mut PgConnection,
    schedule: &str,
    old: &Plan,
    new: Option<NewPlan>,
) -> Result<bool> {
    if let Some(new) = &new {
        let stands = NewPlan {
            due: old.due_at.to_jiff(),
            start: old.start_at.to_jiff(),
            deadline: old.deadline.to_jiff(),
            profile: old.profile.clone(),
            services: old.services.clone(),
            checks: old.checks.clone(),
            domains: old.domain_ids.clone(),
            vantages: new.vantages.clone(),
            parts: store::plan::parts(connection, old.number).await?,
        };
        // One that was given by a version that reserved nothing is made anew, under other numbers.
        let is_bare = old.given_at.is_some()
            && store::plan_run::find(connection, schedule, old.due_at.to_jiff()).await?.is_none();
        if stands == *new && !is_bare {
            let is_other = old.vantage_ids != new.vantages;
            if is_other {
                store::plan::set_vantages(connection, old.number, &new.vantages).await?;
            }
            return Ok(is_other);
        }
    }
    store::plan::delete(connection, old.number).await?;
    if let Some(new) = &new {
        store::plan::create(connection, schedule, new).await?;
    }
    Ok(true)
}

fn names_of(wanted: &Wanted) -> (Vec<String>, Vec<String>, Vec<i32>) {
    let services = wanted.contents.services.iter().map(|service| service.name()).collect();
    let checks = wanted.contents.checks.iter().map(ToString::to_string).collect();
    (services, checks, wanted.domains.iter().map(|domain| domain.id).collect())
}

/// Whether a plan is still of what a schedule wants.
pub(super) fn is_of(plan: &Plan, wanted: &Wanted) -> bool {
    let (services, checks, domains) = names_of(wanted);
    (&plan.profile, &plan.services, &plan.checks, &plan.domain_ids)
        == (&wanted.profile, &services, &checks, &domains)
}

fn new_plan(run: Run, wanted: &Wanted, parts: Vec<Part>) -> NewPlan {
    let (services, checks, domains) = names_of(wanted);
    NewPlan {
        due: run.due,
        start: run.start,
        deadline: run.deadline,
        profile: wanted.profile.clone(),
        services,
        checks,
        domains,
        vantages: wanted.vantages.iter().map(|vantage| vantage.id).collect(),
        parts,
    }
}

/// Whether a plan has something to do, and not more than a sweep may have.
fn fits(plan: &NewPlan) -> bool {
    let tasks: usize = plan.parts.iter().map(|part| part.task_targets.len()).sum();
    let fits = tasks.saturating_mul(plan.vantages.len()) <= MAX_TASKS;
    plan.start < plan.deadline && tasks > 0 && fits && plan.parts.len() <= usize::from(PlannedId::PARTS)
}

/// What every vantage would have to do, by the same planning that a sweep has.
async fn parts(connection: &mut PgConnection, wanted: &Wanted, tasks_per_job: usize) -> Result<Vec<Part>> {
    let domains: Vec<i32> = wanted.domains.iter().map(|domain| domain.id).collect();
    let targets = store::target::expected(connection, &domains).await?;
    let scenes = everywhere::scenes(connection, wanted, &targets).await?;
    let (flows, checks) = everywhere::jobs(wanted, &targets, &scenes, tasks_per_job);
    let services: Vec<String> = wanted.contents.services.iter().map(|service| service.name()).collect();
    let numbers = store::service::numbers(connection, &services).await?;
    let mut parts: Vec<Part> =
        checks.iter().filter(|job| !job.tasks.is_empty()).map(part_of_checks).collect();
    for job in flows {
        let service = |task: &plan::PlannedTask| {
            let name = task.service.name();
            numbers.get(&name).copied().ok_or_else(|| strange("service without number", &name))
        };
        parts.push(Part {
            part: 0,
            kind: "check".to_owned(),
            task_targets: job.tasks.iter().map(|task| Some(task.target.0)).collect(),
            task_services: job.tasks.iter().map(service).collect::<Result<_>>()?,
            task_checks: Vec::new(),
            domain_ids: Vec::new(),
            task_computers: Vec::new(),
            known_targets: Vec::new(),
        });
    }
    for (number, part) in parts.iter_mut().enumerate() {
        part.part = i16::try_from(number).unwrap_or(i16::MAX);
    }
    Ok(parts)
}

fn part_of_checks(job: &PlannedChecks) -> Part {
    Part {
        part: 0,
        kind: "vantage".to_owned(),
        task_targets: job.tasks.iter().map(|task| task.target.map(|target| target.0)).collect(),
        task_services: Vec::new(),
        task_checks: job.tasks.iter().map(|task| task.check.word().to_owned()).collect(),
        domain_ids: job.tasks.iter().map(|task| task.domain.0).collect(),
        task_computers: job
            .tasks
            .iter()
            .map(|task| task.computer.as_ref().map(ToString::to_string))
            .collect(),
        known_targets: job.targets.iter().map(|target| target.0).collect(),
    }
}
