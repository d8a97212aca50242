//! Policy against a sweep.

mod since;

use std::collections::HashMap;

use sekisho_domain::{
    gaps::{Gaps, gaps_among},
    policy::Domains,
};
use sekisho_model::{Cell, SweepSummary};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{
    Place, Result, Services, SweepRef,
    matrix::{Names, Part, cells},
};
use crate::store::{self, job::Image, letter};

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
    /// When there is no such sweep, or its observations are not kept any more.
    pub async fn gaps(&self, sweep: SweepRef) -> Result<SweepGaps> {
        self.gaps_of(sweep, &Place::default()).await
    }

    /// As [`Services::gaps`], of some vantages. Flows of the others still prove causes.
    ///
    /// # Errors
    /// As there, and when there is no such site or vantage.
    pub async fn gaps_of(&self, sweep: SweepRef, place: &Place) -> Result<SweepGaps> {
        let mut connection = self.connection().await?;
        let Part { sweep, names, chosen } = Part::of(&mut connection, sweep, place).await?;
        let (images, others): (Vec<Image>, Vec<Image>) = store::job::images(&mut connection, sweep.id, None)
            .await?
            .into_iter()
            .partition(|image| chosen.as_ref().is_none_or(|chosen| chosen.contains(&image.vantage_id)));
        let cells = cells(&mut connection, &images, &names, false).await?;
        let others = controls(&others, &names)?;
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        let mut gaps = gaps_among(&cells, &others, &inventory, &domains);
        since::date(&mut connection, sweep.id, &names, (&images, &cells), &mut gaps.gaps).await?;
        Ok(SweepGaps { sweep, gaps })
    }
}

/// Flows that can prove something about flows of other vantages: of each outcome of a service of a target a few.
fn controls(images: &[Image], names: &Names) -> Result<Vec<Cell>> {
    const EACH: usize = 2;
    let mut counts: HashMap<(i32, i16, u8), usize> = HashMap::new();
    let mut cells = Vec::new();
    for image in images {
        for (_, target, service, letter) in image.flows() {
            let count = counts.entry((target, service, letter)).or_default();
            *count += 1;
            if *count <= EACH {
                cells.push(names.blank(image.vantage_id, target, service, letter::outcome(letter)?)?);
            }
        }
    }
    Ok(cells)
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
