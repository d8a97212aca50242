//! Heartbeats that come together are written together: of thousands of probes a statement each would keep the database busy
//! with nothing else.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::{Mutex as AsyncMutex, oneshot},
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use crate::store::{self, Named as _, session::Beat};

/// From the end of a write of several heartbeats to the beginning of the next write. Where they come one by one none waits.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a write may take.
const LONGEST: Duration = Duration::from_secs(5);
/// Heartbeats in one statement.
const MOST: usize = 2_000;

/// Heartbeats that wait to be written: at most one of each session, which waits for it.
#[derive(Debug, Default)]
pub(super) struct Beats {
    waiting: Mutex<Vec<Waiting>>,
    /// Who holds it writes. When the next write may begin.
    writer: AsyncMutex<Option<Instant>>,
}

#[derive(Debug)]
struct Waiting {
    beat: Beat,
    written: oneshot::Sender<bool>,
}

impl Beats {
    /// Writes a heartbeat down, with those that others bring meanwhile. Says whether it was written: not where somebody holds the
    /// probe's row, nor where the session is not the probe's any more.
    pub(super) async fn write(&self, pool: &PgPool, beat: Beat) -> store::Result<bool> {
        let (written, mut told) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { beat, written });
        tokio::select! {
            biased;
            // An error: who wrote for it failed or went away.
            told = &mut told => return Ok(told.unwrap_or(false)),
            mut next = self.writer.lock() => {
                if let Some(next) = *next {
                    sleep_until(next).await;
                }
                // A connection that is lost without a word must not hold all of them up.
                let written = timeout(LONGEST, self.write_waiting(pool)).await.unwrap_or(Ok(0));
                *next = matches!(written, Ok(2..)).then(|| Instant::now() + PAUSE);
                written?;
            }
        }
        Ok(told.await.unwrap_or(false))
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = waiting.len().saturating_sub(MOST);
        waiting.split_off(rest)
    }

    /// Says how many it wrote.
    async fn write_waiting(&self, pool: &PgPool) -> store::Result<usize> {
        let mut count = 0;
        loop {
            let (beats, told): (Vec<Beat>, Vec<_>) =
                self.take().into_iter().map(|waiting| (waiting.beat, waiting.written)).unzip();
            if beats.is_empty() {
                return Ok(count);
            }
            count += beats.len();
            let mut connection = pool.acquire().await.named("connecting to the database")?;
            let heard: HashSet<Uuid> =
                store::session::touch_all(&mut connection, &beats).await?.into_iter().collect();
            for (beat, told) in beats.iter().zip(told) {
                // Whose session went away meanwhile does not listen.
                told.send(heard.contains(&beat.session)).ok();
            }
        }
    }
}
