//! Sweeps: asked for, watched, cancelled.

mod request;
mod wanted;

use std::str::FromStr;

use sekisho_model::{SweepState, SweepSummary, TraceParent};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Error, Event, Result, Services, commit};
use crate::store::{self, job::Job, sweep::Summary};

pub use request::SweepRequest;
pub(super) use wanted::{Begin, Wanted, computers};

/// Which sweep is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepRef {
    /// The sweep of that number.
    Id(i64),
    /// The newest sweep, or the one that many before it.
    Latest(u32),
}

impl FromStr for SweepRef {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let bad = || {
            Error::Invalid(format!("\"{word}\" names no sweep; use a number such as 17, latest, or latest~1"))
        };
        if word == "latest" {
            return Ok(Self::Latest(0));
        }
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        match word.strip_prefix("latest~") {
            Some(back) if digits(back) => back.parse().map(Self::Latest).map_err(|_| bad()),
            None if digits(word) => word.parse().map(Self::Id).map_err(|_| bad()),
            Some(_) | None => Err(bad()),
        }
    }
}

impl std::fmt::Display for SweepRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
        }
    }
}

/// Where a sweep stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SweepPhase {
    /// Targets are looked for; the flows are not known yet.
    Discovery,
    /// Flows are tested and checks done.
    Checking,
    /// Ended. Late results may still come in.
    Done,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Asks for the targets of domains.
    Discovery,
    /// Tests flows.
    Check,
    /// Does checks of the vantage itself.
    Vantage,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a probe.
    Queued,
    /// Given to a probe.
    Assigned,
    /// Every task is observed or missed.
    Finished,
}

/// One job of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// The job.
    pub id: Uuid,
    /// Name of the vantage.
    pub vantage: String,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
    /// Why tasks were missed: `no-probe`, `probe-lost`, `expired`, `cancelled` or `refused`.
    pub reason: Option<String>,
    /// Its tasks.
    pub planned: i64,
    /// Tasks with an observation.
    pub observed: i64,
    /// Tasks that will not be tested.
    pub missed: i64,
    /// The probe that has or had it.
    pub probe: Option<Uuid>,
    /// Whether a probe did it, or a part of it, by itself, since no controller gave it out.
    #[serde(default)]
    pub autonomous: bool,
    /// When the newest of what it did by itself came in.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub handed_in_at: Option<jiff::Timestamp>,
}

/// One sweep with its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SweepDetail {
    /// The sweep in numbers.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub summary: SweepSummary,
    /// Where it stands.
    pub phase: SweepPhase,
    /// Why it tested less than was asked for, where there is something to say.
    pub note: Option<String>,
    /// Number of its trace, where it is traced.
    #[serde(default)]
    pub trace_id: Option<String>,
    /// Its jobs, by vantage.
    pub jobs: Vec<JobSummary>,
}

/// Most sweeps in one answer.
const MOST: u32 = 1_000;

impl Services {
    /// Starts a sweep.
    ///
    /// # Errors
    /// When it names what the inventory does not have, or nothing to test.
    pub async fn start_sweep(&self, actor: &Actor, request: SweepRequest) -> Result<SweepDetail> {
        let mut transaction = self.begin().await?;
        let domains: Vec<String> = request.domain.iter().cloned().collect();
        let profile = request.profile.as_deref();
        let mut wanted = Wanted::find(&mut transaction, profile, &domains, &request.vantages).await?;
        wanted.computers = request::computers(&request.computers, &wanted.profile, &wanted.contents)?;
        wanted.captures = request::captures(&request.captures, &wanted.profile, &wanted.contents)?;
        let deadline = self.settings().sweep_deadline;
        let begin = Begin {
            actor: &actor.name,
            schedule: None,
            deadline,
            plan: None,
            since: None,
            trace: actor.trace,
        };
        let id = self.begin_sweep(&mut transaction, &wanted, &begin).await?;
        let detail = json!({
            "profile": wanted.profile, "domain": request.domain, "vantages": request.vantages,
            "computers": wanted.computers, "captures": wanted.captures,
        });
        let object = format!("sweep {id}");
        store::audit::record(&mut transaction, &actor.name, "sweep run", &object, detail).await?;
        let detail = detail_of(&mut transaction, id).await?;
        commit(transaction).await?;
        tracing::info!(sweep = id, profile = wanted.profile, actor = actor.name, "a sweep began");
        if detail.phase == SweepPhase::Done {
            // There was nothing to test.
            self.trace_sweep(id).await;
        }
        Ok(detail)
    }

