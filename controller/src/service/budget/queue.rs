//! How many jobs wait for the same budgets.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::store::{self, Result};

/// How old the counts may be. What came up since gets its part from the next ones.
const FRESH: Duration = Duration::from_millis(500);

/// Counts of queued jobs, kept for a moment: thousands of jobs that are given out at once do not count each other each time.
#[derive(Debug, Default)]
pub(in crate::service) struct Queue(Mutex<Option<(Instant, Counts)>>);

/// Queued jobs of vantages with a connected probe.
#[derive(Debug)]
struct Counts {
    of_target: HashMap<i32, i64>,
    of_vantage: HashMap<i32, i64>,
}

impl Queue {
    /// Counts anew where the counts are not fresh.
    pub(super) async fn count(&self, connection: &mut PgConnection, live_window: f64) -> Result<()> {
        if self.kept().as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH) {
            return Ok(());
        }
        let (of_target, of_vantage) = store::work::waiting(connection, live_window).await?;
        let counts = Counts {
            of_target: of_target.into_iter().collect(),
            of_vantage: of_vantage.into_iter().collect(),
        };
        *self.kept() = Some((Instant::now(), counts));
        Ok(())
    }

    /// Jobs that wait for a target, and for the link of a vantage: at least the one that asks. Jobs are cut target by target, so that
    /// those that share the first target share the others.
    pub(super) fn waiting(&self, first_target: Option<i32>, vantage: i32) -> (i64, i64) {
        let kept = self.kept();
        let counts = kept.as_ref().map(|(_, counts)| counts);
        let of_target = counts.and_then(|counts| counts.of_target.get(&first_target?));
        let of_vantage = counts.and_then(|counts| counts.of_vantage.get(&vantage));
        (of_target.copied().unwrap_or(1).max(1), of_vantage.copied().unwrap_or(1).max(1))
    }

    /// Notes that one of them was given out.
    pub(super) fn gave(&self, first_target: Option<i32>, vantage: i32) {
        let mut kept = self.kept();
        let Some((_, counts)) = kept.as_mut() else { return };
        let of_target = first_target.and_then(|target| counts.of_target.get_mut(&target));
        let of_vantage = counts.of_vantage.get_mut(&vantage);
        of_target.into_iter().chain(of_vantage).for_each(|count| *count -= 1);
    }

    fn kept(&self) -> MutexGuard<'_, Option<(Instant, Counts)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
