//! Schedules by themselves: each run that is due becomes a sweep, or a record of why it did not.

use std::time::Duration;

use jiff::Timestamp;
use sekisho_domain::{
    inventory::Schedule,
    schedule::{Decision, Due, Run, Timetable},
};
use serde_json::json;
use sqlx::PgConnection;

use super::{ahead, found, situation, wanted};
use crate::{
    service::{Error, Event, Result, Services, commit, sweep::Begin},
    store::{
        self,
        plan::Plan,
        schedule_run::{self, NewRun},
    },
};

/// Most schedules that one round looks at. The others are looked at in the next.
const ROUND: usize = 200;

impl Services {
    /// Deals with every run that is due. Any controller may do it at any time: a schedule is locked while one looks at it, and
    /// what it decided is written in the same transaction.
    ///
    /// # Errors
    /// When the database is away. A schedule that fails otherwise is logged, and left alone for a minute.
    pub async fn start_due_runs(&self) -> Result<()> {
        for _ in 0..ROUND {
            let mut transaction = self.begin().await?;
            let Some(name) = store::schedule::claim_due(&mut transaction).await? else { return Ok(()) };
            match self.look_at(&mut transaction, &name).await {
                Ok(begun) => {
                    commit(transaction).await?;
                    for sweep in begun {
                        // One without anything to test has ended.
                        self.trace_sweep(sweep).await;
                    }
                }
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => {
                    transaction.rollback().await.ok();
                    failed(&name, &error);
                    let mut connection = self.connection().await?;
                    store::schedule::postpone(&mut connection, &name).await?;
                }
            }
        }
        Ok(())
    }

    /// Deals with the due runs of a locked schedule. Gives the sweeps that began.
    async fn look_at(&self, connection: &mut PgConnection, name: &str) -> Result<Vec<i64>> {
        let standing = found(connection, name).await?;
        let schedule = &standing.definition.0;
        let table = Timetable::of(schedule);
        let now = standing.now.to_jiff();
        let due = unknown(connection, name, table.due(standing.considered_until.to_jiff(), now)).await?;
        let mut runs = Vec::new();
        for (run, decision) in table.decide(&due, now, situation(&standing)) {
            let plan = store::plan::of_run(connection, name, run.due).await?;
            let is_given = plan.as_ref().is_some_and(|plan| plan.given_at.is_some());
            let decision = if is_given && self.is_late(run, now) { decision.planned(run) } else { decision };
            let due = run.due;
            let run = Planned { run, plan };
            let new = self.carry_out(connection, schedule, run, decision, now).await?;
            if let Some(plan) = store::plan::of_run(connection, name, due).await? {
                // Nothing was begun by it: probes that hold it are to forget it.
                store::plan::delete(connection, plan.number).await?;
                store::event::send(connection, Event::PlansChanged).await?;
            }
            runs.push(new);
        }
        if !runs.is_empty() {
            schedule_run::record(connection, name, None, &runs).await?;
        }
        let next = if due.more { Some(now) } else { table.next_start(due.until) };
        store::schedule::considered(connection, name, due.until, next).await?;
        Ok(runs.into_iter().filter_map(|run| run.sweep).collect())
    }

    /// Probes that hold the plan of a run and saw no controller have begun it by now.
    fn is_late(&self, run: Run, now: Timestamp) -> bool {
        now.duration_since(run.start).unsigned_abs() >= self.settings().plan_grace
    }

    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        schedule: &Schedule,
        Planned { run, plan }: Planned,
        decision: Decision,
        now: Timestamp,
    ) -> Result<NewRun> {
        let (due, name) = (run.due, &schedule.name);
        let (deadline, caught_up) = match decision {
            Decision::Start { deadline, caught_up } => (deadline, caught_up),
            Decision::Skip(skip) => {
                tracing::info!(schedule = %name, %due, reason = skip.word(), "a run of a schedule is skipped: {skip}");
                let detail = Some(skip.to_string());
                return Ok(NewRun { due, state: "skipped", reason: Some(skip.word()), detail, sweep: None });
            }
        };
        let is_late = self.is_late(run, now);
        let since = plan.as_ref().filter(|plan| is_late && plan.given_at.is_some()).map(|_| run.start);
        let times = Times { since, now, deadline };
        match self.start(connection, schedule, plan, times).await {
            Ok(sweep) => {
                tracing::info!(schedule = %name, %due, sweep, "a run of a schedule is started");
                let detail = if since.is_some() {
                    Some("no controller was there when it began; probes that held its plan ran it by themselves".to_owned())
                } else {
                    caught_up.then(|| "caught up: no controller could start it within its window".to_owned())
                };
                Ok(NewRun { due, state: "started", reason: None, detail, sweep: Some(sweep) })
            }
            // The inventory has lost what the schedule names.
            Err(Error::NotFound(said) | Error::Invalid(said)) => {
                tracing::warn!(schedule = %name, %due, "a run of a schedule failed: {said}");
                Ok(NewRun {
                    due,
                    state: "failed",
                    reason: Some("inventory"),
                    detail: Some(said),
                    sweep: None,
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn start(
        &self,
        connection: &mut PgConnection,
        schedule: &Schedule,
        plan: Option<Plan>,
        Times { since, now, deadline }: Times,
    ) -> Result<i64> {
        let wanted = wanted(connection, schedule).await?;
        let plan = plan.filter(|plan| ahead::is_of(plan, &wanted));
        let since = since.filter(|_| plan.is_some());
        let left = Duration::try_from(deadline.duration_since(since.unwrap_or(now))).unwrap_or_default();
        let actor = format!("schedule:{}", schedule.name);
        let begin = Begin {
            actor: &actor,
            schedule: Some(schedule.name.as_str()),
            deadline: left,
            plan: plan.map(|plan| plan.number),
            since,
            trace: None,
        };
        let sweep = self.begin_sweep(connection, &wanted, &begin).await?;
        let detail = json!({ "profile": wanted.profile, "deadline": deadline });
        store::audit::record(connection, &actor, "sweep run", &format!("sweep {sweep}"), detail).await?;
        Ok(sweep)
    }
}

/// A run and the plan that was made of it.
struct Planned {
    run: Run,
    plan: Option<Plan>,
}

/// When a sweep begins and ends.
struct Times {
    /// When it began, where that was without a controller.
    since: Option<Timestamp>,
    now: Timestamp,
    deadline: Timestamp,
}

fn failed(schedule: &str, error: &Error) {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::error!(schedule, error, "a schedule could not be looked at; it is left alone for a minute");
}

/// The due runs of which nothing has become yet. A schedule whose splay was changed may see a run a second time.
async fn unknown(connection: &mut PgConnection, name: &str, mut due: Due) -> Result<Due> {
    if due.runs.is_empty() {
        return Ok(due);
    }
    let dues: Vec<Timestamp> = due.runs.iter().map(|run| run.due).collect();
    let known = schedule_run::known(connection, name, &dues).await?;
    due.runs.retain(|run| !known.contains(&run.due));
    Ok(due)
}