    /// The newest sweeps, newest first. At most 1000.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweeps(&self, limit: u32) -> Result<Vec<SweepSummary>> {
        let mut connection = self.connection().await?;
        let sweeps = store::sweep::list(&mut connection, i64::from(limit.min(MOST))).await?;
        sweeps.iter().map(summary).collect()
    }

    /// One sweep with its jobs.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn sweep(&self, sweep: SweepRef) -> Result<SweepDetail> {
        let mut connection = self.connection().await?;
        let id = resolve(&mut connection, sweep).await?;
        detail_of(&mut connection, id).await
    }

    /// Ends a running sweep: what is not yet tested is missed.
    ///
    /// # Errors
    /// When there is no such sweep, or it has ended.
    pub async fn cancel_sweep(&self, actor: &Actor, id: i64) -> Result<SweepDetail> {
        let mut transaction = self.begin().await?;
        let sweep =
            store::sweep::lock(&mut transaction, id, 0.0).await?.ok_or_else(|| none(SweepRef::Id(id)))?;
        if sweep.state != SweepState::Running.word() {
            return Err(Error::Conflict(format!("sweep {id} has ended: it is {}", sweep.state)));
        }
        for probe in store::job::end_all(&mut transaction, id, "cancelled").await? {
            store::event::send(&mut transaction, Event::JobsCancelled { probe }).await?;
        }
        store::sweep::set_state(&mut transaction, id, SweepState::Cancelled.word()).await?;
        store::event::send(&mut transaction, Event::SweepChanged { sweep: id }).await?;
        let object = format!("sweep {id}");
        store::audit::record(&mut transaction, &actor.name, "sweep cancel", &object, json!({})).await?;
        let detail = detail_of(&mut transaction, id).await?;
        commit(transaction).await?;
        self.trace_sweep(id).await;
        Ok(detail)
    }
}

/// Text for a name that is not in the inventory, with those that are.
pub(super) fn unknown<'a>(noun: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const LISTED: usize = 20;
    let known: Vec<&str> = known.collect();
    let list = known.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => format!("there is no {noun} {name:?}: the inventory has none"),
        count if count > LISTED => {
            format!("there is no {noun} {name:?}; the inventory has {list} and {} more", count - LISTED)
        }
        _ => format!("there is no {noun} {name:?}; the inventory has {list}"),
    }
}

fn none(sweep: SweepRef) -> Error {
    Error::NotFound(format!("there is no sweep {sweep}; list them with: sekisho sweep list"))
}

/// Number of the sweep that is meant.
pub(super) async fn resolve(connection: &mut PgConnection, sweep: SweepRef) -> Result<i64> {
    match sweep {
        SweepRef::Id(id) => Ok(id),
        SweepRef::Latest(back) => store::sweep::latest(connection, back).await?.ok_or_else(|| none(sweep)),
    }
}

pub(super) async fn find(connection: &mut PgConnection, id: i64) -> Result<Summary> {
    store::sweep::find(connection, id).await?.ok_or_else(|| none(SweepRef::Id(id)))
}

pub(super) async fn detail_of(connection: &mut PgConnection, id: i64) -> Result<SweepDetail> {
    let row = find(connection, id).await?;
    let summary = summary(&row)?;
    let phase = match summary.state {
        SweepState::Running if row.is_planned => SweepPhase::Checking,
        SweepState::Running => SweepPhase::Discovery,
        SweepState::Complete | SweepState::Partial | SweepState::Cancelled => SweepPhase::Done,
    };
    let jobs = store::job::of_sweep(connection, id).await?;
    let jobs = jobs.into_iter().map(job).collect::<Result<_>>()?;
    let context = row.traceparent.as_deref().and_then(|context| context.parse::<TraceParent>().ok());
    let trace_id = context.map(|context| context.trace.to_string());
    Ok(SweepDetail { summary, phase, note: row.note, trace_id, jobs })
}

pub(super) fn summary(row: &Summary) -> Result<SweepSummary> {
    Ok(SweepSummary {
        id: row.id,
        state: SweepState::named(&row.state).ok_or_else(|| strange("sweep state", &row.state))?,
        profile: row.profile.clone(),
        started_at: row.started_at.to_jiff(),
        finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
        planned: row.planned,
        checks: row.checks,
        observed: row.observed,
        missed: row.missed,
    })
}

fn job(row: Job) -> Result<JobSummary> {
    Ok(JobSummary {
        id: row.id,
        vantage: row.vantage,
        kind: match row.kind.as_str() {
            "discovery" => JobKind::Discovery,
            "check" => JobKind::Check,
            "vantage" => JobKind::Vantage,
            other => return Err(strange("kind of job", other)),
        },
        state: match row.state.as_str() {
            "queued" => JobState::Queued,
            "assigned" => JobState::Assigned,
            "finished" => JobState::Finished,
            other => return Err(strange("state of a job", other)),
        },
        reason: row.reason,
        planned: row.planned.into(),
        observed: row.observed.into(),
        missed: row.missed.into(),
        probe: row.probe_id,
        autonomous: row.autonomous,
        handed_in_at: row.handed_in_at.map(jiff_sqlx::Timestamp::to_jiff),
    })
}

/// A word in the database that this version does not know.
pub(super) fn strange(what: &str, word: &str) -> Error {
    Error::Internal(format!("the database has the {what} {word:?}, which this version does not know").into())
}
