//! What flows looked like at a time: from their spans, which are kept when the observations are gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sekisho_domain::span::{Span, Then, then};
use sekisho_model::{Cell, Fact, Facts, Matrix, Outcome};

use super::{Names, Place};
use crate::{
    service::{Error, Result, Services},
    store::{self, span::Flow},
};

/// How long a flow counts as known after it was last seen, where nothing else is said: a night and half a day.
pub const FRESH: SignedDuration = SignedDuration::from_hours(36);

/// Longest time for which it may.
const FRESHEST: SignedDuration = SignedDuration::from_hours(24 * 366);

impl Services {
    /// Every flow as it looked at a time, by vantage, target, service. A flow that was last seen longer before than `fresh` is
    /// `missed`, with what it was in its facts; one that nobody had tested yet is not there.
    ///
    /// # Errors
    /// When there is no such site or vantage, or `fresh` is negative or longer than a year.
    pub async fn matrix_at(&self, at: Timestamp, fresh: SignedDuration, place: &Place) -> Result<Matrix> {
        if !(SignedDuration::ZERO..=FRESHEST).contains(&fresh) {
            return Err(Error::Invalid(format!("fresh is {fresh:#}, and not from nothing to a year")));
        }
        let mut connection = self.connection().await?;
        let names = Names::of(&mut connection).await?;
        let vantages = names.chosen(place)?.unwrap_or_else(|| names.vantages.keys().copied().collect());
        let mut flows: BTreeMap<Flow, Vec<Span>> = BTreeMap::new();
        for (pair, sheet) in store::span::newest_of_vantages(&mut connection, &vantages).await? {
            let newest = sheet.into_iter().map(|(service, span)| (Flow { pair, service }, vec![span]));
            flows.extend(newest);
        }
        // Where the newest span had begun by then, none before it matters.
        let began = |spans: &[Span]| spans.iter().any(|span| span.first.at <= at);
        let earlier: BTreeSet<i32> =
            flows.iter().filter(|(_, spans)| !began(spans)).map(|(flow, _)| flow.pair.vantage).collect();
        let earlier: Vec<i32> = earlier.into_iter().collect();
        for (flow, span) in store::span::ended_of_vantages(&mut connection, &earlier, at).await? {
            flows.entry(flow).or_default().push(span);
        }
        drop(connection);
        let seen = flows.iter().filter_map(|(flow, spans)| Some((flow, then(spans.iter(), at, fresh)?)));
        let mut cells: Vec<Cell> =
            seen.map(|(flow, then)| cell(&names, *flow, then, at)).collect::<Result<_>>()?;
        super::sort(&mut cells);
        Ok(Matrix { sweep: None, at: Some(at), cells, checks: Vec::new() })
    }
}

fn cell(names: &Names, flow: Flow, then: Then, at: Timestamp) -> Result<Cell> {
    let blank = |outcome| names.blank(flow.pair.vantage, flow.pair.target, flow.service, outcome);
    match then {
        Then::Known(span) => {
            let mut cell = blank(span.reading.outcome())?;
            cell.by = span.reading.by();
            // Within a span only its ends are known by their time.
            cell.observed_at = Some(if span.last.at <= at { span.last.at } else { span.first.at });
            Ok(cell)
        }
        Then::Stale(span) => {
            let mut cell = blank(Outcome::Missed)?;
            let told = [
                ("reason", "not-tested-then".to_owned()),
                ("last-outcome", span.reading.outcome().to_string()),
                ("last-seen", span.last.at.to_string()),
            ];
            let told: Facts =
                told.into_iter().map(|(name, text)| (name.to_owned(), Fact::Text(text))).collect();
            cell.facts = told;
            Ok(cell)
        }
    }
}
