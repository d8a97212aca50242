//! Sweeps: asked for, watched, cancelled.

use std::str::FromStr;

use sekisho_model::SweepSummary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Error, Result, Services};

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

/// What to sweep. What is not named means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SweepRequest {
    /// Only this domain.
    pub domain: Option<String>,
    /// Name of the profile; `ports` when absent.
    pub profile: Option<String>,
    /// Only these vantages.
    pub vantages: Vec<String>,
}

/// Where a sweep stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SweepPhase {
    /// Targets are looked for; the flows are not known yet.
    Discovery,
    /// Flows are tested.
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
    /// Its jobs, by vantage.
    pub jobs: Vec<JobSummary>,
}

impl Services {
    /// Starts a sweep.
    ///
    /// # Errors
    /// When it names what the inventory does not have, a profile with services that cannot be tested, or nothing to test.
    pub async fn start_sweep(&self, _actor: &Actor, _request: SweepRequest) -> Result<SweepDetail> {
        Err(super::unfinished())
    }

    /// The newest sweeps, newest first. At most 1000.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweeps(&self, _limit: u32) -> Result<Vec<SweepSummary>> {
        Err(super::unfinished())
    }

    /// One sweep with its jobs.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn sweep(&self, _sweep: SweepRef) -> Result<SweepDetail> {
        Err(super::unfinished())
    }

    /// Ends a running sweep: what is not yet tested is missed.
    ///
    /// # Errors
    /// When there is no such sweep, or it has ended.
    pub async fn cancel_sweep(&self, _actor: &Actor, _id: i64) -> Result<SweepDetail> {
        Err(super::unfinished())
    }
}
