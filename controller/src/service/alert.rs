//! Alerts: what is told after a sweep, and what was told.

mod consider;
mod outbox;

use std::collections::BTreeMap;

use jiff::Timestamp;
use sekisho_domain::alert::{About, AlertKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NoticeSummary, Result, Services, notice};
use crate::store::{self, alert::Listed};

/// Most alerts in one answer.
const MOST: u32 = 10_000;
/// Most notices of one alert in an answer: the newest.
const NOTICES: i64 = 20;
/// How long alerts are kept that are over, seconds.
const KEPT: f64 = 90.0 * 24.0 * 60.0 * 60.0;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It was told and is not over.
    Open,
    /// It came back within the hold time after it was over, and nobody was told.
    Held,
    /// It is over.
    Over,
}

/// One alert, and who was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertSummary {
    /// Its number.
    pub id: i64,
    /// `gap`, `exposure`, `regression`, `fix` or `lost-vantage`.
    #[schema(value_type = String)]
    pub kind: AlertKind,
    /// Where it stands.
    pub state: AlertState,
    /// All of it in one line.
    pub summary: String,
    /// What is known of the cause.
    #[schema(value_type = Object)]
    pub about: About,
    /// Of how many flows it spoke when it opened.
    pub flows: i32,
    /// Number of the sweep that opened it.
    pub sweep: i64,
    /// End of that sweep.
    #[schema(value_type = String)]
    pub opened_at: Timestamp,
    /// End of the last sweep that had one of its flows or vantages.
    #[schema(value_type = String)]
    pub seen_at: Timestamp,
    /// End of the sweep in which it was over.
    #[schema(value_type = Option<String>)]
    pub resolved_at: Option<Timestamp>,
    /// Number of that sweep.
    pub resolved_sweep: Option<i64>,
    /// Who was told, newest first.
    pub notices: Vec<NoticeSummary>,
}

impl Services {
    /// The newest alerts, newest first: at most 10,000. Those that are over only if `all`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alerts(&self, all: bool, limit: u32) -> Result<Vec<AlertSummary>> {
        let mut connection = self.connection().await?;
        let rows = store::alert::list(&mut connection, all, limit.min(MOST).into()).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut notices: BTreeMap<Option<i64>, Vec<NoticeSummary>> = BTreeMap::new();
        for row in store::notice::of_alerts(&mut connection, &ids, NOTICES).await? {
            notices.entry(row.alert_id).or_default().push(notice::summary(row)?);
        }
        rows.into_iter()
            .map(|row| {
                let notices = notices.remove(&Some(row.id)).unwrap_or_default();
                summary(row, notices)
            })
            .collect()
    }

    /// Forgets alerts that were over long ago.
    pub(crate) async fn tidy_alerts(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(store::alert::forget(&mut connection, KEPT).await?)
    }
}

fn summary(row: Listed, notices: Vec<NoticeSummary>) -> Result<AlertSummary> {
    let about = row.about()?;
    let state = match (row.resolved_at, row.held) {
        (None, _) => AlertState::Open,
        (Some(_), true) => AlertState::Held,
        (Some(_), false) => AlertState::Over,
    };
    Ok(AlertSummary {
        id: row.id,
        kind: about.kind,
        state,
        summary: row.sentence,
        about,
        flows: row.flows,
        sweep: row.sweep_id,
        opened_at: row.opened_at.to_jiff(),
        seen_at: row.seen_at.to_jiff(),
        resolved_at: row.resolved_at.map(jiff_sqlx::Timestamp::to_jiff),
        resolved_sweep: row.resolved_sweep,
        notices,
    })
}
