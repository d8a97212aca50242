//! Whether the controller lives, and can do its work.
//!
//! | check | fails | warns |
//! |---|---|---|
//! | `process` | never: it answers | |
//! | `background-loop` | no round has ended, well or badly, for ten ticks and at least 10 s | |
//! | `database` | it does not answer within 2 s | its `synchronous_commit` is off |
//! | `migrations` | some have not run | a newer version has run some that this one does not know |
//! | `clock` | | it differs from the database's by more than 5 s |
//! | `blocks` | no block of job numbers is ready beyond the one in use | none was begun for more than a day |
//! | `events` | the database's notifications do not come in | |
//! | `background` | no round has ended well for ten ticks and at least 10 s | |
//! | `notices` | | notices of alerts were given up in the last day |
//! | `fleet-listener`, `web-listener` | it does not serve | |
//!
//! The first two are asked whether the process is to be started again: an outage of the database is no reason. The
//! others are asked whether it can work.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Services;
use crate::store::{self, health::Look};

/// Longest that the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Clocks of controller and database may differ by this much.
const CLOCK: SignedDuration = SignedDuration::from_secs(5);
/// A new block is begun every day; somewhat later is no reason to worry.
const BLOCK: Duration = Duration::from_secs(25 * 60 * 60);

/// Signs of life of the controller's own work.
pub(super) struct Vitals {
    start: Instant,
    /// Whether events of other controllers come in.
    listening: AtomicBool,
    /// When the background last ended a round, milliseconds after `start`.
    last_round: AtomicU64,
    /// The same for a round that went well.
    last_good_round: AtomicU64,
    /// Notices of alerts that wait, and that were given up in the last day.
    notices: [AtomicI64; 2],
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            listening: AtomicBool::new(false),
            last_round: AtomicU64::new(0),
            last_good_round: AtomicU64::new(0),
            notices: Default::default(),
        }
    }
}

/// What was checked and whether all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether no check failed.
    pub ok: bool,
    /// What was checked.
    pub checks: Vec<HealthCheck>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthCheck {
    /// What: `database`, `migrations`, `clock`, `blocks`, `events`, `background`, `notices`, `fleet-listener`,
    /// `web-listener`; of the process alone `process` and `background-loop`.
    pub name: String,
    /// Whether it did not fail.
    pub ok: bool,
    /// How it ended.
    pub status: HealthStatus,
    /// What was found, in words.
    pub detail: String,
}

impl HealthCheck {
    /// A check that ended so.
    #[must_use]
    pub fn new(name: &str, status: HealthStatus, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: status != HealthStatus::Failed, status, detail: detail.into() }
    }

    /// A check that holds or fails.
    #[must_use]
    pub fn holds(name: &str, ok: bool, detail: impl Into<String>) -> Self {
        Self::new(name, if ok { HealthStatus::Ok } else { HealthStatus::Failed }, detail)
    }
}

impl Health {
    /// What all checks come to.
    #[must_use]
    pub fn of(checks: Vec<HealthCheck>) -> Self {
        Self { ok: checks.iter().all(|check| check.ok), checks }
    }
}

impl Services {
    /// Whether the process itself works, whatever the database does.
    #[must_use]
    pub fn liveness(&self) -> Health {
        let vitals = &self.inner.vitals;
        let detail =
            format!("version {}, up {} s", env!("CARGO_PKG_VERSION"), vitals.start.elapsed().as_secs());
        let process = HealthCheck::new("process", HealthStatus::Ok, detail);
        Health::of(vec![process, self.round("background-loop", &vitals.last_round)])
    }

    /// Checks the database and the controller's own work. Never waits long, never fails.
    pub async fn health(&self) -> Health {
        let mut checks = self.database().await;
        let listening = self.inner.vitals.listening.load(Ordering::Relaxed);
        let detail = if listening { "connected" } else { "not connected: work is found by looking for it" };
        checks.push(HealthCheck::holds("events", listening, detail));
        checks.push(self.round("background", &self.inner.vitals.last_good_round));
        checks.push(self.notices());
        Health::of(checks)
    }

    /// Notes whether events of other controllers come in.
    pub(crate) fn note_listening(&self, listening: bool) {
        self.inner.vitals.listening.store(listening, Ordering::Relaxed);
    }

