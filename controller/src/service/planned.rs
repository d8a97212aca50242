//! Jobs that probes hold for the nights on which no controller is there, and what comes of them.
//!
//! A planned job has its number before it has a row ([`PlannedId`]). Whoever comes first makes the rows: a controller when the
//! run is due, or any controller that comes back, at the latest when a probe hands in what it did by itself.

mod places;

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use sekisho_domain::{VantageId, planned::PlannedId};
use sekisho_proto::{PLAN_CONTEXT, limits::PLANNED_JOBS};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Error, Order, Result, Services, Session, commit,
    session::taken_over,
    sweep::strange,
    work::{of_checks, of_flows},
};
use crate::store::{self, plan};
use places::{Place, shares_of};

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
        let heads = rows.iter().filter_map(|row| row.head).collect();
        let seats = self.seats(&mut connection, session, heads).await?;
        let missing = rows.iter().zip(&ids).filter(|(_, id)| !held.contains(id));
        let wanted = missing.filter_map(|(row, _)| Some((row.run?, *seats.get(&row.head?)?))).collect();
        let places = self.places(&mut connection, session, &wanted).await?;
        let mut ahead = Ahead::default();
        let (mut new, mut given) = (Vec::new(), BTreeSet::new());
        for (row, id) in rows.into_iter().zip(ids).filter(|(_, id)| !settled.contains(id)) {
            let is_held = held.contains(&id);
            // What a probe got before anything was reserved, and may be at work with, is left to it.
            let may_hold = row.is_due || row.head.is_some_and(|head| seats.contains_key(&head));
            let order = match row.run.and_then(|run| places.get(&run)) {
                _ if is_held && may_hold => None,
                Some(place) if !is_held => {
                    match self.planned(&mut connection, session, id, &row, place).await? {
                        Some(order) => Some(order),
                        None => continue,
                    }
                }
                Some(_) | None => continue,
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
                // There is no sweep yet that could be traced.
                trace: None,
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
