//! Jobs that probes hold for the nights on which no controller is there, and what comes of them.
//!
//! A planned job has its number before it has a row ([`PlannedId`]). Whoever comes first makes the rows: a controller when the
//! run is due, or any controller that comes back, at the latest when a probe hands in what it did by itself.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use jiff::Timestamp;
use sekisho_domain::{VantageId, planned::PlannedId};
use sekisho_proto::{PLAN_CONTEXT, limits::PLANNED_JOBS};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{
    Error, Order, OrderShares, OrderTarget, OrderTask, OrderTaskKind, Result, Services, Session, commit,
    session::taken_over,
    sweep::strange,
    work::{of_checks, of_flows},
};
use crate::store::{self, Named as _, plan, plan_run};

/// How much longer than [`super::Settings::plan_grace`] a probe with a session waits for the run to begin.
const SILENT: Duration = Duration::from_secs(60);

/// A job that a probe is to hold.
#[derive(Debug, Clone)]
pub struct PlannedOrder {
    /// The job, with all of its slot. What it may use of budgets is for all jobs of the run together.
    pub order: Order,
    /// Its schedule.
    pub schedule: String,
    /// The time that the schedule names.
    pub due: Timestamp,
    /// When it may begin: the start of the run, or of the probe's slot.
    pub start: Timestamp,
    /// When it ends.
    pub deadline: Timestamp,
    /// A probe without a session begins it this long after the start.
    pub alone: Duration,
    /// And this much later: other probes of the vantage come first.
    pub turn: Duration,
    /// A probe with a session in which nobody begins the run begins it this long after the start.
    pub silent: Duration,
}

/// What a probe is to hold.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    /// Jobs that it does not hold yet.
    pub new: Vec<PlannedOrder>,
    /// Every job that it is to hold.
    pub hold: BTreeSet<Uuid>,
    /// Those whose runs a controller has begun.
    pub begun: BTreeSet<Uuid>,
}

/// The number of the plan that a job is of.
pub(super) fn plan_of(job: Uuid) -> Option<i64> {
    PlannedId::of(job.as_u128()).and_then(|id| i64::try_from(id.plan()).ok())
}

/// The number of a planned job.
pub(super) fn job_of(plan: i64, part: i16, vantage: i32) -> Result<Uuid> {
    let id = u64::try_from(plan).ok().zip(u16::try_from(part).ok());
    let id = id.and_then(|(plan, part)| PlannedId::new(plan, part, VantageId(vantage)));
    id.map(|id| Uuid::from_u128(id.uuid())).ok_or_else(|| strange("plan", &format!("{plan} part {part}")))
}

/// Where a probe has its place in a run.
struct Place {
    start: Timestamp,
    end: Timestamp,
    /// Its place among so many probes of its vantage that have this time in common.
    turn: (u32, u32),
    shares: OrderShares,
}

