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
    /// Where the probe of a session has its place in runs, by run. One that has no seat gets one, as long as there are any.
    pub(super) async fn places(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        rows: &[plan::Ahead],
    ) -> Result<HashMap<i64, Place>> {
        let mut places = HashMap::new();
        if !session.keeps_plan_shares {
            return Ok(places);
        }
        let ids = Vec::from_iter(rows.iter().filter_map(|row| row.run).collect::<BTreeSet<i64>>());
        if ids.is_empty() {
            return Ok(places);
        }
        let seats = plan_run::seats_of(connection, session.probe, &ids).await?;
        let mut seats: HashMap<i64, i32> = seats.iter().map(|seat| (seat.run, seat.seat)).collect();
        for run in ids.iter().filter(|run| !seats.contains_key(run)).copied().collect::<Vec<_>>() {
            let mut transaction = connection.begin().await.named("beginning a transaction")?;
            let seat = match plan_run::lock(&mut transaction, run).await? {
                Some(_) => plan_run::take_seat(&mut transaction, run, session.probe, session.vantage).await?,
                None => None,
            };
            transaction.commit().await.named("committing a transaction")?;
            match seat {
                Some(seat) => _ = seats.insert(run, seat),
                None => tracing::debug!(probe = %session.probe, run, "no seat of a run is left for a probe"),
            }
        }
        // What is fixed by a seat is read after it.
        let runs = plan_run::of_ids(connection, &ids).await?;
        let links = store::budget::of_vantages(connection, &[session.vantage]).await?;
        for run in runs {
            let cut = run.cut();
            let seat = seats.get(&run.id).and_then(|seat| u32::try_from(*seat).ok());
            let Some(slot) = seat.and_then(|seat| cut.slot_of(seat)) else { continue };
            let mut shares = OrderShares::default();
            for rate in plan_run::rates(connection, run.id).await? {
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
            let mut fellows = plan::succession(connection, session.vantage).await?;
            if cut.slots > 1 {
                let here = plan_run::in_slot(connection, run.id, session.vantage, slot).await?;
                fellows.retain(|probe| here.contains(probe));
            }
            let place = fellows.iter().position(|probe| *probe == session.probe).unwrap_or(fellows.len());
            let turn =
                (u32::try_from(place).unwrap_or(u32::MAX), u32::try_from(fellows.len()).unwrap_or(u32::MAX));
            places.insert(run.id, Place { start: at(begins), end: at(ends), turn, shares });
        }
        Ok(places)
    }
}
