//! Policies drafted from a sweep or a baseline.

use sekisho_domain::suggest::{Suggestion, suggest};
use sekisho_model::SweepSummary;
use serde::{Deserialize, Serialize};

use super::{Error, Reference, Result, Services, diff::whole, gaps::domains};
use crate::store;

/// Policies drafted from a sweep or a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySuggestion {
    /// The sweep, or that which the baseline was made of.
    pub sweep: SweepSummary,
    /// Name of the baseline, where it is one.
    pub baseline: Option<String>,
    /// The drafts.
    #[serde(flatten)]
    pub suggestion: Suggestion,
    /// The drafts as TOML, to be put to an inventory.
    pub toml: String,
}

impl Services {
    /// Drafts policies from what was open and, with `deny`, also from what was blocked. Nothing is written.
    ///
    /// # Errors
    /// When there is no such sweep or baseline.
    pub async fn suggest_policies(&self, from: &Reference, deny: bool) -> Result<PolicySuggestion> {
        let (cells, sweep, baseline) = match from {
            Reference::Sweep(sweep) => {
                let (matrix, sweep) = whole(self.matrix(*sweep).await?)?;
                (matrix.cells, sweep, None)
            }
            Reference::Baseline(name) => {
                let baseline = self.baseline(name).await?;
                (baseline.cells, baseline.summary.sweep, Some(baseline.summary.name))
            }
            Reference::Time(at) => {
                return Err(Error::Invalid(format!(
                    "{at} is a time; policies are suggested from a sweep or a baseline"
                )));
            }
        };
        let mut connection = self.connection().await?;
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        let suggestion = suggest(&cells, &inventory, &domains, deny);
        let toml = suggestion.toml(&about(&sweep, baseline.as_deref()));
        Ok(PolicySuggestion { sweep, baseline, suggestion, toml })
    }
}

fn about(sweep: &SweepSummary, baseline: Option<&str>) -> String {
    let source = match baseline {
        Some(name) => format!("baseline {name}, which is sweep {}", sweep.id),
        None => format!("sweep {}", sweep.id),
    };
    format!(
        "Suggested from {source} ({}, profile {}, started {}).\n\
         It says what was, not what should be: review it. The first policy that speaks of a flow decides.",
        sweep.state.word(),
        sweep.profile,
        sweep.started_at,
    )
}
