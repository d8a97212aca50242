//! What to open so that the gaps of a sweep close.

use sekisho_domain::change_request::{ChangeRequest, change_request};
use sekisho_model::SweepSummary;
use serde::{Deserialize, Serialize};

use super::{Result, Services, SweepRef, gaps::domains};
use crate::store;

/// The change request of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepChangeRequest {
    /// The sweep.
    pub sweep: SweepSummary,
    /// What to open, and what not.
    #[serde(flatten)]
    pub request: ChangeRequest,
}

impl Services {
    /// Asks for the rules that close the gaps of a sweep. Policies and subnets are those of the inventory as it is.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn change_request(&self, sweep: SweepRef) -> Result<SweepChangeRequest> {
        let found = self.gaps(sweep).await?;
        let matrix = self.matrix(SweepRef::Id(found.sweep.id)).await?;
        let mut connection = self.connection().await?;
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        let gaps = found.gaps;
        let request = change_request(&gaps.gaps, gaps.untested, &matrix.cells, &inventory, &domains);
        Ok(SweepChangeRequest { sweep: found.sweep, request })
    }
}
