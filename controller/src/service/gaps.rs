//! Policy against a sweep.

use sekisho_domain::{
    gaps::{Gap, Gaps},
    policy::Domains,
};
use sekisho_model::SweepSummary;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{Error, Result, Services, SweepRef};
use crate::store::{self, gaps::FlowName};

/// Policy against a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepGaps {
    /// The sweep.
    pub sweep: SweepSummary,
    /// What is not as policies want it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

impl Services {
    /// Holds the policies of the inventory, as it is, against a sweep.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn gaps(&self, sweep: SweepRef) -> Result<SweepGaps> {
        let matrix = self.matrix(sweep).await?;
        let sweep = matrix.sweep.ok_or_else(|| Error::Internal("a matrix without its sweep".into()))?;
        let mut connection = self.connection().await?;
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        let mut gaps = sekisho_domain::gaps::gaps(&matrix.cells, &inventory, &domains);
        date(&mut connection, sweep.id, &mut gaps.gaps).await?;
        Ok(SweepGaps { sweep, gaps })
    }
}

/// Notes since when each flow has the outcome that it had in the sweep.
async fn date(connection: &mut PgConnection, sweep: i64, gaps: &mut [Gap]) -> Result<()> {
    let flows: Vec<FlowName<'_>> = gaps
        .iter()
        .map(|gap| FlowName {
            vantage: &gap.vantage,
            target: &gap.target,
            address: gap.address,
            service: gap.service.name(),
        })
        .collect();
    let since = store::gaps::since(connection, sweep, &flows).await?;
    for (place, first_seen) in since {
        let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
        if let Some(gap) = gaps.get_mut(place) {
            gap.since = Some(first_seen.to_jiff());
        }
    }
    Ok(())
}

/// Domains of the targets, which the matrix calls by address where they have no name.
pub(super) async fn domains(connection: &mut PgConnection) -> Result<Domains> {
    let mut domains = Domains::new();
    for (host, address, domain) in store::gaps::domains_of_targets(connection).await? {
        let name = if host.is_empty() { address.to_string() } else { host };
        domains.entry((name, address)).or_default().insert(domain);
    }
    Ok(domains)
}
