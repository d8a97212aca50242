//! Sweep against sweep, and vantage against vantage.

mod flows;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sekisho_domain::{
    compare::{Contrasts, Difference, Scope, Side, compare, contrast},
    policy::Policies,
};
use sekisho_model::{Matrix, Service, SweepSummary};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{
    Error, Place, Result, Services, SweepRef,
    gaps::domains,
    matrix::{Names, readable},
    sweep::{resolve, strange},
};
use crate::store::{self, job::Image};

/// Two sweeps compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepDiff {
    /// Number of the first sweep.
    pub from: i64,
    /// Number of the second sweep.
    pub to: i64,
    /// Name of the baseline that the first sweep was accepted as, where the baseline is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// The first sweep.
    pub from_sweep: SweepSummary,
    /// The second sweep.
    pub to_sweep: SweepSummary,
}

/// Two times compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeDiff {
    /// The first time.
    pub from: Timestamp,
    /// The second time.
    pub to: Timestamp,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Two vantages of a sweep compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VantageDiff {
    /// Name of the first vantage.
    pub from: String,
    /// Name of the second vantage.
    pub to: String,
    /// What they do not see alike.
    #[serde(flatten)]
    pub contrasts: Contrasts,
    /// The sweep.
    pub sweep: SweepSummary,
}

/// Most vantages that an error names.
const LISTED: usize = 20;

impl Services {
    /// What differs between two sweeps. Policies are those of the inventory as it is.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn diff(&self, from: SweepRef, to: SweepRef) -> Result<SweepDiff> {
        let mut connection = self.connection().await?;
        // Resolved together: a sweep that starts meanwhile does not come between.
        let (from, to) = (resolve(&mut connection, from).await?, resolve(&mut connection, to).await?);
        let names = Names::of(&mut connection).await?;
        let before = Half::of(&mut connection, from).await?;
        let after = Half::of(&mut connection, to).await?;
        let contrast = flows::differing(&before.images, &after.images, names.has_twins());
        let cells = (
            contrast.before.cells(&mut connection, &names).await?,
            contrast.after.cells(&mut connection, &names).await?,
        );
        let scopes = (scope(&mut connection, from).await?, scope(&mut connection, to).await?);
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        let policies = Policies::new(&inventory, &domains);
        let mut difference = compare(
            Side { cells: &cells.0, scope: &scopes.0 },
            Side { cells: &cells.1, scope: &scopes.1 },
            |cell| policies.deciding(cell).map(|policy| policy.expect),
        );
        difference.unchanged = difference.unchanged.saturating_add(contrast.unchanged);
        let (from_sweep, to_sweep) = (before.summary, after.summary);
        Ok(SweepDiff { from, to, baseline: None, difference, from_sweep, to_sweep })
    }

    /// What differs between what was known at two times. What was last seen longer before than `fresh` is untested. Nothing is
    /// ever gone: what is not tested any more is untested. Policies are those of the inventory as it is.
    ///
    /// # Errors
    /// As [`Services::matrix_at`].
    pub async fn diff_times(
        &self,
        from: Timestamp,
        to: Timestamp,
        fresh: SignedDuration,
    ) -> Result<TimeDiff> {
        let everywhere = Place::default();
        let before = self.matrix_at(from, fresh, &everywhere).await?.cells;
        let after = self.matrix_at(to, fresh, &everywhere).await?.cells;
        let mut connection = self.connection().await?;
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        // A flow that is not there had not been tested yet, whoever might have been asked.
        let scope = Scope {
            is_whole: true,
            services: before.iter().chain(&after).map(|cell| cell.service).collect(),
            ..Scope::default()
        };
        let policies = Policies::new(&inventory, &domains);
        let difference =
            compare(Side { cells: &before, scope: &scope }, Side { cells: &after, scope: &scope }, |cell| {
                policies.deciding(cell).map(|policy| policy.expect)
            });
        Ok(TimeDiff { from, to, difference })
    }

    /// What two vantages do not see alike in one sweep.
    ///
    /// # Errors
    /// When there is no such sweep, or it has no flow of one of the vantages.
    pub async fn diff_vantages(&self, sweep: SweepRef, from: &str, to: &str) -> Result<VantageDiff> {
        let (matrix, sweep) = whole(self.matrix(sweep).await?)?;
        let vantages: BTreeSet<&str> = matrix.cells.iter().map(|cell| cell.vantage.as_str()).collect();
        if let Some(name) = [from, to].iter().find(|name| !vantages.contains(**name)) {
            let list: Vec<&str> = vantages.iter().take(LISTED).copied().collect();
            return Err(Error::NotFound(format!(
                "sweep {} has no flow of vantage {name:?}; it has flows of {} vantages: {}",
                sweep.id,
                vantages.len(),
                list.join(", ")
            )));
        }
        let contrasts = contrast(&matrix.cells, from, to);
        Ok(VantageDiff { from: from.to_owned(), to: to.to_owned(), contrasts, sweep })
    }
}

/// One of two sweeps.
struct Half {
    summary: SweepSummary,
    images: Vec<Image>,
}

impl Half {
    async fn of(connection: &mut PgConnection, sweep: i64) -> Result<Self> {
        let summary = readable(connection, sweep).await?;
        Ok(Self { summary, images: store::job::images(connection, sweep, None).await? })
    }
}

pub(super) fn whole(mut matrix: Matrix) -> Result<(Matrix, SweepSummary)> {
    let sweep = matrix.sweep.take();
    Ok((matrix, sweep.ok_or_else(|| Error::Internal("a matrix without its sweep".into()))?))
}

pub(super) async fn scope(connection: &mut PgConnection, sweep: i64) -> Result<Scope> {
    let row = store::diff::scope(connection, sweep).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("there is no sweep {sweep}")))?;
    let targets = store::diff::targets_of_others(connection, &row.domain_ids, &row.other_domains).await?;
    let name = |host: String, address: std::net::IpAddr| {
        (if host.is_empty() { address.to_string() } else { host }, address)
    };
    let service = |word: &String| word.parse::<Service>().map_err(|_| strange("service", word));
    Ok(Scope {
        is_whole: row.is_whole,
        services: row.services.iter().map(service).collect::<Result<_>>()?,
        other_vantages: row.other_vantages.into_iter().collect(),
        other_targets: targets.into_iter().map(|(host, address)| name(host, address)).collect(),
    })
}
