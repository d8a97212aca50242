//! Since when flows are as they are in a sweep.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use jiff::Timestamp;
use sekisho_domain::{
    gaps::Gap,
    span::{Moment, Span},
};
use sekisho_model::{Cell, Service};
use sqlx::PgConnection;

use crate::{
    service::{Result, matrix::Names},
    store::{
        self,
        job::Image,
        observation::Seen,
        span::{Flow, Pair},
    },
};

/// A flow by its names.
type Name<'a> = (&'a str, &'a str, IpAddr, Service);

/// Notes since when each flow has the outcome that it has in the sweep. `images` are the flows of the sweep, `cells` the same
/// as far as they were read: of open ones it is not known when they were observed.
pub(super) async fn date(
    connection: &mut PgConnection,
    sweep: i64,
    names: &Names,
    (images, cells): (&[Image], &[Cell]),
    gaps: &mut [Gap],
) -> Result<()> {
    let keys = Keys::of(names, cells);
    let unread = gaps.iter().filter(|gap| keys.observed_at(gap).is_none()).flat_map(|gap| keys.flows(gap));
    let unread = observed(connection, images, &unread.collect()).await?;
    let dated = |gap: &Gap| {
        let flows = keys.flows(gap);
        let at = keys.observed_at(gap).or_else(|| flows.iter().find_map(|flow| unread.get(flow).copied()))?;
        Some(Dated { flows, moment: Moment { at, sweep } })
    };
    let dated: Vec<Option<Dated>> = gaps.iter().map(dated).collect();
    let newest = store::span::newest(connection, &pairs(dated.iter().flatten())).await?;
    let newest_of = |flow: &Flow| newest.get(&flow.pair).and_then(|sheet| sheet.get(&flow.service));
    let is_over = |dated: &&Dated| {
        !dated.flows.iter().any(|flow| newest_of(flow).is_some_and(|span| span.first <= dated.moment))
    };
    let mut ended: HashMap<Flow, Vec<Span>> = HashMap::new();
    for (flow, span) in store::span::ended(connection, &pairs(dated.iter().flatten().filter(is_over))).await?
    {
        ended.entry(flow).or_default().push(span);
    }
    for (gap, dated) in gaps.iter_mut().zip(&dated) {
        let Some(Dated { flows, moment }) = dated else { continue };
        let spans =
            flows.iter().flat_map(|flow| ended.get(flow).into_iter().flatten().chain(newest_of(flow)));
        let begun = spans.filter(|span| span.first <= *moment);
        gap.since = begun.max_by_key(|span| span.first).map(|span| span.first.at);
    }
    Ok(())
}

/// When the sweep observed these flows.
async fn observed(
    connection: &mut PgConnection,
    images: &[Image],
    flows: &HashSet<Flow>,
) -> Result<HashMap<Flow, Timestamp>> {
    let mut places: HashMap<(i32, i16), Flow> = HashMap::new();
    for image in images.iter().filter(|_| !flows.is_empty()) {
        for (task, target, service, _) in image.flows() {
            let flow = Flow { pair: Pair { vantage: image.vantage_id, target }, service };
            if flows.contains(&flow) {
                places.insert((image.number, i16::try_from(task).unwrap_or(i16::MAX)), flow);
            }
        }
    }
    let tasks: Vec<(i32, i16)> = places.keys().copied().collect();
    let seen = store::observation::of_tasks(connection, &tasks).await?;
    let at = |seen: Seen| Some((*places.get(&(seen.job, seen.task))?, seen.observed_at.to_jiff()));
    Ok(seen.into_iter().filter_map(at).collect())
}

/// A flow, which targets of several domains may share, and when the sweep saw it.
struct Dated {
    flows: Vec<Flow>,
    moment: Moment,
}

fn pairs<'a>(dated: impl Iterator<Item = &'a Dated>) -> Vec<Pair> {
    let pairs: BTreeSet<Pair> = dated.flat_map(|dated| &dated.flows).map(|flow| flow.pair).collect();
    pairs.into_iter().collect()
}

/// What the names of flows stand for.
struct Keys<'a> {
    observed: HashMap<Name<'a>, Timestamp>,
    vantages: HashMap<&'a str, i32>,
    targets: HashMap<(String, IpAddr), Vec<i32>>,
    services: HashMap<Service, i16>,
}

impl<'a> Keys<'a> {
    fn of(names: &'a Names, cells: &'a [Cell]) -> Self {
        let seen = |cell: &'a Cell| {
            Some((
                (cell.vantage.as_str(), cell.target.as_str(), cell.address, cell.service),
                cell.observed_at?,
            ))
        };
        let mut targets: HashMap<(String, IpAddr), Vec<i32>> = HashMap::new();
        for target in names.targets.values() {
            targets.entry((target.name(), target.address)).or_default().push(target.id);
        }
        Self {
            observed: cells.iter().filter_map(seen).collect(),
            vantages: names.vantages.values().map(|vantage| (vantage.name.as_str(), vantage.id)).collect(),
            targets,
            services: names.services.iter().map(|(id, service)| (*service, *id)).collect(),
        }
    }

    fn observed_at(&self, gap: &Gap) -> Option<Timestamp> {
        self.observed.get(&(gap.vantage.as_str(), gap.target.as_str(), gap.address, gap.service)).copied()
    }

    fn flows(&self, gap: &Gap) -> Vec<Flow> {
        let targets = self.targets.get(&(gap.target.clone(), gap.address)).into_iter().flatten();
        let ends = self.vantages.get(gap.vantage.as_str()).zip(self.services.get(&gap.service));
        let flow = |target: &i32| {
            ends.map(|(vantage, service)| Flow {
                pair: Pair { vantage: *vantage, target: *target },
                service: *service,
            })
        };
        targets.filter_map(flow).collect()
    }
}
