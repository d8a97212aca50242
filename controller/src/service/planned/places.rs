//! The places of probes in runs that are planned ahead: a seat, its slot, and what it may use of budgets.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};

use super::super::{OrderShares, OrderTarget, OrderTask, OrderTaskKind, Result, Services, Session};
use crate::store::{self, Named as _, plan, plan_run};

/// Where a probe has its place in a run.
pub(super) struct Place {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Its place among so many probes of its vantage that have this time in common.
    pub(super) turn: (u32, u32),
    pub(super) shares: OrderShares,
}

/// What a job may use of what its run may: of everything that it talks to. `None`: something of that is a target that came up
/// after the run was cut.
pub(super) async fn shares_of(
    connection: &mut PgConnection,
    of_run: &OrderShares,
    targets: &[OrderTarget],
    tasks: &[OrderTask],
) -> Result<Option<OrderShares>> {
    let servers = tasks.iter().flat_map(|task| match &task.kind {
        OrderTaskKind::Vantage { dns_servers, .. } | OrderTaskKind::Discovery { dns_servers, .. } => {
            dns_servers.as_slice()
        }
        OrderTaskKind::Check { .. } => &[],
    });
    let talk: BTreeSet<IpAddr> =
        targets.iter().map(|target| target.address).chain(servers.copied()).collect();
    let rates: HashMap<IpAddr, u32> = of_run.targets.iter().copied().collect();
    let (known, unknown): (Vec<IpAddr>, Vec<IpAddr>) =
        talk.into_iter().partition(|address| rates.contains_key(address));
    if !unknown.is_empty() && !plan_run::of_targets(connection, &unknown).await?.is_empty() {
        return Ok(None);
    }
    let targets = known.into_iter().filter_map(|address| Some((address, *rates.get(&address)?))).collect();
    Ok(Some(OrderShares { targets, link: of_run.link }))
}

impl Services {
    /// The seats of the probe of a session, by the run that has them. One that has no seat gets one, as long as there are any.
    pub(super) async fn seats(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        runs: BTreeSet<i64>,
    ) -> Result<HashMap<i64, u32>> {
        if !session.keeps_plan_shares || runs.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = Vec::from_iter(runs);
        let mut seats = plan_run::seats_of(connection, session.probe, &ids).await?;
        let standing: Vec<i64> = ids.into_iter().filter(|run| !seats.iter().any(|s| s.run == *run)).collect();
        for run in standing {
            let mut transaction = connection.begin().await.named("beginning a transaction")?;
            let seat = match plan_run::lock(&mut transaction, run).await? {
                Some(_) => plan_run::take_seat(&mut transaction, run, session.probe, session.vantage).await?,
                None => None,
            };
            transaction.commit().await.named("committing a transaction")?;
            match seat {
                Some(seat) => seats.push(plan_run::Seat { run, seat }),
                None => tracing::debug!(probe = %session.probe, run, "no seat of a run is left for a probe"),
            }
        }
        Ok(seats.iter().map(|seat| (seat.run, seat.seat.max(0).unsigned_abs())).collect())
    }

    /// Where the probe of a session has its place in runs in which it has seats, by run. What a seat fixes is read after it was
    /// taken.
    pub(super) async fn places(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        seats: &HashMap<i64, u32>,
    ) -> Result<HashMap<i64, Place>> {
        let mut places = HashMap::new();
        if seats.is_empty() {
            return Ok(places);
        }
        let ids: Vec<i64> = seats.keys().copied().collect();
        let links = store::budget::of_vantages(connection, &[session.vantage]).await?;
        let probes = plan::succession(connection, session.vantage).await?;
        for run in plan_run::of_ids(connection, &ids).await? {
            let cut = run.cut();
            let Some(slot) = seats.get(&run.id).and_then(|seat| cut.slot_of(*seat)) else { continue };
            let mut shares = OrderShares::default();
            for rate in plan_run::rates(connection, run.head).await? {
                let each = rate.each.unsigned_abs();
                match rate.address {
                    Some(address) => shares.targets.push((address, each)),
                    None if rate.vantage_id == Some(session.vantage) => shares.link = Some(each),
                    None => {}
                }
            }
            if shares.link.is_none() && !links.is_empty() {
                // The budget is younger than the run: the next round sees to it.
                continue;
            }
            let (begins, ends) = cut.span(slot);
            let start = run.start_at.to_jiff();
            let at = |after: Duration| start.saturating_add(after).unwrap_or(start);
            let mut fellows = probes.clone();
            if cut.slots > 1 {
                let here = plan_run::in_slot(connection, run.head, session.vantage, slot).await?;
                fellows.retain(|probe| here.contains(probe));
            }
            let place = fellows.iter().position(|probe| *probe == session.probe).unwrap_or(fellows.len());
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let turn = (count(place), count(fellows.len()));
            places.insert(run.id, Place { start: at(begins), end: at(ends), turn, shares });
        }
        Ok(places)
    }
}
