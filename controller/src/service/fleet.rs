//! The fleet: its probes, and the vantages of the inventory that none of them covers.

use std::collections::HashMap;

use sekisho_domain::health::{self, ProbeStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ProbeSummary, Result, Services, probe::MOST};
use crate::store;

/// A vantage of the inventory that no probe covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VantageGap {
    /// Always null: there is no probe.
    pub id: Option<Uuid>,
    /// Name of the vantage.
    pub vantage: String,
    /// `no-probe`.
    pub status: String,
    /// Always true.
    pub problem: bool,
    /// What is missing.
    pub why: String,
}

/// A probe, or that there is none where one should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum FleetLine {
    /// A probe.
    Probe(Box<ProbeSummary>),
    /// A vantage that no probe covers.
    Vantage(VantageGap),
}

impl FleetLine {
    /// Name of the vantage.
    #[must_use]
    pub fn vantage(&self) -> &str {
        match self {
            Self::Probe(probe) => &probe.vantage,
            Self::Vantage(gap) => &gap.vantage,
        }
    }

    /// The probe, where the line is one.
    #[must_use]
    pub fn probe(&self) -> Option<&ProbeSummary> {
        match self {
            Self::Probe(probe) => Some(probe),
            Self::Vantage(_) => None,
        }
    }

    /// Its word.
    #[must_use]
    pub fn status(&self) -> &str {
        match self {
            Self::Probe(probe) => probe.status.word(),
            Self::Vantage(gap) => &gap.status,
        }
    }

    /// What is to be said about it.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Probe(probe) => probe.why.as_deref(),
            Self::Vantage(gap) => Some(&gap.why),
        }
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        match self {
            Self::Probe(probe) => probe.problem,
            Self::Vantage(gap) => gap.problem,
        }
    }
}

impl Services {
    /// Every probe, and every vantage of the inventory that none of them covers, by vantage and host.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fleet(&self) -> Result<Vec<FleetLine>> {
        let mut connection = self.connection().await?;
        let probes = store::probe::list(&mut connection, "", MOST).await?;
        let vantages = store::vantage::all(&mut connection).await?;
        drop(connection);
        let probes: Vec<ProbeSummary> = probes.into_iter().map(|probe| self.summary(probe)).collect();
        let mut statuses = HashMap::<&str, Vec<ProbeStatus>>::new();
        for probe in &probes {
            statuses.entry(&probe.vantage).or_default().push(probe.status);
        }
        let gap = |vantage: store::vantage::Vantage| {
            let probes = statuses.get(vantage.name.as_str()).map_or(&[][..], Vec::as_slice);
            let why = health::uncovered(&vantage.name, probes)?;
            let status = health::NO_PROBE.to_owned();
            Some(VantageGap { id: None, vantage: vantage.name, status, problem: true, why })
        };
        let gaps: Vec<VantageGap> = vantages.into_iter().filter_map(gap).collect();
        let probes = probes.into_iter().map(|probe| FleetLine::Probe(Box::new(probe)));
        let mut lines: Vec<FleetLine> = probes.chain(gaps.into_iter().map(FleetLine::Vantage)).collect();
        // Stable: the probes of a vantage stay in order, and before the line that says what they lack.
        lines.sort_by(|a, b| a.vantage().cmp(b.vantage()));
        Ok(lines)
    }
}
