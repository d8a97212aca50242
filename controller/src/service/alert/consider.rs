//! Considering sweeps. Any controller may do it, any number of times.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sekisho_domain::{
    Inventory,
    alert::{Decision, Item, Seen, Tracked, decide, heard, tested},
    compare::Change,
    gaps::Gaps,
    inventory::Expectation,
    policy::{Domains, Policies},
};
use sekisho_model::Matrix;

use super::outbox::Outbox;
use crate::service::{Error, Result, Services, SweepRef, commit, gaps::domains, sweep::find};
use crate::store::{self, alert::Considered};

/// Most sweeps that one round looks at: the newest.
const SWEEPS: i64 = 32;
/// Most later sweeps that an old one is held against. One that has as many behind it says nothing any more.
const LATER: usize = 8;

/// All that is to know of a sweep for a decision, read before it is made.
struct Material {
    sweep: i64,
    at: Timestamp,
    now: Considered,
    /// What it was when it was considered last.
    before: Option<Considered>,
    previous: Option<i64>,
    later: Vec<i64>,
    matrix: Matrix,
    gaps: Gaps,
    changes: Vec<Change>,
    heard_before: BTreeSet<String>,
    tested_later: BTreeSet<Item>,
    inventory: Inventory,
    domains: Domains,
}

impl Services {
    /// Considers sweeps that have ended, and those that late results have added to: opens and resolves alerts, and writes
    /// the notices of them. Says how many sweeps were considered.
    ///
    /// # Errors
    /// When the database fails. A sweep that cannot be considered does not keep others from it.
    pub async fn consider_sweeps(&self) -> Result<usize> {
        let mut connection = self.connection().await?;
        let sweeps = store::alert::to_consider(&mut connection, SWEEPS).await?;
        drop(connection);
        let (mut done, mut failed) = (0, None);
        for sweep in sweeps {
            match self.consider(sweep).await {
                Ok(considered) => done += usize::from(considered),
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    async fn consider(&self, sweep: i64) -> Result<bool> {
        let Some(material) = self.material(sweep).await? else { return Ok(false) };
        let hold = SignedDuration::try_from(self.settings().alert_hold).unwrap_or(SignedDuration::MAX);
        let mut transaction = self.begin().await?;
        store::alert::lock(&mut transaction).await?;
        // Somebody else may have considered this sweep, or a later one, since the material was read.
        let before = store::alert::considered(&mut transaction, sweep).await?;
        if before != material.before || later(&mut transaction, sweep).await? != material.later {
            return Ok(false);
        }
        let since = material.at.checked_sub(hold).unwrap_or(Timestamp::MIN);
        let tracked = store::alert::tracked(&mut transaction, since).await?;
        let decision = material.decision(&tracked, hold);
        let sites: BTreeMap<String, String> = material
            .inventory
            .vantages
            .iter()
            .filter_map(|vantage| Some((vantage.name.to_string(), vantage.site.as_ref()?.to_string())))
            .collect();
        let mut outbox =
            Outbox::new(&mut transaction, self.channels(), sweep, material.previous, sites).await?;
        for alert in &decision.open {
            let id = store::alert::open(outbox.connection(), sweep, material.at, alert).await?;
            outbox.opened(id, alert, material.at).await?;
        }
        for update in &decision.update {
            store::alert::update(outbox.connection(), sweep, material.at, update).await?;
            let known = tracked.iter().find(|known| known.id == update.id);
            outbox.updated(update, known, material.at).await?;
        }
        store::alert::mark(&mut transaction, sweep, material.previous, &material.now).await?;
        commit(transaction).await?;
        let told = decision.update.iter().filter(|update| update.tell.is_some()).count();
        if !decision.open.is_empty() || told > 0 {
            tracing::info!(sweep, opened = decision.open.len(), changed = told, "alerts after a sweep");
        }
        Ok(true)
    }

    /// What there is to know of a sweep; `None` where nothing is to consider.
    async fn material(&self, sweep: i64) -> Result<Option<Material>> {
        let mut connection = self.connection().await?;
        let before = store::alert::considered(&mut connection, sweep).await?;
        let summary = find(&mut connection, sweep).await?;
        let now = Considered { state: summary.state.clone(), observed: summary.observed };
        let Some(at) = summary.finished_at.filter(|_| before.as_ref() != Some(&now)) else { return Ok(None) };
        let previous = store::alert::previous(&mut connection, sweep).await?;
        let later = later(&mut connection, sweep).await?;
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        let mut tested_later = BTreeSet::new();
        if later.len() < LATER {
            for sweep in &later {
                let matrix = self.matrix(SweepRef::Id(*sweep)).await?;
                tested_later.extend(tested(&matrix.cells, &matrix.checks));
            }
        }
        let (mut changes, mut heard_before) = (Vec::new(), BTreeSet::new());
        if let Some(previous) = previous {
            let matrix = self.matrix(SweepRef::Id(previous)).await?;
            heard_before = heard(&matrix.cells, &matrix.checks);
            let diff = self.diff(SweepRef::Id(previous), SweepRef::Id(sweep)).await?;
            changes = diff.difference.changes;
        }
        let matrix = self.matrix(SweepRef::Id(sweep)).await?;
        let gaps = self.gaps(SweepRef::Id(sweep)).await?.gaps;
        let at = at.to_jiff();
        Ok(Some(Material {
            sweep,
            at,
            now,
            before,
            previous,
            later,
            matrix,
            gaps,
            changes,
            heard_before,
            tested_later,
            inventory,
            domains,
        }))
    }
}

impl Material {
    fn decision(&self, tracked: &[Tracked], hold: SignedDuration) -> Decision {
        if self.later.len() >= LATER {
            tracing::info!(sweep = self.sweep, "a sweep with many later ones tells nothing any more");
            return Decision::default();
        }
        let policies = Policies::new(&self.inventory, &self.domains);
        let vantages = self.inventory.vantages.iter().map(|vantage| vantage.name.to_string()).collect();
        let seen = Seen {
            at: self.at,
            cells: &self.matrix.cells,
            checks: &self.matrix.checks,
            gaps: &self.gaps,
            changes: &self.changes,
            before: &self.heard_before,
            later: &self.tested_later,
            vantages: &vantages,
            denied: &|cell| policies.deciding(cell).is_some_and(|policy| policy.expect == Expectation::Deny),
        };
        decide(&seen, tracked, hold)
    }
}

async fn later(connection: &mut sqlx::PgConnection, sweep: i64) -> Result<Vec<i64>> {
    let limit = i64::try_from(LATER).unwrap_or(i64::MAX);
    Ok(store::alert::considered_after(connection, sweep, limit).await?)
}