/// What a job may use of what its run may: of everything that it talks to. `None`: something of that is a target that came up
/// after the run was cut.
async fn shares_of(
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
    /// What the probe of a session is to hold, given what it holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ahead(&self, session: &Session, held: &HashSet<Uuid>) -> Result<Ahead> {
        let mut connection = self.connection().await?;
        let most = i64::try_from(PLANNED_JOBS).unwrap_or(i64::MAX);
        let rows = plan::ahead(&mut connection, session.vantage, most).await?;
        let ids: Vec<Uuid> =
            rows.iter().map(|row| job_of(row.number, row.part, session.vantage)).collect::<Result<_>>()?;
        let settled: HashSet<Uuid> = if rows.iter().any(|row| row.is_begun) {
            plan::settled(&mut connection, &ids, session.probe).await?.into_iter().collect()
        } else {
            HashSet::new()
        };
        let places = self.places(&mut connection, session, &rows).await?;
        let mut ahead = Ahead::default();
        let (mut new, mut given) = (Vec::new(), BTreeSet::new());
        for (row, id) in rows.into_iter().zip(ids).filter(|(_, id)| !settled.contains(id)) {
            let is_held = held.contains(&id);
            let order = match row.run.and_then(|run| places.get(&run)) {
                Some(_) if is_held => None,
                Some(place) => match self.planned(&mut connection, session, id, &row, place).await? {
                    Some(order) => Some(order),
                    None => continue,
                },
                // What a probe got before anything was reserved, and may be at work with, is left to it.
                None if is_held && row.is_due => None,
                None => continue,
            };
            ahead.hold.insert(id);
            if row.is_begun {
                ahead.begun.insert(id);
            }
            if let Some(order) = order {
                given.insert(row.number);
                new.push(order);
            }
        }
        if !new.is_empty() {
            // Before a probe can have any of them.
            plan::give(&mut connection, &Vec::from_iter(given)).await?;
        }
        ahead.new = new;
        Ok(ahead)
    }

    /// Where the probe of a session has its place in runs, by run. One that has no seat gets one, as long as there are any.
    async fn places(
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

    /// A planned job for the probe of a session. `None`: not at this time, or it talks to what nothing is reserved of.
    async fn planned(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        id: Uuid,
        row: &plan::Ahead,
        place: &Place,
    ) -> Result<Option<PlannedOrder>> {
        // The window of the run may have been moved since it was cut.
        let (start, deadline) =
            (place.start.max(row.start_at.to_jiff()), place.end.min(row.deadline.to_jiff()));
        if start >= deadline {
            return Ok(None);
        }
        let (targets, tasks) = match row.kind.as_str() {
            "check" => of_flows(plan::check_tasks(connection, row, session.vantage).await?, &[])?,
            "vantage" => of_checks(
                plan::known_targets(connection, row).await?,
                plan::vantage_tasks(connection, row).await?,
            )?,
            other => return Err(strange("kind of job", other)),
        };
        let Some(shares) = shares_of(connection, &place.shares, &targets, &tasks).await? else {
            return Ok(None);
        };
        let window = Duration::try_from(deadline.duration_since(start)).unwrap_or_default();
        let (turn, probes) = place.turn;
        let alone = self.settings().plan_grace;
        Ok(Some(PlannedOrder {
            order: Order {
                id,
                seconds_left: u32::try_from(window.as_secs()).unwrap_or(u32::MAX),
                targets,
                tasks,
                shares,
            },
            schedule: row.schedule.clone(),
            due: row.due_at.to_jiff(),
            start,
            deadline,
            alone,
            turn: window / probes.max(1) * turn,
            silent: alone + SILENT,
        }))
    }

    /// The signature of the body of a plan.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign_plan(&self, body: &[u8]) -> Result<Vec<u8>> {
        let signed = self.inner.issuer.sign(&[PLAN_CONTEXT, body].concat());
        signed.map_err(|error| Error::Internal(Box::new(error)))
    }

    /// Gives the probe of a session the planned jobs that it has begun by itself, so that nobody else begins them again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_over(&self, session: &Session, held: &HashSet<Uuid>) -> Result<()> {
        let planned: Vec<Uuid> = held.iter().filter(|job| plan_of(**job).is_some()).copied().collect();
        if planned.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.begin_planned(&planned).await {
            // It comes again with the results.
            tracing::debug!(error = &error as &dyn std::error::Error, "a planned run is not begun yet");
        }
        let mut transaction = self.begin().await?;
        if !store::session::lock(&mut transaction, session.probe, session.id).await? {
            return Err(taken_over());
        }
        if plan::take_over(&mut transaction, &planned, session.probe, session.vantage).await? > 0 {
            store::probe::owes(&mut transaction, session.probe).await?;
        }
        commit(transaction).await
    }

    /// Sees to it that the rows of these jobs stand, as far as they are planned.
    ///
    /// # Errors
    /// [`Error::Conflict`] while they do not: whoever hands in tries again, and nothing is lost.
    pub(super) async fn begin_planned(&self, jobs: &[Uuid]) -> Result<()> {
        let plans: BTreeSet<i64> = jobs.iter().filter_map(|job| plan_of(*job)).collect();
        let plans = Vec::from_iter(plans);
        let pending = async || {
            let mut connection = self.connection().await?;
            Ok::<_, Error>(store::plan::pending(&mut connection, &plans).await?)
        };
        if plans.is_empty() || pending().await?.is_empty() {
            return Ok(());
        }
        self.start_due_runs().await?;
        if pending().await?.is_empty() {
            return Ok(());
        }
        Err(Error::Conflict("the sweep of this plan does not stand yet".to_owned()))
    }
}
