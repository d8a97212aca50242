//! Probes as operators see them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sekisho_domain::health::{ProbeStatus, Signs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Error, Event, Result, Services, commit};
use crate::store::{self, probe::Probe};

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeSummary {
    /// The probe.
    pub id: Uuid,
    /// Name of its vantage.
    pub vantage: String,
    /// Host name of its machine, as it said.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Whether it can be counted on: `online`, `late`, `stuck`, `unwell`, `lost`, `never` or `revoked`.
    #[schema(value_type = String)]
    pub status: ProbeStatus,
    /// Whether somebody has to do something about it.
    #[serde(default)]
    pub problem: bool,
    /// Why it has this status, where that is not plain.
    #[serde(default)]
    pub why: Option<String>,
    /// When it enrolled.
    #[schema(value_type = String, format = DateTime)]
    pub enrolled_at: Timestamp,
    /// When it was last heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// End of validity of its newest certificate.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certificate_not_after: Option<Timestamp>,
    /// How it sends ICMP echo: `unprivileged`, `raw` or `none`; `None` until it connected.
    pub icmp: Option<String>,
    /// Services that it can check.
    pub services: Vec<String>,
    /// Observations on its disk that are not handed in.
    pub spooled: i64,
    /// Observations that it has dropped since it started, because its disk or its spool was full.
    #[serde(default)]
    pub dropped: i64,
    /// Jobs that it has.
    #[serde(default)]
    pub jobs: i64,
    /// When it last ended a job.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub job_ended_at: Option<Timestamp>,
    /// Its clock minus the controller's when last heard, microseconds.
    pub clock_offset_us: Option<i64>,
    /// Controller that holds its session.
    pub controller: Option<Uuid>,
}

/// Most probes in one answer.
pub(super) const MOST: i64 = 20_000;

impl Services {
    /// Every probe, by vantage and host.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probes(&self) -> Result<Vec<ProbeSummary>> {
        let mut connection = self.connection().await?;
        let probes = store::probe::list(&mut connection, "", MOST).await?;
        Ok(probes.into_iter().map(|probe| self.summary(probe)).collect())
    }

    /// One probe, by its id or the beginning of it.
    ///
    /// # Errors
    /// When none or several begin so.
    pub async fn probe(&self, id: &str) -> Result<ProbeSummary> {
        let mut connection = self.connection().await?;
        let probe = find(&mut connection, id).await?;
        Ok(self.summary(probe))
    }

    /// Shuts a probe out: its session ends at once and its certificates are refused.
    ///
    /// # Errors
    /// When none or several begin with `id`.
    pub async fn revoke_probe(&self, actor: &Actor, id: &str) -> Result<ProbeSummary> {
        let mut transaction = self.begin().await?;
        let probe = find(&mut transaction, id).await?.id;
        if store::probe::revoke(&mut transaction, probe).await? {
            let object = format!("probe {probe}");
            store::audit::record(&mut transaction, &actor.name, "revoke", &object, json!({})).await?;
            store::event::send(&mut transaction, Event::ProbeRevoked { probe }).await?;
        }
        let revoked = find(&mut transaction, &probe.to_string()).await?;
        commit(transaction).await?;
        Ok(self.summary(revoked))
    }

    pub(super) fn summary(&self, probe: Probe) -> ProbeSummary {
        let verdict = signs(&probe).judge(self.settings().bounds());
        ProbeSummary {
            id: probe.id,
            vantage: probe.vantage,
            host: probe.host,
            version: probe.version,
            status: verdict.status,
            problem: verdict.status.is_problem(),
            why: verdict.why,
            enrolled_at: probe.enrolled_at.to_jiff(),
            seen_at: probe.seen_at.map(jiff_sqlx::Timestamp::to_jiff),
            revoked_at: probe.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
            certificate_not_after: probe.certificate_not_after.map(jiff_sqlx::Timestamp::to_jiff),
            icmp: probe.icmp,
            services: probe.services,
            spooled: probe.spooled,
            dropped: probe.dropped,
            jobs: probe.jobs,
            job_ended_at: probe.job_ended_at.map(jiff_sqlx::Timestamp::to_jiff),
            clock_offset_us: probe.clock_offset_us,
            controller: probe.controller_id,
        }
    }
}

fn signs(probe: &Probe) -> Signs {
    // The database's clock never runs backwards far enough to matter: less than nothing is nothing.
    let since = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    Signs {
        revoked: probe.revoked_at.is_some(),
        connected: probe.connected,
        silent: probe.silent_seconds.map(since),
        owing: probe.owing_seconds.map(since),
        problems: probe.problems.clone(),
        clock: probe.clock_offset_us.map(SignedDuration::from_micros),
    }
}

async fn find(connection: &mut PgConnection, id: &str) -> Result<Probe> {
    let prefix = id.to_ascii_lowercase();
    if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(Error::Invalid(format!("{id:?} is not a probe's id or the beginning of one")));
    }
    let mut found = store::probe::list(connection, &prefix, 2).await?;
    match (found.pop(), found.len()) {
        (Some(probe), 0) => Ok(probe),
        (Some(_), _) => Err(Error::Conflict(format!("several probes begin with {id}; give more of the id"))),
        (None, _) => {
            Err(Error::NotFound(format!("there is no probe {id}; list them with: sekisho probe list")))
        }
    }
}
