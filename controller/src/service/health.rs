//! Whether the controller can do its work.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Services;
use crate::store;

/// Longest that the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Signs of life of the controller's own work.
pub(super) struct Vitals {
    start: Instant,
    /// Whether events of other controllers come in.
    listening: AtomicBool,
    /// When the background last finished a round, milliseconds after `start`.
    last_round: AtomicU64,
    /// Notices of alerts that wait, and that were given up in the last day.
    notices: [AtomicI64; 2],
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            listening: AtomicBool::new(false),
            last_round: AtomicU64::new(0),
            notices: Default::default(),
        }
    }
}

/// What was checked and whether all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether every check is fine.
    pub ok: bool,
    /// What was checked.
    pub checks: Vec<HealthCheck>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthCheck {
    /// `database`, `events`, `background` or `notices`.
    pub name: String,
    /// Whether it is fine.
    pub ok: bool,
    /// What was found, in words.
    pub detail: String,
}

impl Services {
    /// Checks the database and the controller's own work. Never waits long, never fails.
    pub async fn health(&self) -> Health {
        let checks = vec![self.database().await, self.events(), self.background(), self.notices()];
        Health { ok: checks.iter().all(|check| check.ok), checks }
    }

    /// Notes whether events of other controllers come in.
    pub(crate) fn note_listening(&self, listening: bool) {
        self.inner.vitals.listening.store(listening, Ordering::Relaxed);
    }

    /// Notes that the background finished a round.
    pub(crate) fn note_round(&self) {
        let vitals = &self.inner.vitals;
        let millis = u64::try_from(vitals.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        vitals.last_round.store(millis, Ordering::Relaxed);
    }

    /// Notes how many notices of alerts wait, and how many were given up in the last day.
    pub(crate) fn note_notices(&self, waiting: i64, failed: i64) {
        for (count, now) in self.inner.vitals.notices.iter().zip([waiting, failed]) {
            count.store(now, Ordering::Relaxed);
        }
    }

    /// A receiver that is away does not keep this controller from its work.
    fn notices(&self) -> HealthCheck {
        let [waiting, failed] =
            self.inner.vitals.notices.each_ref().map(|count| count.load(Ordering::Relaxed));
        let detail = format!("{waiting} waiting, {failed} given up in the last day");
        HealthCheck { name: "notices".to_owned(), ok: true, detail }
    }

    async fn database(&self) -> HealthCheck {
        let start = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, async {
            let mut connection = self.connection().await?;
            store::controller::ping(&mut connection).await?;
            super::Result::Ok(())
        })
        .await;
        let took = start.elapsed().as_millis();
        let (ok, detail) = match answer {
            Ok(Ok(())) => (true, format!("answered in {took} ms")),
            Ok(Err(error)) => (false, error.to_string()),
            Err(_) => (false, format!("no answer within {} s", PATIENCE.as_secs())),
        };
        HealthCheck { name: "database".to_owned(), ok, detail }
    }

    fn events(&self) -> HealthCheck {
        let ok = self.inner.vitals.listening.load(Ordering::Relaxed);
        let detail = if ok { "connected" } else { "not connected: work is found by looking for it" };
        HealthCheck { name: "events".to_owned(), ok, detail: detail.to_owned() }
    }

    fn background(&self) -> HealthCheck {
        let vitals = &self.inner.vitals;
        let last = Duration::from_millis(vitals.last_round.load(Ordering::Relaxed));
        let age = vitals.start.elapsed().saturating_sub(last);
        let most = self.settings().tick.saturating_mul(10).max(Duration::from_secs(10));
        let detail = format!("last round {} s ago", age.as_secs());
        HealthCheck { name: "background".to_owned(), ok: age < most, detail }
    }
}
