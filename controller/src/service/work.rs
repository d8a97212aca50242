//! What a probe has to do: jobs given out, and taken back.

use std::{collections::HashSet, net::IpAddr};

use sekisho_model::Outcome;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{Result, Services, Session, enrolment::admitted, session::taken_over, sweep::strange};
use crate::store::{self, Named as _, work::Assigned};

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
    },
    /// Asks for the targets of a domain.
    Discovery {
        /// The domain.
        domain: String,
        /// Resolvers to ask; empty: the probe's own.
        dns_servers: Vec<IpAddr>,
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
            let mut transaction = connection.begin().await.named("beginning a transaction")?;
            if !store::session::lock(&mut transaction, session.probe, session.id).await? {
                return Err(taken_over());
            }
            let most = i64::from(self.settings().jobs_per_probe);
            store::work::claim(&mut transaction, session.probe, session.vantage, most).await?;
            transaction.commit().await.named("committing a transaction")?;
        }
        let wait = self.settings().discovery_wait.as_secs_f64();
        let mut work = Work::default();
        for job in store::work::assigned(&mut connection, session.probe, wait).await? {
            if !held.contains(&job.id) {
                work.orders.push(order(&mut connection, &job).await?);
            }
        }
        let held: Vec<Uuid> = held.iter().copied().collect();
        if held.is_empty() {
            return Ok(work);
        }
        for job in store::work::surplus(&mut connection, session.probe, &held).await? {
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
        Ok(store::job::report(&mut connection, job, session.probe).await?)
    }
}

async fn order(connection: &mut sqlx::PgConnection, job: &Assigned) -> Result<Order> {
    let mut order = Order {
        id: job.id,
        seconds_left: whole_seconds(job.seconds_left),
        targets: Vec::new(),
        tasks: Vec::new(),
    };
    if job.kind == "discovery" {
        for task in store::work::discovery_tasks(connection, job.id).await? {
            let kind = OrderTaskKind::Discovery { domain: task.domain, dns_servers: task.dns_servers };
            order.tasks.push(OrderTask { number: number(task.number)?, kind });
        }
        return Ok(order);
    }
    let mut positions = std::collections::HashMap::new();
    for task in store::work::check_tasks(connection, job.id).await? {
        let position = *positions.entry(task.target_id).or_insert_with(|| {
            order.targets.push(OrderTarget { host: task.host, address: task.address, domain: task.domain });
            order.targets.len() - 1
        });
        let last_outcome = match task.last_outcome {
            Some(word) => Some(word.parse().map_err(|_| strange("outcome", &word))?),
            None => None,
        };
        let target = u32::try_from(position).map_err(|_| strange("number of targets", "too large"))?;
        let kind = OrderTaskKind::Check { target, service: task.service, last_outcome };
        order.tasks.push(OrderTask { number: number(task.number)?, kind });
    }
    Ok(order)
}

fn number(task: i64) -> Result<u32> {
    u32::try_from(task).map_err(|_| strange("task number", &task.to_string()))
}

/// At least one second: zero would mean no time at all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn whole_seconds(seconds: f64) -> u32 {
    seconds.clamp(1.0, f64::from(u32::MAX)) as u32
}
