//! What the product does, for every transport alike.
//!
//! A service checks what it is given, decides, and lets the store write. It knows nothing of HTTP or gRPC, and holds no
//! state that matters: every answer comes from the database.

mod enrolment;
mod error;
mod event;
mod health;
mod inventory;
mod issuer;
mod matrix;
mod operator;
mod probe;
mod settings;
mod sweep;
mod trust;

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::broadcast;
use uuid::Uuid;

pub use enrolment::{EnrolRequest, Enrolled, EnrolmentToken, Renewed};
pub use error::{Error, Result};
pub use event::Event;
pub use health::{Health, HealthCheck};
pub use inventory::InventoryChanges;
pub use issuer::{CertificateIssuer, IssueError, Issued};
pub use operator::Actor;
pub use probe::{ProbeStatus, ProbeSummary};
pub use settings::Settings;
pub use sweep::{JobKind, JobState, JobSummary, SweepDetail, SweepPhase, SweepRef, SweepRequest};

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
        Self { inner: Arc::new(Inner { pool, controller, issuer, settings, events }) }
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
}

fn unfinished() -> Error {
    Error::Internal("this part is being built".into())
}
