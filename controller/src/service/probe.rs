//! Probes as operators see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Result, Services};

/// Whether a probe can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeStatus {
    /// Connected and heard of lately.
    Online,
    /// Not heard of for longer than it should be, but not for long.
    Late,
    /// Not heard of for a long time.
    Lost,
    /// Shut out by an operator.
    Revoked,
    /// Enrolled, and has not connected yet.
    Never,
}

impl ProbeStatus {
    /// The word used in JSON and on the terminal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Revoked => "revoked",
            Self::Never => "never",
        }
    }
}

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
    /// Whether it can be counted on.
    pub status: ProbeStatus,
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
    /// Its clock minus the controller's when last heard, microseconds.
    pub clock_offset_us: Option<i64>,
    /// Controller that holds its session.
    pub controller: Option<Uuid>,
}

impl Services {
    /// Every probe, by vantage and host.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probes(&self) -> Result<Vec<ProbeSummary>> {
        Err(super::unfinished())
    }

    /// One probe, by its id or the beginning of it.
    ///
    /// # Errors
    /// When none or several begin so.
    pub async fn probe(&self, _id: &str) -> Result<ProbeSummary> {
        Err(super::unfinished())
    }

    /// Shuts a probe out: its session ends at once and its certificates are refused.
    ///
    /// # Errors
    /// When none or several begin with `id`.
    pub async fn revoke_probe(&self, _actor: &Actor, _id: &str) -> Result<ProbeSummary> {
        Err(super::unfinished())
    }
}
