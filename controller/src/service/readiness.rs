//! Whether computers can join: the gate of a roll-out.

use sekisho_domain::readiness::{Language, Place, Readiness, Seen, readiness};
use sekisho_model::{SweepState, SweepSummary};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{Error, Result, Services, SweepRef, gaps::domains, sweep::unknown};
use crate::store;

/// Whose readiness. What is not named means all that the sweep was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessRequest {
    /// By which sweep.
    pub sweep: SweepRef,
    /// Only this vantage.
    pub vantage: Option<String>,
    /// Only this domain.
    pub domain: Option<String>,
    /// The language of the findings.
    pub language: Language,
}

/// Readiness by a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReadiness {
    /// The sweep.
    pub sweep: SweepSummary,
    /// By vantage, then by domain.
    pub readiness: Vec<Readiness>,
}

impl Services {
    /// Whether a computer can join each domain from each vantage, by what a sweep found. What is named and was not swept is
    /// unknown, not left out.
    ///
    /// # Errors
    /// When there is no such sweep, vantage or domain.
    pub async fn readiness(&self, request: &ReadinessRequest) -> Result<SweepReadiness> {
        let matrix = self.matrix(request.sweep).await?;
        let sweep = matrix.sweep.ok_or_else(|| Error::Internal("a matrix without its sweep".into()))?;
        let mut connection = self.connection().await?;
        let places = places(&mut connection, sweep.id, request).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        let seen = Seen {
            cells: &matrix.cells,
            checks: &matrix.checks,
            domains: &domains,
            is_running: sweep.state == SweepState::Running,
        };
        let readiness = readiness(&seen, &places, request.language);
        Ok(SweepReadiness { sweep, readiness })
    }
}

async fn places(connection: &mut PgConnection, sweep: i64, request: &ReadinessRequest) -> Result<Vec<Place>> {
    let asked = store::readiness::asked(connection, sweep).await?;
    let asked = asked.ok_or_else(|| Error::NotFound(format!("there is no sweep {sweep}")))?;
    let mut vantages = asked.vantages;
    if let Some(name) = &request.vantage {
        let known = store::vantage::all(connection).await?.into_iter().map(|vantage| vantage.name);
        vantages = only("vantage", name, vantages, known.collect())?;
    }
    let mut domains = asked.domains;
    if let Some(name) = &request.domain {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let known = store::domain::all(connection).await?.into_iter().map(|domain| domain.name);
        domains = only("domain", &name, domains, known.collect())?;
    }
    let of_vantage =
        |vantage: &String| domains.iter().map(|domain| (vantage.clone(), domain.clone())).collect();
    Ok(vantages.iter().flat_map(|vantage| -> Vec<Place> { of_vantage(vantage) }).collect())
}

/// The one of that name, which the sweep was asked for or the inventory has.
fn only(noun: &str, name: &str, asked: Vec<String>, known: Vec<String>) -> Result<Vec<String>> {
    if asked.iter().chain(&known).any(|other| other == name) {
        return Ok(vec![name.to_owned()]);
    }
    Err(Error::NotFound(unknown(noun, name, known.iter().map(String::as_str))))
}
