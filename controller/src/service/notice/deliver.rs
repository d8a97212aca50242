//! How notices are delivered.

use std::time::Duration;

use sekisho_domain::alert::pause;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Event, Notice};
use crate::service::{Channel, Error, Result, Services, in_time};
use crate::store::{self, notice::Taken};

/// How long a controller has for a notice that it took: longer than any attempt.
const LEASE: Duration = Duration::from_secs(60);
/// How long an attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Most notices that a controller sends at a time.
const AT_ONCE: i64 = 16;
/// Most attempts.
const ATTEMPTS: i32 = 200;
/// How long notices are kept that were done with, and how many.
const KEPT: (Duration, i64) = (Duration::from_secs(30 * 24 * 60 * 60), 10_000);
/// Most of an error that is kept, characters.
const ERROR: usize = 300;

impl Services {
    /// Sends the notices that are due to a channel, until none is; says how many attempts were made. No transaction is open
    /// meanwhile: who dies between sending and noting it leaves a notice that is sent again, with the same key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliver_notices(&self, channel: &str) -> Result<usize> {
        let mut made = 0;
        loop {
            let taken = in_time(async {
                let mut connection = self.connection().await?;
                Ok::<_, Error>(store::notice::take(&mut connection, channel, LEASE, AT_ONCE).await?)
            });
            let taken = taken.await?;
            if taken.is_empty() {
                return Ok(made);
            }
            made += taken.len();
            let mut attempts = JoinSet::new();
            for notice in taken {
                let services = self.clone();
                attempts.spawn(async move { in_time(services.attempt(notice)).await });
            }
            while let Some(attempt) = attempts.join_next().await {
                attempt.map_err(|error| Error::Internal(Box::new(error)))??;
            }
        }
    }

    /// Gives up what is too old, forgets what was done with long ago, and counts the rest for the health.
    pub(crate) async fn tidy_notices(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let own: Vec<&str> = self.channels().iter().map(|channel| channel.name.as_str()).collect();
        let age = self.settings().alert_give_up;
        let given_up = store::notice::give_up(&mut connection, &own, age).await?;
        if given_up > 0 {
            tracing::warn!(given_up, "notices of alerts whose channel no controller has were given up");
        }
        store::notice::forget(&mut connection, KEPT.0, KEPT.1).await?;
        let (waiting, failed) = store::notice::counts(&mut connection).await?;
        self.note_notices(waiting, failed);
        Ok(())
    }

    async fn attempt(&self, taken: Taken) -> Result<()> {
        let channel = self.channels().iter().find(|channel| channel.name == taken.channel);
        let outcome = match (channel, serde_json::from_value::<Notice>(taken.body.clone())) {
            (Some(channel), Ok(notice)) => carry(channel, &notice).await,
            (_, Err(error)) => Err(format!("this version cannot read it: {error}")),
            (None, _) => Err("this controller has no such channel".to_owned()),
        };
        let mut connection = self.connection().await?;
        let Err(error) = outcome else {
            return Ok(store::notice::sent(&mut connection, taken.id).await?);
        };
        let error: String = sekisho_model::table::plain(&error).chars().take(ERROR).collect();
        let is_test = taken.body.get("event").is_some_and(|event| event == Event::Test.word());
        let is_old = taken.age > self.settings().alert_give_up.as_secs_f64();
        let is_last = is_test || is_old || taken.attempts >= ATTEMPTS;
        let pause = (!is_last).then(|| self.pause(taken.attempts));
        let (channel, attempt) = (&taken.channel, taken.attempts);
        if is_last {
            tracing::warn!(channel, attempt, error, "a notice was given up");
        } else {
            tracing::info!(channel, attempt, error, "a notice was not delivered");
        }
        Ok(store::notice::failed(&mut connection, &taken, &error, pause).await?)
    }

    fn pause(&self, attempts: i32) -> Duration {
        let [jitter, ..] = *Uuid::new_v4().as_bytes();
        pause(attempts.unsigned_abs(), self.settings().alert_retry, jitter)
    }
}

async fn carry(channel: &Channel, notice: &Notice) -> std::result::Result<(), String> {
    let delivery = channel.courier.deliver(notice);
    let late = |_| format!("it took more than {} s", ATTEMPT.as_secs());
    tokio::time::timeout(ATTEMPT, delivery).await.map_err(late)?
}
