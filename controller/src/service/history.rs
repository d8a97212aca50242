//! The history of one flow, and of many.

mod page;

use std::{cmp::Reverse, net::IpAddr};

use jiff::Timestamp;
use sekisho_domain::span::Span;
use sekisho_model::{Outcome, Service};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{Error, Result, Services, sweep::unknown};
use crate::store::{self, history::Candidate, span::Pair};

pub use page::{SpanFilter, SpanPage, Spanned};

/// Most spans in one answer: the newest ones.
const MOST: u32 = 10_000;

/// A run of equal outcomes of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistorySpan {
    /// The outcome; never `failed` or `missed`, which say nothing of the flow.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// The device that refused, where it is known.
    #[schema(value_type = Option<String>)]
    pub by: Option<IpAddr>,
    /// When the first of its observations was made.
    #[schema(value_type = String)]
    pub first_seen: Timestamp,
    /// When the newest of them was made.
    #[schema(value_type = String)]
    pub last_seen: Timestamp,
    /// How many sweeps saw it.
    pub sweeps: i64,
}

/// A flow by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowName {
    /// Name of the vantage.
    pub vantage: String,
    /// Host name or address of the target.
    pub target: String,
    /// Name of the service.
    pub service: String,
}

impl Services {
    /// The spans of a flow, newest first: the newest `limit` of them, at most 10,000. None when it was never tested.
    ///
    /// # Errors
    /// When the vantage, the target or the service is not known, or the target's name has several addresses.
    pub async fn history(&self, flow: &FlowName, limit: u32) -> Result<Vec<HistorySpan>> {
        let service: Service = flow.service.parse().map_err(|error| invalid(&error))?;
        let mut connection = self.connection().await?;
        let vantage = vantage(&mut connection, &flow.vantage).await?;
        let service = store::history::service(&mut connection, &service.name()).await?;
        let target = target(&mut connection, &flow.target, vantage, service).await?;
        let Some(service) = service else {
            return Ok(Vec::new());
        };
        let pair = [Pair { vantage, target }];
        let newest = store::span::newest(&mut connection, &pair).await?;
        let newest = newest.into_values().flatten().filter(|(of, _)| *of == service).map(|(_, span)| span);
        let ended = store::span::ended(&mut connection, &pair).await?;
        let ended = ended.into_iter().filter(|(flow, _)| flow.service == service).map(|(_, span)| span);
        let mut spans: Vec<Span> = newest.chain(ended).collect();
        spans.sort_by_key(|span| Reverse(span.first));
        let most = usize::try_from(limit.min(MOST)).unwrap_or(usize::MAX);
        Ok(spans.iter().take(most).map(shown).collect())
    }
}

fn invalid(error: &impl ToString) -> Error {
    Error::Invalid(error.to_string())
}

async fn vantage(connection: &mut PgConnection, name: &str) -> Result<i32> {
    if let Some(id) = store::history::vantage(connection, name).await? {
        return Ok(id);
    }
    let known = store::vantage::all(connection).await?;
    Err(Error::NotFound(unknown("vantage", name, known.iter().map(|vantage| vantage.name.as_str()))))
}

/// The one target of that host name or address: of several, those that are swept, and of these those that were tested.
async fn target(
    connection: &mut PgConnection,
    name: &str,
    vantage: i32,
    service: Option<i16>,
) -> Result<i32> {
    let host = name.trim_end_matches('.').to_ascii_lowercase();
    // An empty host name is that of every target without one.
    let address = host.parse::<IpAddr>().ok();
    let mut found = match host.as_str() {
        "" => Vec::new(),
        host => store::history::targets(connection, host, address, vantage, service).await?,
    };
    let rank = |target: &Candidate| (target.present, target.tested);
    let best = found.iter().map(rank).max();
    found.retain(|target| Some(rank(target)) == best);
    match found.as_slice() {
        [only] => Ok(only.id),
        [] => {
            let known = store::history::target_names(connection).await?;
            Err(Error::NotFound(unknown("target", name, known.iter().map(String::as_str))))
        }
        several => Err(Error::Invalid(ambiguous(name, several))),
    }
}

fn ambiguous(name: &str, several: &[Candidate]) -> String {
    let list: Vec<String> =
        several.iter().map(|target| format!("{} at {}", target.host, target.address)).collect();
    format!(
        "target {name:?} may be {}; name the host or the address that only one of them has",
        list.join(", or ")
    )
}

fn shown(span: &Span) -> HistorySpan {
    HistorySpan {
        outcome: span.reading.outcome(),
        by: span.reading.by(),
        first_seen: span.first.at,
        last_seen: span.last.at,
        sweeps: span.sweeps.into(),
    }
}
