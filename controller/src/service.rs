//! What the product does, for every transport alike.
//!
//! A service checks what it is given, decides, and lets the store write. It knows nothing of HTTP or gRPC, and holds no
//! state that matters: every answer comes from the database.

mod alert;
mod baseline;
mod beats;
mod budget;
mod change_request;
mod channel;
mod diff;
mod enrolment;
mod error;
mod fleet;
mod gaps;
mod health;
mod history;
mod inventory;
mod issuer;
mod matrix;
mod metrics;
mod notice;
mod observation;
mod operator;
mod patience;
mod plan;
mod planned;
mod probe;
mod readiness;
mod roster;
mod schedule;
mod secret;
mod session;
mod settings;
mod span;
mod suggest;
mod sweep;
mod trace;
mod trust;
mod upkeep;
mod work;

use std::sync::{Arc, OnceLock};

use sqlx::{PgPool, Postgres, Transaction, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use uuid::Uuid;

use crate::{metrics::Metrics, store::Named as _, traces::Traces};

pub use crate::store::Event;
pub use alert::{AlertState, AlertSummary};
pub use baseline::{BaselineDetail, BaselineRequest, BaselineSummary, DEFAULT_BASELINE, Reference};
pub use change_request::SweepChangeRequest;
pub use channel::{Channel, Courier, Delivery};
pub use diff::{SweepDiff, TimeDiff, VantageDiff};
pub use enrolment::{EnrolRequest, Enrolled, EnrolmentToken, Renewed};
pub use error::{Error, Result};
pub use fleet::{FleetLine, VantageGap};
pub use gaps::SweepGaps;
pub use health::{Health, HealthCheck, HealthStatus};
pub use history::{FlowName, HistorySpan, SpanFilter, SpanPage, Spanned};
pub use inventory::InventoryChanges;
pub use issuer::{CertificateIssuer, IssueError, Issued};
pub use matrix::{FRESH, Place};
pub use notice::{Event as NoticeEvent, Notice, NoticeState, NoticeSummary};
pub use observation::{Discovered, HandedIn, Ingested};
pub use operator::Actor;
pub(crate) use patience::in_time;
pub use planned::{Ahead, PlannedOrder};
pub use probe::ProbeSummary;
pub use readiness::{ReadinessRequest, SweepReadiness};
pub use roster::{Ring, Seat};
pub use schedule::{
    ForecastTarget, ForecastVantage, NextRun, PauseRequest, ScheduleDetail, SchedulePause, ScheduleRun,
    ScheduleState, ScheduleSummary, SweepForecast,
};
pub use sekisho_domain::health::ProbeStatus;
pub use session::{Beat, Hello, Session};
pub use settings::Settings;
pub use suggest::PolicySuggestion;
pub use sweep::{JobKind, JobState, JobSummary, SweepDetail, SweepPhase, SweepRef, SweepRequest};
pub use work::{Order, OrderShares, OrderTarget, OrderTask, OrderTaskKind, Work};

/// Sessions that look for work or plans at the same time. What they lock they lock one after the other, and the database's connections
/// are for operators and the background too: the others wait, without a limit of time.
const LOOKS: usize = 4;
/// Batches of results that are written at the same time.
const WRITES: usize = 8;
/// How many events a slow listener may fall behind before it has to look at everything again.
const EVENT_BACKLOG: usize = 1_024;

/// Every service of one controller. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    controller: Uuid,
    issuer: Arc<dyn CertificateIssuer>,
    settings: Settings,
    events: broadcast::Sender<Event>,
    vitals: health::Vitals,
    metrics: Metrics,
    channels: OnceLock<Vec<Channel>>,
    turns: budget::Turns,
    queue: budget::Queue,
    roster: Arc<roster::Roster>,
    beats: beats::Beats,
    looks: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    traces: OnceLock<Traces>,
}

impl Services {
    /// The services of the controller `controller` on a database whose migrations have run.
    #[must_use]
    pub fn new(
        pool: PgPool,
        controller: Uuid,
        issuer: Arc<dyn CertificateIssuer>,
        settings: Settings,
    ) -> Self {
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        Self {
            inner: Arc::new(Inner {
                pool,
                controller,
                issuer,
                settings,
                events,
                vitals: health::Vitals::default(),
                metrics: Metrics::default(),
                channels: OnceLock::new(),
                turns: budget::Turns::default(),
                queue: budget::Queue::default(),
                roster: Arc::default(),
                beats: beats::Beats::default(),
                looks: Arc::new(Semaphore::new(LOOKS)),
                writes: Arc::new(Semaphore::new(WRITES)),
                traces: OnceLock::new(),
            }),
        }
    }

    /// A seat for a session of this controller. Only what happens from here on rings: look at everything once.
    #[must_use]
    pub fn enter(&self, session: Session) -> Seat {
        self.inner.roster.enter(session)
    }

    /// Waits until it is a session's turn to look for work and plans. It lasts until the permit is dropped.
    pub fn turn_to_look(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let looks = self.inner.looks.clone();
        // An error, as nobody closes it: never.
        async move { looks.acquire_owned().await.ok() }
    }

    /// The same for results, and for the ends of jobs.
    pub fn turn_to_write(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let writes = self.inner.writes.clone();
        async move { writes.acquire_owned().await.ok() }
    }

    /// What other controllers and other sessions did, from now on. A receiver that lags must look at everything again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// The time limits that this controller works with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// This controller.
    #[must_use]
    pub fn controller(&self) -> Uuid {
        self.inner.controller
    }

    /// The pool, for the background's listener.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Tells this controller's sessions, and whoever else waits for events.
    pub(crate) fn publish(&self, event: Event) {
        self.inner.roster.tell(event);
        // An error means that nobody listens, which is fine.
        drop(self.inner.events.send(event));
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.inner.pool.acquire().await.named("connecting to the database")?)
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.inner.pool.begin().await.named("beginning a transaction")?)
    }
}

async fn commit(transaction: Transaction<'static, Postgres>) -> Result<()> {
    Ok(transaction.commit().await.named("committing a transaction")?)
}
