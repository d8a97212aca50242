//! Spans of many flows, a vantage at a time.

use std::net::IpAddr;

use jiff::Timestamp;
use sekisho_model::{Cell, Service};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{HistorySpan, invalid, shown};
use crate::{
    service::{Place, Result, Services, matrix::Names},
    store::{self, span::Flow},
};

/// Which spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanFilter {
    /// From which vantages.
    pub place: Place,
    /// To targets of this host name or address only.
    pub target: Option<String>,
    /// Of this service only.
    pub service: Option<String>,
    /// Seen then or later.
    pub since: Option<Timestamp>,
}

/// The spans from one vantage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpanPage {
    /// Name of the vantage; `None` after the last one.
    pub vantage: Option<String>,
    /// By target, service and time.
    pub spans: Vec<Spanned>,
}

/// A span and its flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Spanned {
    /// Host name of the target, or its address where it has no name.
    pub target: String,
    /// Address of the target.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Name of the service.
    pub service: String,
    /// The span.
    #[serde(flatten)]
    pub span: HistorySpan,
}

impl Services {
    /// The spans from the first vantage after `after`, by name.
    ///
    /// # Errors
    /// When there is no such site, vantage or service.
    pub async fn spans(&self, filter: &SpanFilter, after: Option<&str>) -> Result<SpanPage> {
        let service: Option<Service> =
            filter.service.as_deref().map(str::parse).transpose().map_err(|error| invalid(&error))?;
        let mut connection = self.connection().await?;
        let names = Names::of(&mut connection).await?;
        let chosen = names.chosen(&filter.place)?;
        let vantages = names.vantages.values().filter(|vantage| {
            chosen.as_ref().is_none_or(|chosen| chosen.contains(&vantage.id))
                && after.is_none_or(|after| vantage.name.as_str() > after)
        });
        let Some(vantage) = vantages.min_by_key(|vantage| &vantage.name) else {
            return Ok(SpanPage { vantage: None, spans: Vec::new() });
        };
        let newest = store::span::newest_of_vantages(&mut connection, &[vantage.id]).await?;
        let newest = newest.into_iter().flat_map(|(pair, sheet)| {
            sheet.into_iter().map(move |(service, span)| (Flow { pair, service }, span))
        });
        let ended = store::span::ended_of_vantages(&mut connection, &[vantage.id], Timestamp::MAX).await?;
        let mut spans: Vec<Spanned> = Vec::new();
        for (flow, span) in newest.chain(ended) {
            let Flow { pair, service: number } = flow;
            let cell = names.blank(pair.vantage, pair.target, number, span.reading.outcome())?;
            let is_meant = service.is_none_or(|service| cell.service == service)
                && filter.target.as_deref().is_none_or(|target| is_to(&cell, target))
                && filter.since.is_none_or(|since| span.last.at >= since);
            if is_meant {
                let Cell { target, address, service, .. } = cell;
                spans.push(Spanned { target, address, service: service.name(), span: shown(&span) });
            }
        }
        spans.sort_by(|a, b| {
            let order = |it: &Spanned| (it.address, it.span.first_seen);
            (&a.target, &a.service, order(a)).cmp(&(&b.target, &b.service, order(b)))
        });
        Ok(SpanPage { vantage: Some(vantage.name.clone()), spans })
    }
}

fn is_to(cell: &Cell, target: &str) -> bool {
    cell.target.eq_ignore_ascii_case(target.trim_end_matches('.')) || target.parse() == Ok(cell.address)
}
