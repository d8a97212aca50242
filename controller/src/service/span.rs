//! Spans, kept with every observation.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_domain::span::{self, Changes, Moment, Observed, Reading, Span};
use sqlx::PgConnection;

use super::{Result, sweep::strange};
use crate::store::{
    self,
    observation::Written,
    span::{Flow, Spans, Stretch},
};

/// The new observations of each flow.
type News = BTreeMap<Flow, Vec<Observed>>;

/// Puts observations that this transaction has written into the spans of their flows. Takes the lock of their vantage.
pub(super) async fn extend(connection: &mut PgConnection, written: &[Written]) -> Result<()> {
    let news = news(written)?;
    if news.is_empty() {
        return Ok(());
    }
    let vantages: BTreeSet<i32> = news.keys().map(|flow| flow.vantage).collect();
    store::span::lock(connection, &vantages).await?;
    let spans = store::span::around(connection, &stretches(&news)).await?;
    let torn = torn(&spans, &news);
    let within = match torn.as_slice() {
        [] => BTreeMap::new(),
        torn => store::span::within(connection, torn).await?,
    };
    let changes = woven(&spans, &within, &news);
    let gone = changes.iter().flat_map(|(flow, it)| it.delete.iter().map(|first| (*flow, *first)));
    let gone: Vec<(Flow, Moment)> = gone.collect();
    let put = |(flow, it): &(Flow, Changes)| {
        let flow = *flow;
        it.insert.iter().chain(&it.update).map(|span| (flow, *span)).collect::<Vec<_>>()
    };
    let put: Vec<(Flow, Span)> = changes.iter().flat_map(put).collect();
    if !gone.is_empty() {
        store::span::remove(connection, &gone).await?;
    }
    if !put.is_empty() {
        store::span::put(connection, &put).await?;
    }
    Ok(())
}

fn news(written: &[Written]) -> Result<News> {
    let mut news = News::new();
    for row in written {
        let outcome = row.outcome.parse().map_err(|_| strange("outcome", &row.outcome))?;
        // What nobody could test says nothing of the flow.
        if let Some(reading) = Reading::new(outcome, row.by) {
            let moment = Moment { at: row.observed_at.to_jiff(), sweep: row.sweep };
            news.entry(row.flow).or_default().push(Observed { moment, reading });
        }
    }
    Ok(news)
}

fn stretches(news: &News) -> Vec<Stretch> {
    let stretch = |(flow, new): (&Flow, &Vec<Observed>)| {
        let moments = || new.iter().map(|observed| observed.moment);
        Some(Stretch { flow: *flow, from: moments().min()?, to: moments().max()? })
    };
    news.iter().filter_map(stretch).collect()
}

fn torn(spans: &Spans, news: &News) -> Vec<(Flow, Span)> {
    let of_flow = |(flow, spans): (&Flow, &Vec<Span>)| {
        let new = news.get(flow).map(Vec::as_slice).unwrap_or_default();
        span::torn(spans, new).into_iter().map(|span| (*flow, span)).collect::<Vec<_>>()
    };
    spans.iter().flat_map(of_flow).collect()
}

/// What changes in the spans of each flow.
fn woven(spans: &Spans, within: &BTreeMap<Flow, Vec<Moment>>, news: &News) -> Vec<(Flow, Changes)> {
    let of_flow = |(flow, new): (&Flow, &Vec<Observed>)| {
        let before = spans.get(flow).map(Vec::as_slice).unwrap_or_default();
        let within = within.get(flow).map(Vec::as_slice).unwrap_or_default();
        (*flow, span::changes(before, &span::weave(before, within, new)))
    };
    news.iter().map(of_flow).collect()
}
