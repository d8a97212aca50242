//! What a probe has to do: jobs given out, and taken back.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use sekisho_domain::Capture;
use sekisho_model::{CheckKind, Outcome, TraceParent};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, Services, Session, enrolment::admitted, planned, session::taken_over, sweep::strange};
use crate::store::{
    self, letter,
    tasks::{CheckTask, KnownTarget, VantageTask},
    work::Assigned,
};
use crate::traces::of_job;

/// A job for a probe, with the tasks that are still to be done.
#[derive(Debug, Clone)]
pub struct Order {
    /// The job.
    pub id: Uuid,
    /// How long the probe may take.
    pub seconds_left: u32,
    /// Targets that the tasks refer to.
    pub targets: Vec<OrderTarget>,
    /// What to do.
    pub tasks: Vec<OrderTask>,
    /// What it may use of budgets.
    pub shares: OrderShares,
    /// Where it is in a trace.
    pub trace: Option<TraceParent>,
}

/// What a job may use of budgets: attempts per second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderShares {
    /// To each address that is a target's.
    pub targets: Vec<(IpAddr, u32)>,
    /// In total, where its vantage has a budget.
    pub link: Option<u32>,
}

/// A domain controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderTarget {
    /// Host name, or empty.
    pub host: String,
    /// Address.
    pub address: IpAddr,
    /// Its domain.
    pub domain: String,
}

/// One task of a job.
#[derive(Debug, Clone)]
pub struct OrderTask {
    /// Number in the job.
    pub number: u32,
    /// What to do.
    pub kind: OrderTaskKind,
}

/// What a task does.
#[derive(Debug, Clone)]
pub enum OrderTaskKind {
    /// Tests a service.
    Check {
        /// Position in the order's targets.
        target: u32,
        /// Name of the service.
        service: String,
        /// What the flow was in an earlier sweep.
        last_outcome: Option<Outcome>,
        /// Keep the packets.
        capture: bool,
    },
    /// Asks for the targets of a domain.
    Discovery {
        /// The domain.
        domain: String,
        /// Resolvers to ask; empty: the probe's own.
        dns_servers: Vec<IpAddr>,
    },
    /// Does a check of the vantage.
    Vantage {
        /// The check.
        check: CheckKind,
        /// The domain.
        domain: String,
        /// Resolvers that the inventory names for the domain; empty: the probe's own.
        dns_servers: Vec<IpAddr>,
        /// Position in the order's targets, where it concerns one.
        target: Option<u32>,
        /// The computer that it concerns.
        computer: Option<String>,
    },
}

/// What to tell a probe.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// Jobs that it does not have yet.
    pub orders: Vec<Order>,
    /// Jobs that it has and should drop.
    pub cancel: Vec<Uuid>,
    /// Jobs that it has and that are over.
    pub forget: Vec<Uuid>,
}

impl Services {
    /// Gives the probe of a session more to do if it has room, and compares what it should have with what it has.
    ///
    /// # Errors
    /// As [`Services::heartbeat`].
    pub async fn work(&self, session: &Session, held: &HashSet<Uuid>) -> Result<Work> {
        let mut connection = self.connection().await?;
        let current = store::session::current(&mut connection, session.probe).await?;
        admitted(session.probe, current.as_ref().map(|current| current.revoked))?;
        let current =
            current.filter(|current| current.session_id == Some(session.id)).ok_or_else(taken_over)?;
        if current.queued {
            self.claim(&mut connection, session).await?;
        }
        let wait = self.settings().discovery_wait.as_secs_f64();
        let mut work = Work::default();
        let mut unlent = Vec::new();
        for job in store::work::assigned(&mut connection, session.probe, wait).await? {
            if !held.contains(&job.id) {
                let order = order(&mut connection, &job, session.probe).await?;
                if is_unlent(&order) { unlent.push(order.id) } else { work.orders.push(order) }
            }
        }
        store::work::put_back(&mut connection, session.probe, &unlent).await?;
        let held: Vec<Uuid> = held.iter().copied().collect();
        if held.is_empty() {
            return Ok(work);
        }
        let plans: Vec<Option<i64>> = held.iter().map(|job| planned::plan_of(*job)).collect();
        for job in store::work::surplus(&mut connection, session.probe, &held, &plans).await? {
            if job.cancel { work.cancel.push(job.id) } else { work.forget.push(job.id) }
        }
        Ok(work)
    }

    /// Notes that the probe is through with a job, whether or not it observed everything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn job_finished(&self, session: &Session, job: Uuid) -> Result<()> {
        let mut connection = self.connection().await?;
        store::job::report(&mut connection, job, session.probe).await?;
        store::probe::ended_job(&mut connection, session.probe).await?;
        drop(connection);
        self.give_back(session, job).await?;
        self.trace_report(session, job).await;
        Ok(())
    }
}