    /// Notes that the background ended a round.
    pub(crate) fn note_round(&self, well: bool, took: Duration) {
        self.counters().round(well, took);
        let vitals = &self.inner.vitals;
        let millis = u64::try_from(vitals.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        vitals.last_round.store(millis, Ordering::Relaxed);
        if well {
            vitals.last_good_round.store(millis, Ordering::Relaxed);
        }
    }

    /// Notes how many notices of alerts wait, and how many were given up in the last day.
    pub(crate) fn note_notices(&self, waiting: i64, failed: i64) {
        for (count, now) in self.inner.vitals.notices.iter().zip([waiting, failed]) {
            count.store(now, Ordering::Relaxed);
        }
    }

    /// A receiver that is away does not keep this controller from its work.
    fn notices(&self) -> HealthCheck {
        let [waiting, failed] = self.notice_counts();
        let status = if failed > 0 { HealthStatus::Warning } else { HealthStatus::Ok };
        HealthCheck::new("notices", status, format!("{waiting} waiting, {failed} given up in the last day"))
    }

    /// Notices of alerts that wait, and that were given up in the last day.
    pub(super) fn notice_counts(&self) -> [i64; 2] {
        self.inner.vitals.notices.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    async fn database(&self) -> Vec<HealthCheck> {
        let start = Instant::now();
        let look = async {
            let mut connection = self.connection().await?;
            let asked = Timestamp::now();
            let look = store::health::look(&mut connection).await?;
            super::Result::Ok((asked, Timestamp::now(), look))
        };
        let failed = |detail| vec![HealthCheck::new("database", HealthStatus::Failed, detail)];
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok((asked, answered, look))) => {
                let answer = self.answered(start.elapsed(), &look);
                let offset = offset(asked, answered, look.now.to_jiff());
                vec![answer, migrations(&look.migrations), clock(offset), blocks(&look)]
            }
            Ok(Err(error)) => failed(self.with_faults(error.to_string())),
            Err(_) => failed(self.with_faults(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    fn answered(&self, after: Duration, look: &Look) -> HealthCheck {
        let place = self.standing().map(|standing| format!("{} ", standing.place)).unwrap_or_default();
        let answered = format!("{place}answered in {} ms", after.as_millis());
        if look.synchronous_commit == "off" {
            let detail = format!(
                "{answered}, but synchronous_commit is off there: what probes were told to be safe may be lost in a crash"
            );
            return HealthCheck::new("database", HealthStatus::Warning, detail);
        }
        HealthCheck::new("database", HealthStatus::Ok, answered)
    }

    /// Where hosts are followed: what is wrong with each of them.
    fn with_faults(&self, failure: String) -> String {
        match self.standing().and_then(|standing| standing.fault) {
            Some(fault) => format!("{failure}: {fault}"),
            None => failure,
        }
    }

    fn round(&self, name: &str, last: &AtomicU64) -> HealthCheck {
        let last = Duration::from_millis(last.load(Ordering::Relaxed));
        let age = self.inner.vitals.start.elapsed().saturating_sub(last);
        let most = self.settings().tick.saturating_mul(10).max(Duration::from_secs(10));
        HealthCheck::holds(name, age < most, format!("last round {} s ago", age.as_secs()))
    }
}

/// The database's clock minus the controller's, which is read before and after: what lies between does not count.
fn offset(asked: Timestamp, answered: Timestamp, database: Timestamp) -> SignedDuration {
    if database < asked {
        database.duration_since(asked)
    } else {
        database.duration_since(answered).max(SignedDuration::ZERO)
    }
}

fn clock(offset: SignedDuration) -> HealthCheck {
    let status = if offset.abs() > CLOCK { HealthStatus::Warning } else { HealthStatus::Ok };
    let detail = format!("the database's is {:+.3} s from this controller's", offset.as_secs_f64());
    HealthCheck::new("clock", status, detail)
}

fn migrations(done: &[i64]) -> HealthCheck {
    let known = store::migrations();
    let missing = known.iter().filter(|version| !done.contains(version)).count();
    let newer = done.iter().filter(|version| !known.contains(version)).count();
    let (status, detail) = match (missing, newer) {
        (0, 0) => (HealthStatus::Ok, format!("all {} have run", known.len())),
        (0, _) => {
            (HealthStatus::Warning, format!("a newer version has run {newer} that this one does not know"))
        }
        _ => (HealthStatus::Failed, format!("{missing} of {} have not run", known.len())),
    };
    HealthCheck::new("migrations", status, detail)
}

fn blocks(look: &Look) -> HealthCheck {
    let age =
        Duration::try_from_secs_f64(look.block_seconds.unwrap_or(f64::MAX).max(0.0)).unwrap_or(Duration::MAX);
    let status = if look.ready == 0 {
        HealthStatus::Failed
    } else if age > BLOCK {
        HealthStatus::Warning
    } else {
        HealthStatus::Ok
    };
    let hours = age.as_secs() / 3_600;
    HealthCheck::new(
        "blocks",
        status,
        format!("the newest was begun {hours} h ago, {} are ready", look.ready),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(ready: i64, block_seconds: Option<f64>) -> Look {
        let now = Timestamp::UNIX_EPOCH;
        let synchronous_commit = "on".to_owned();
        Look {
            now: jiff_sqlx::ToSqlx::to_sqlx(now),
            migrations: Vec::new(),
            ready,
            block_seconds,
            synchronous_commit,
        }
    }

    #[test]
    fn what_fails_and_what_warns() {
        use HealthStatus::{Failed, Ok, Warning};
        let known = store::migrations();
        let newer = [known.as_slice(), &[9_999]].concat();
        let both = [&known[1..], &[9_999]].concat();
        for (check, status) in [
            (migrations(&known), Ok),
            (migrations(&newer), Warning),
            (migrations(&known[1..]), Failed),
            (migrations(&both), Failed),
            (clock(SignedDuration::from_secs(5)), Ok),
            (clock(SignedDuration::from_millis(-5_001)), Warning),
            (blocks(&look(3, Some(86_400.0))), Ok),
            (blocks(&look(3, Some(90_001.0))), Warning),
            (blocks(&look(0, Some(1.0))), Failed),
            (blocks(&look(3, None)), Warning),
        ] {
            assert_eq!((check.status, check.ok), (status, status != Failed), "{check:?}");
        }
    }

    #[test]
    fn the_time_of_the_answer_is_no_offset() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (database, seconds) in [(7, -3), (10, 0), (11, 0), (12, 0), (15, 3)] {
            assert_eq!(
                offset(at(10), at(12), at(database)),
                SignedDuration::from_secs(seconds),
                "{database}"
            );
        }
    }
}
