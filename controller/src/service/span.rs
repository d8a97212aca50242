//! Spans, kept with every observation.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_domain::span::{self, Moment, Observed, Span};
use sqlx::PgConnection;

use super::Result;
use crate::store::{
    self,
    span::{Flow, Pair, Sheet},
};

/// The new observations of each flow that say something of it.
pub(super) type News = BTreeMap<Flow, Vec<Observed>>;

/// Puts observations that this transaction writes into the spans of their flows, and returns the flows that have a new
/// span. Takes the lock of their vantage.
pub(super) async fn extend(connection: &mut PgConnection, news: &News) -> Result<BTreeSet<Flow>> {
    if news.is_empty() {
        return Ok(BTreeSet::new());
    }
    let vantages: BTreeSet<i32> = news.keys().map(|flow| flow.pair.vantage).collect();
    store::span::lock(connection, &vantages).await?;
    let pairs: BTreeSet<Pair> = news.keys().map(|flow| flow.pair).collect();
    let pairs: Vec<Pair> = pairs.into_iter().collect();
    let sheets = store::span::newest(connection, &pairs).await?;
    let late = late(&sheets, news);
    let pairs: Vec<Pair> = late.iter().copied().collect();
    let ended = match pairs.as_slice() {
        [] => Vec::new(),
        pairs => store::span::ended(connection, pairs).await?,
    };
    let mut before = Before { sheets, ended: BTreeMap::new() };
    for (flow, span) in ended {
        before.ended.entry(flow).or_default().push(span);
    }
    let torn: BTreeSet<Flow> = news.keys().filter(|flow| before.is_torn(**flow, news)).copied().collect();
    let within = match torn.is_empty() {
        true => BTreeMap::new(),
        false => store::span::within(connection, &torn).await?,
    };
    let mut after = woven(&mut before, &within, news, &late);
    store::span::put(connection, &after.sheets).await?;
    if !late.is_empty() {
        store::span::clear_ended(connection, &late).await?;
        let flows = before.ended.into_iter();
        after.ended.extend(flows.flat_map(|(flow, spans)| spans.into_iter().map(move |span| (flow, span))));
    }
    if !after.ended.is_empty() {
        store::span::end(connection, &after.ended).await?;
    }
    Ok(after.began)
}

/// What is known of the flows.
struct Before {
    /// The newest spans.
    sheets: BTreeMap<Pair, Sheet>,
    /// Of the pairs that have late news: the spans before.
    ended: BTreeMap<Flow, Vec<Span>>,
}

impl Before {
    /// The spans of a flow that new observations can touch.
    fn spans(&self, flow: Flow) -> Vec<Span> {
        let newest = self.sheets.get(&flow.pair).and_then(|sheet| sheet.get(&flow.service));
        self.ended.get(&flow).into_iter().flatten().chain(newest).copied().collect()
    }

    fn is_torn(&self, flow: Flow, news: &News) -> bool {
        news.get(&flow).is_some_and(|new| !span::torn(&self.spans(flow), new).is_empty())
    }
}

/// Pairs with observations from before the newest span of their flow.
fn late(sheets: &BTreeMap<Pair, Sheet>, news: &News) -> BTreeSet<Pair> {
    let is_late = |(flow, new): &(&Flow, &Vec<Observed>)| {
        let newest = sheets.get(&flow.pair).and_then(|sheet| sheet.get(&flow.service));
        newest.is_some_and(|newest| new.iter().any(|observed| observed.moment < newest.first))
    };
    news.iter().filter(is_late).map(|(flow, _)| flow.pair).collect()
}

/// What is to be written.
struct After {
    sheets: BTreeMap<Pair, Sheet>,
    /// Spans that are no longer the newest; of pairs with late news those that are put in place of all.
    ended: Vec<(Flow, Span)>,
    /// Flows with a span that begins where none did.
    began: BTreeSet<Flow>,
}

/// Takes those flows out of `before.ended` whose spans are woven anew.
fn woven(
    before: &mut Before,
    within: &BTreeMap<Flow, Vec<Moment>>,
    news: &News,
    late: &BTreeSet<Pair>,
) -> After {
    let mut after = After { sheets: BTreeMap::new(), ended: Vec::new(), began: BTreeSet::new() };
    for (flow, new) in news {
        let spans = before.spans(*flow);
        let within = within.get(flow).map(Vec::as_slice).unwrap_or_default();
        let mut woven = span::weave(&spans, within, new);
        if woven.iter().any(|span| spans.iter().all(|old| old.first != span.first)) {
            after.began.insert(*flow);
        }
        let sheet = after.sheets.entry(flow.pair);
        let sheet = sheet.or_insert_with(|| before.sheets.get(&flow.pair).cloned().unwrap_or_default());
        sheet.extend(woven.pop().map(|newest| (flow.service, newest)));
        after.ended.extend(woven.into_iter().map(|span| (*flow, span)));
        if late.contains(&flow.pair) {
            before.ended.remove(flow);
        }
    }
    after
}