/// Whether a job talks to targets and nothing was lent for it: its probe had begun it by itself, with what was reserved for the
/// night, and has forgotten it. It waits for shares as any other.
fn is_unlent(order: &Order) -> bool {
    planned::plan_of(order.id).is_some()
        && order.shares == OrderShares::default()
        && !order.targets.is_empty()
}

async fn order(connection: &mut PgConnection, job: &Assigned, probe: Uuid) -> Result<Order> {
    let (targets, tasks) = match job.kind.as_str() {
        "discovery" => (Vec::new(), discoveries(connection, job).await?),
        "check" => flows(connection, job).await?,
        "vantage" => checks(connection, job).await?,
        other => return Err(strange("kind of job", other)),
    };
    let mut shares = OrderShares::default();
    for share in store::budget::of_job(connection, job.id, probe).await? {
        let rate = share.rate.unsigned_abs();
        match share.address {
            Some(address) => shares.targets.push((address, rate)),
            None => shares.link = Some(rate),
        }
    }
    let sweep: Option<TraceParent> = job.traceparent.as_deref().and_then(|sweep| sweep.parse().ok());
    let trace = sweep.map(|sweep| of_job(sweep, job.id));
    Ok(Order { id: job.id, seconds_left: whole_seconds(job.seconds_left), targets, tasks, shares, trace })
}

async fn discoveries(connection: &mut PgConnection, job: &Assigned) -> Result<Vec<OrderTask>> {
    let tasks = store::work::discovery_tasks(connection, job.id).await?;
    tasks
        .into_iter()
        .map(|task| {
            let kind = OrderTaskKind::Discovery { domain: task.domain, dns_servers: task.dns_servers };
            Ok(OrderTask { number: number(task.number)?, kind })
        })
        .collect()
}

async fn flows(connection: &mut PgConnection, job: &Assigned) -> Result<(Vec<OrderTarget>, Vec<OrderTask>)> {
    let captures = job.captures.iter().map(|flow| flow.parse().map_err(|_| strange("capture", flow)));
    let captures: Vec<Capture> = captures.collect::<Result<_>>()?;
    of_flows(store::work::check_tasks(connection, job.id).await?, &captures)
}

/// Flows as an order has them.
pub(super) fn of_flows(
    rows: Vec<CheckTask>,
    captures: &[Capture],
) -> Result<(Vec<OrderTarget>, Vec<OrderTask>)> {
    let (mut targets, mut tasks) = (Vec::new(), Vec::new());
    let mut positions = HashMap::new();
    for task in rows {
        let service = task.service.parse().map_err(|_| strange("service", &task.service))?;
        let capture = captures.iter().any(|capture| capture.is_of(&task.host, task.address, service));
        let position = *positions.entry(task.target_id).or_insert_with(|| {
            targets.push(OrderTarget { host: task.host, address: task.address, domain: task.domain });
            targets.len() - 1
        });
        let last_outcome =
            task.last_outcome.map(|letter| letter::outcome(letter.cast_unsigned())).transpose()?;
        let target = place(position)?;
        let kind = OrderTaskKind::Check { target, service: task.service, last_outcome, capture };
        tasks.push(OrderTask { number: number(task.number)?, kind });
    }
    Ok((targets, tasks))
}

async fn checks(connection: &mut PgConnection, job: &Assigned) -> Result<(Vec<OrderTarget>, Vec<OrderTask>)> {
    let known = store::work::known_targets(connection, job.id).await?;
    of_checks(known, store::work::vantage_tasks(connection, job.id).await?)
}

/// Checks of a vantage as an order has them.
pub(super) fn of_checks(
    known: Vec<KnownTarget>,
    rows: Vec<VantageTask>,
) -> Result<(Vec<OrderTarget>, Vec<OrderTask>)> {
    let (mut targets, mut tasks) = (Vec::new(), Vec::new());
    let mut positions = HashMap::new();
    for target in known {
        positions.insert(target.id, place(targets.len())?);
        targets.push(OrderTarget { host: target.host, address: target.address, domain: target.domain });
    }
    for task in rows {
        let check = task.kind.parse().map_err(|_| strange("check of a vantage", &task.kind))?;
        let target = match task.target_id {
            Some(id) => {
                Some(*positions.get(&id).ok_or_else(|| strange("target of a check", &id.to_string()))?)
            }
            None => None,
        };
        let (domain, dns_servers, computer) = (task.domain, task.dns_servers, task.computer);
        let kind = OrderTaskKind::Vantage { check, domain, dns_servers, target, computer };
        tasks.push(OrderTask { number: number(task.number)?, kind });
    }
    Ok((targets, tasks))
}

fn place(position: usize) -> Result<u32> {
    u32::try_from(position).map_err(|_| strange("number of targets", "too large"))
}

fn number(task: i64) -> Result<u32> {
    u32::try_from(task).map_err(|_| strange("task number", &task.to_string()))
}

/// At least one second: zero would mean no time at all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
pub(super) fn whole_seconds(seconds: f64) -> u32 {
    seconds.clamp(1.0, f64::from(u32::MAX)) as u32
}
