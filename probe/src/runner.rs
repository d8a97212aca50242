//! Runs tasks: every service of every target, within the limits of this probe, from first attempt to verdict.
//!
//! The order of a target: all flows at once; then, with the other flows as controls, who sent a RST and whether a
//! silence is a rationed ICMP error; then, where the outcome differs from the last sweep's, everything once more.

mod allowance;
mod evidence;
mod flow;
mod gate;
mod lifetime;
mod limits;
mod origin;
mod paths;
mod proxy;
mod rpc;
mod silence;
mod target;
mod tls;
mod trace;
mod verdict;
mod way;

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use sekisho_model::{Attempt, CheckStatus, Facts, Outcome, Service};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinSet,
};

pub use allowance::{Lanes, Shares};
pub use gate::Gate;
pub use limits::{Limits, Rates};

use crate::net::IcmpAccess;
use allowance::{Allowance, Hold};
use flow::Subject;
use silence::Rejections;

/// A domain controller, as the runner needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name, lower case.
    pub host: Option<String>,
    /// Active Directory DNS domain, lower case.
    pub domain: Option<String>,
    /// Address.
    pub address: IpAddr,
}

impl Target {
    /// Host name, or the address where there is none.
    #[must_use]
    pub fn name(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.address.to_string())
    }
}

/// One service to test on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Number under which the observation is handed in.
    pub number: u32,
    /// The service.
    pub service: Service,
    /// Outcome in the last sweep, where there was one: another one is tested again before it is reported.
    pub last: Option<Outcome>,
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Number of the task.
    pub number: u32,
    /// The outcome.
    pub outcome: Outcome,
    /// Address of the device that refused, where it is known.
    pub by: Option<IpAddr>,
    /// Round trip of the attempt that decided, microseconds.
    pub rtt_us: Option<u32>,
    /// How many attempts were made.
    pub attempts: u32,
    /// A change was tested again and seen again.
    pub confirmed: bool,
    /// What was found.
    pub facts: Facts,
    /// Every attempt.
    pub evidence: Vec<Attempt>,
    /// How a check of the vantage ended; `None` for a flow.
    pub status: Option<CheckStatus>,
    /// When.
    pub observed_at: Timestamp,
}

impl Observed {
    /// A task that this probe could not or would not test.
    #[must_use]
    pub fn failed(number: u32, reason: &str, detail: &str) -> Self {
        let mut facts = Facts::new();
        facts.insert(reason.to_owned(), true.into());
        facts.insert("reason".to_owned(), reason.into());
        facts.insert("detail".to_owned(), detail.into());
        Self {
            number,
            outcome: Outcome::Failed,
            by: None,
            rtt_us: None,
            attempts: 0,
            confirmed: false,
            facts,
            evidence: Vec::new(),
            status: None,
            observed_at: Timestamp::now(),
        }
    }
}

/// What all checks of this process share, and what those of one job may use of budgets.
#[derive(Debug)]
pub struct Engine {
    limits: Arc<Limits>,
    icmp: IcmpAccess,
    allowance: Allowance,
}

impl Engine {
    /// An engine with these rates.
    #[must_use]
    pub fn new(rates: Rates, icmp: IcmpAccess) -> Arc<Self> {
        Arc::new(Self { limits: Arc::new(Limits::new(rates)), icmp, allowance: Allowance::default() })
    }

    /// The same engine for a job that may use these shares of budgets for so long.
    #[must_use]
    pub fn within(&self, shares: &Shares, within: Duration) -> Arc<Self> {
        self.within_lanes(shares, within, &Lanes::default())
    }

    /// The same for a job whose shares are those of other jobs as well.
    #[must_use]
    pub fn within_lanes(&self, shares: &Shares, within: Duration, lanes: &Lanes) -> Arc<Self> {
        let allowance = self.limits.allowance(shares, within, lanes);
        Arc::new(Self { limits: self.limits.clone(), icmp: self.icmp, allowance })
    }

    /// Waits until an attempt to the target may begin. Whoever is admitted begins it at once.
    pub async fn admit(&self, target: IpAddr) -> Option<OwnedSemaphorePermit> {
        Some(self.limits.admit(target, &self.allowance, || None).await?.0)
    }

    /// The same for an attempt that a kernel may repeat for so long, until the hold is dropped.
    pub(crate) async fn admit_lasting(
        &self,
        target: IpAddr,
        life: impl FnOnce() -> Option<Duration>,
    ) -> Option<(OwnedSemaphorePermit, Hold)> {
        self.limits.admit(target, &self.allowance, life).await
    }

    /// How long a SYN to an address may stay unanswered that does not count as one that lasts, where that is limited.
    pub(crate) fn syn_life(&self, address: IpAddr) -> Option<Duration> {
        self.allowance.syn_life(address)
    }

    /// Waits until one more try may be made of what holds a permit already.
    pub(crate) async fn admit_again(&self, target: IpAddr) -> Option<OwnedSemaphorePermit> {
        self.limits.admit_again(target, &self.allowance).await
    }

    /// Tests the services of each target and hands in one observation per task, as they come.
    ///
    /// Ends when all is observed, or early when nobody takes the observations any more. Dropping the future ends all
    /// attempts.
    pub async fn run(
        self: Arc<Self>,
        work: Vec<(Target, Vec<Task>)>,
        gate: Gate,
        sink: mpsc::Sender<Observed>,
    ) {
        let rejections = Arc::new(Rejections::default());
        let mut targets = JoinSet::new();
        for (target, tasks) in work {
            let subject = Subject::new(self.clone(), target, gate.clone(), &rejections);
            targets.spawn(target::Run::new(subject, sink.clone()).all(tasks));
        }
        drop(sink);
        while let Some(ended) = targets.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a check ended abnormally; its tasks stay unobserved");
            }
        }
    }
}
