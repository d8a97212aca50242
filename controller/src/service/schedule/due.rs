//! Schedules by themselves: each run that is due becomes a sweep, or a record of why it did not.

use std::time::Duration;

use jiff::Timestamp;
use sekisho_domain::{
    inventory::Schedule,
    schedule::{Decision, Due, Run, Timetable},
};
use serde_json::json;
use sqlx::PgConnection;

use super::{found, situation, wanted};
use crate::{
    service::{Error, Result, Services, commit, sweep::Begin},
    store::{
        self,
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
                Ok(()) => commit(transaction).await?,
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

    /// Deals with the due runs of a locked schedule.
    async fn look_at(&self, connection: &mut PgConnection, name: &str) -> Result<()> {
        let standing = found(connection, name).await?;
        let schedule = &standing.definition.0;
        let table = Timetable::of(schedule);
        let now = standing.now.to_jiff();
        let due = unknown(connection, name, table.due(standing.considered_until.to_jiff(), now)).await?;
        let mut runs = Vec::new();
        for (run, decision) in table.decide(&due, now, situation(&standing)) {
            runs.push(self.carry_out(connection, schedule, run, decision, now).await?);
        }
        if !runs.is_empty() {
            schedule_run::record(connection, name, None, &runs).await?;
        }
        let next = if due.more { Some(now) } else { table.next_start(due.until) };
        Ok(store::schedule::considered(connection, name, due.until, next).await?)
    }

    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        schedule: &Schedule,
        run: Run,
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
        match self.start(connection, schedule, deadline, now).await {
            Ok(sweep) => {
                tracing::info!(schedule = %name, %due, sweep, "a run of a schedule is started");
                let detail =
                    caught_up.then(|| "caught up: no controller could start it within its window".to_owned());
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
        deadline: Timestamp,
        now: Timestamp,
    ) -> Result<i64> {
        let wanted = wanted(connection, schedule).await?;
        let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
        let actor = format!("schedule:{}", schedule.name);
        let begin = Begin { actor: &actor, schedule: Some(schedule.name.as_str()), deadline: left };
        let sweep = self.begin_sweep(connection, &wanted, &begin).await?;
        let detail = json!({ "profile": wanted.profile, "deadline": deadline });
        store::audit::record(connection, &actor, "sweep run", &format!("sweep {sweep}"), detail).await?;
        Ok(sweep)
    }
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
