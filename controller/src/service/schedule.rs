//! Schedules: shown, paused, resumed, and run by hand. When they run by themselves is decided in
//! [`sekisho_domain::schedule`], and done in `due.rs`.

mod ahead;
mod due;
mod everywhere;
mod forecast;
mod reserve;
mod show;

use jiff::Timestamp;
use sekisho_domain::{
    inventory::Schedule,
    schedule::{Pause, Situation, Timetable},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{
    Actor, Error, Result, Services, SweepDetail, SweepPhase, commit,
    sweep::{Begin, Wanted, detail_of, unknown},
};
use crate::store::{
    self,
    schedule::Standing,
    schedule_run::{self, NewRun},
};

pub use forecast::{ForecastTarget, ForecastVantage, SweepForecast};
pub use show::{NextRun, ScheduleDetail, SchedulePause, ScheduleRun, ScheduleState, ScheduleSummary};

/// Longest reason of a pause, characters.
const REASON: usize = 256;

/// How to pause a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PauseRequest {
    /// Until then: `2026-12-31`, `2026-12-31 08:00` by the clock of the schedule's zone, or `2026-12-31T08:00:00Z`. Absent:
    /// until somebody resumes.
    pub until: Option<String>,
    /// Why, for people. At most 256 characters.
    pub reason: Option<String>,
}

impl Services {
    /// Starts a sweep with the settings of a schedule, whenever the next run is due; neither a pause nor a blackout keeps an
    /// operator from it.
    ///
    /// # Errors
    /// When there is no such schedule, a sweep of it has not ended, or it names what the inventory does not have.
    pub async fn run_schedule(&self, actor: &Actor, name: &str) -> Result<SweepDetail> {
        let mut transaction = self.begin().await?;
        let standing = locked(&mut transaction, name).await?;
        if let Some(sweep) = standing.running {
            return Err(Error::Conflict(format!(
                "sweep {sweep} of schedule {name} has not ended; watch it with: sekisho sweep watch {sweep}"
            )));
        }
        let schedule = &standing.definition.0;
        let wanted = wanted(&mut transaction, schedule).await?;
        let deadline = schedule.window.length().unsigned_abs();
        let begin = Begin {
            actor: &actor.name,
            schedule: None,
            deadline,
            plan: None,
            since: None,
            trace: actor.trace,
        };
        let sweep = self.begin_sweep(&mut transaction, &wanted, &begin).await?;
        let due = standing.now.to_jiff();
        let run = NewRun { due, state: "started", reason: None, detail: None, sweep: Some(sweep) };
        schedule_run::record(&mut transaction, name, Some(&actor.name), &[run]).await?;
        audit(&mut transaction, actor, "schedule run", name, json!({ "sweep": sweep })).await?;
        let detail = detail_of(&mut transaction, sweep).await?;
        commit(transaction).await?;
        if detail.phase == SweepPhase::Done {
            self.trace_sweep(sweep).await;
        }
        Ok(detail)
    }

    /// Lets a schedule start nothing, for a time or until it is resumed. What is running goes on.
    ///
    /// # Errors
    /// When there is no such schedule, or the end of the pause is no time to come.
    pub async fn pause_schedule(
        &self,
        actor: &Actor,
        name: &str,
        request: PauseRequest,
    ) -> Result<ScheduleDetail> {
        let mut transaction = self.begin().await?;
        let standing = locked(&mut transaction, name).await?;
        let until = until(&standing, request.until.as_deref())?;
        let reason = request.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        if reason
            .is_some_and(|reason| reason.chars().count() > REASON || reason.chars().any(char::is_control))
        {
            return Err(Error::Invalid(format!(
                "the reason of a pause has at most {REASON} characters, in one line"
            )));
        }
        store::schedule::pause(&mut transaction, name, until, &actor.name, reason).await?;
        let detail = json!({ "until": until, "reason": reason });
        audit(&mut transaction, actor, "schedule pause", name, detail).await?;
        commit(transaction).await?;
        self.schedule(name).await
    }

    /// Ends the pause of a schedule. What was due meanwhile stays skipped.
    ///
    /// # Errors
    /// When there is no such schedule, or it is not paused.
    pub async fn resume_schedule(&self, actor: &Actor, name: &str) -> Result<ScheduleDetail> {
        let mut transaction = self.begin().await?;
        let standing = locked(&mut transaction, name).await?;
        if !pause(&standing).is_some_and(|pause| pause.holds(standing.now.to_jiff())) {
            return Err(Error::Conflict(format!("schedule {name} is not paused")));
        }
        store::schedule::resume(&mut transaction, name).await?;
        audit(&mut transaction, actor, "schedule resume", name, json!({})).await?;
        commit(transaction).await?;
        self.schedule(name).await
    }
}

/// A schedule, locked until the transaction ends.
async fn locked(connection: &mut PgConnection, name: &str) -> Result<Standing> {
    if !store::schedule::lock(connection, name).await? {
        return Err(none(connection, name).await?);
    }
    found(connection, name).await
}

async fn found(connection: &mut PgConnection, name: &str) -> Result<Standing> {
    match store::schedule::find(connection, name).await? {
        Some(standing) => Ok(standing),
        None => Err(none(connection, name).await?),
    }
}

async fn none(connection: &mut PgConnection, name: &str) -> Result<Error> {
    let known = store::schedule::all(connection).await?;
    let known = known.iter().map(|standing| standing.definition.0.name.as_str());
    Ok(Error::NotFound(unknown("schedule", name, known)))
}

/// What a schedule tests.
async fn wanted(connection: &mut PgConnection, schedule: &Schedule) -> Result<Wanted> {
    let domains: Vec<String> = schedule.domains.iter().map(ToString::to_string).collect();
    let vantages: Vec<String> = schedule.vantages.iter().map(ToString::to_string).collect();
    let profile = schedule.profile.as_ref().map(|profile| profile.as_str());
    Wanted::find(connection, profile, &domains, &vantages).await
}

fn pause(standing: &Standing) -> Option<Pause> {
    let until = standing.paused_until.map(jiff_sqlx::Timestamp::to_jiff);
    standing.paused_at.map(|since| Pause { since: since.to_jiff(), until })
}

fn situation(standing: &Standing) -> Situation {
    Situation { pause: pause(standing), running: standing.running }
}

/// The end of a pause.
fn until(standing: &Standing, text: Option<&str>) -> Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let table = Timetable::of(&standing.definition.0);
    let until = table.read(text).map_err(|error| Error::Invalid(error.to_string()))?;
    if until <= standing.now.to_jiff() {
        return Err(Error::Invalid(format!(
            "{} is past; a pause ends at a time to come",
            table.local(until).strftime("%Y-%m-%d %H:%M %Z")
        )));
    }
    Ok(Some(until))
}

async fn audit(
    connection: &mut PgConnection,
    actor: &Actor,
    action: &str,
    name: &str,
    detail: serde_json::Value,
) -> Result<()> {
    let object = format!("schedule {name}");
    Ok(store::audit::record(connection, &actor.name, action, &object, detail).await?)
}
