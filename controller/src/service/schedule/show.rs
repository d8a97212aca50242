//! Schedules as operators see them.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use sekisho_domain::schedule::{Run, Timetable};
use sekisho_model::{DEFAULT_PROFILE, SweepSummary};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{found, pause, reserve};
use crate::{
    service::{Result, Services, sweep},
    store::{self, schedule::Standing, schedule_run},
};

/// How many runs are told, of those to come.
const NEXT: usize = 5;
/// And of those that were.
const LAST: i64 = 20;

/// Whether a schedule starts anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleState {
    /// It has runs to come.
    Active,
    /// An operator has paused it.
    Paused,
    /// It has no run to come.
    Ended,
}

impl ScheduleState {
    /// The word used in JSON and on the terminal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePause {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Until when; absent: until somebody resumes.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// Who paused it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextRun {
    /// The time that the cron expression names.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// When it starts: later by the schedule's part of the splay.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Timestamp,
    /// When its window ends.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Timestamp,
    /// `starts_at` by the clock of the schedule's zone: `2026-12-01 02:00 JST`.
    pub local: String,
    /// What becomes of it when no controller is there: what part of the window and of the budgets probes use that run it by
    /// themselves, or why they do not. Absent where it is not planned yet, and in lists of schedules.
    pub without_controller: Option<String>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleRun {
    /// The time that the cron expression names; of a run that an operator asked for, when that was.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// When it was started, skipped or failed.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// `started`, `skipped` or `failed`.
    pub state: String,
    /// `blackout`, `paused`, `too-late`, `superseded` or `overlap` of a run that was skipped, `inventory` of one that failed.
    pub reason: Option<String>,
    /// The same for people.
    pub detail: Option<String>,
    /// The operator who asked for it; absent: the schedule itself.
    pub asked_by: Option<String>,
    /// Its sweep.
    #[schema(value_type = Option<Object>)]
    pub sweep: Option<SweepSummary>,
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleSummary {
    /// Its name.
    pub name: String,
    /// When, by the clock of the zone.
    pub cron: String,
    /// The zone.
    pub time_zone: String,
    /// For how long.
    pub window: String,
    /// What is tested.
    pub profile: String,
    /// In which domains; empty: all.
    pub domains: Vec<String>,
    /// From which vantages; empty: all.
    pub vantages: Vec<String>,
    /// Whether it starts anything.
    pub state: ScheduleState,
    /// The pause that is under way.
    pub pause: Option<SchedulePause>,
    /// The next run, after the pause if there is one; absent when none is known.
    pub next: Option<NextRun>,
    /// What became of the newest run.
    pub last: Option<ScheduleRun>,
}

/// One schedule with its rules and its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleDetail {
    /// The schedule.
    #[serde(flatten)]
    pub summary: ScheduleSummary,
    /// What holds for every run, in words.
    pub rules: Vec<String>,
    /// The next runs, at most five.
    pub next_runs: Vec<NextRun>,
    /// What became of the newest runs, newest first, at most 20.
    pub runs: Vec<ScheduleRun>,
}

impl Services {
    /// Every schedule of the inventory, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schedules(&self) -> Result<Vec<ScheduleSummary>> {
        let mut connection = self.connection().await?;
        let newest = schedule_run::newest_of_each(&mut connection).await?;
        let names: Vec<String> = newest.iter().map(|run| run.schedule.clone()).collect();
        let runs = runs(&mut connection, newest).await?;
        let mut last: HashMap<String, ScheduleRun> = names.into_iter().zip(runs).collect();
        let standings = store::schedule::all(&mut connection).await?;
        let summary = |standing: &Standing| {
            let next = next(standing, &Timetable::of(&standing.definition.0), 1);
            summary(standing, next.into_iter().next(), last.remove(standing.definition.0.name.as_str()))
        };
        Ok(standings.iter().map(summary).collect())
    }

    /// One schedule.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn schedule(&self, name: &str) -> Result<ScheduleDetail> {
        let mut connection = self.connection().await?;
        let standing = found(&mut connection, name).await?;
        let newest = schedule_run::newest(&mut connection, name, LAST).await?;
        let runs = runs(&mut connection, newest).await?;
        let table = Timetable::of(&standing.definition.0);
        let mut next_runs = next(&standing, &table, NEXT);
        for run in &mut next_runs {
            run.without_controller = reserve::alone(&mut connection, name, run.due_at).await?;
        }
        Ok(ScheduleDetail {
            summary: summary(&standing, next_runs.first().cloned(), runs.first().cloned()),
            rules: table.rules(standing.now.to_jiff()),
            next_runs,
            runs,
        })
    }
}

/// The next runs, after a pause if there is one.
fn next(standing: &Standing, table: &Timetable, most: usize) -> Vec<NextRun> {
    let now = standing.now.to_jiff();
    let after = match pause(standing).filter(|pause| pause.holds(now)) {
        None => now,
        // The end of a pause belongs to it no more.
        Some(pause) => {
            match pause.until.and_then(|until| until.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()) {
                Some(until) => until,
                None => return Vec::new(),
            }
        }
    };
    let run = |run: Run| NextRun {
        due_at: run.due,
        starts_at: run.start,
        deadline: run.deadline,
        local: table.local(run.start).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        without_controller: None,
    };
    table.next(after, most).into_iter().map(run).collect()
}

fn summary(standing: &Standing, next: Option<NextRun>, last: Option<ScheduleRun>) -> ScheduleSummary {
    let schedule = &standing.definition.0;
    let under_way = pause(standing).filter(|pause| pause.holds(standing.now.to_jiff()));
    let state = match (&under_way, &next) {
        (Some(_), _) => ScheduleState::Paused,
        (None, Some(_)) => ScheduleState::Active,
        (None, None) => ScheduleState::Ended,
    };
    ScheduleSummary {
        name: schedule.name.to_string(),
        cron: schedule.cron.to_string(),
        time_zone: schedule.time_zone.to_string(),
        window: schedule.window.to_string(),
        profile: schedule.profile.as_ref().map_or(DEFAULT_PROFILE.name(), |p| p.as_str()).to_owned(),
        domains: schedule.domains.iter().map(ToString::to_string).collect(),
        vantages: schedule.vantages.iter().map(ToString::to_string).collect(),
        state,
        pause: under_way.map(|pause| SchedulePause {
            since: pause.since,
            until: pause.until,
            by: standing.paused_by.clone().unwrap_or_default(),
            reason: standing.pause_reason.clone(),
        }),
        next,
        last,
    }
}

/// Runs with their sweeps.
async fn runs(connection: &mut PgConnection, rows: Vec<schedule_run::Run>) -> Result<Vec<ScheduleRun>> {
    let ids: Vec<i64> = rows.iter().filter_map(|row| row.sweep_id).collect();
    let sweeps = store::sweep::of_ids(connection, &ids).await?;
    let sweeps: BTreeMap<i64, SweepSummary> =
        sweeps.iter().map(|row| Ok((row.id, sweep::summary(row)?))).collect::<Result<_>>()?;
    let run = |row: schedule_run::Run| ScheduleRun {
        due_at: row.due_at.to_jiff(),
        recorded_at: row.recorded_at.to_jiff(),
        state: row.state,
        reason: row.reason,
        detail: row.detail,
        asked_by: row.asked_by,
        sweep: row.sweep_id.and_then(|id| sweeps.get(&id).cloned()),
    };
    Ok(rows.into_iter().map(run).collect())
}
