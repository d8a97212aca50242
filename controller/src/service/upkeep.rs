//! What the background does in rounds. Each step is one short transaction that skips what another controller holds.

use std::time::{Duration, Instant};

use super::{Event, Result, Services, commit};
use crate::store;

/// So long after the day of their sweep hardly any results come in.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);

impl Services {
    /// Notes that this controller is alive.
    pub(crate) async fn sign_of_life(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(store::controller::touch(&mut connection, self.controller()).await?)
    }

    /// Closes sessions of probes that are not heard any more, whichever controller held them.
    pub(crate) async fn close_stale_sessions(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let closed =
            store::session::close_stale(&mut connection, self.settings().live_window.as_secs_f64()).await?;
        if closed > 0 {
            tracing::info!(closed, "sessions of silent probes were closed");
        }
        Ok(())
    }

    /// Tells sessions of this controller of queued jobs whose turn it is to look for room in budgets: such room comes with time.
    pub(crate) async fn call_for_queued_jobs(&self) -> Result<()> {
        if self.inner.roster.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection().await?;
        let vantages = store::work::queued_vantages(&mut connection).await?;
        let now = Instant::now();
        for vantage in vantages.into_iter().filter(|vantage| self.inner.turns.may_look(*vantage, now)) {
            self.inner.roster.tell(Event::JobQueued { vantage });
        }
        Ok(())
    }

    /// Ends or hands on jobs that no probe will do.
    pub(crate) async fn release_jobs(&self) -> Result<()> {
        let live = self.settings().live_window.as_secs_f64();
        let probe_grace = self.settings().probe_grace.as_secs_f64();
        let result_grace = self.settings().result_grace.as_secs_f64();
        let lost_grace = self.settings().lost_grace.as_secs_f64();
        let mut connection = self.connection().await?;
        let ended = store::job::end_without_probe(&mut connection, live, probe_grace).await?;
        let refused = store::job::end_refused(&mut connection, result_grace).await?;
        drop(connection);
        let mut transaction = self.begin().await?;
        for vantage in store::job::take_from_lost(&mut transaction, live, lost_grace).await? {
            store::event::send(&mut transaction, Event::JobQueued { vantage }).await?;
        }
        commit(transaction).await?;
        if ended + refused > 0 {
            tracing::info!(without_probe = ended, refused, "jobs ended with missed tasks");
        }
        Ok(())
    }

    /// Plans, expires and closes sweeps.
    pub(crate) async fn move_sweeps_on(&self) -> Result<()> {
        let wait = self.settings().discovery_wait.as_secs_f64();
        let mut connection = self.connection().await?;
        let to_plan = store::sweep::to_plan(&mut connection, wait).await?;
        let overdue =
            store::sweep::overdue(&mut connection, self.settings().lost_grace.as_secs_f64()).await?;
        let to_close = store::sweep::to_close(&mut connection).await?;
        drop(connection);
        for sweep in to_plan.into_iter().chain(to_close) {
            self.advance(sweep).await?;
        }
        for sweep in overdue {
            self.expire(sweep).await?;
        }
        Ok(())
    }

    /// Completes partial sweeps whose holes late results have filled, should the one who wrote them have died.
    pub(crate) async fn complete_late_sweeps(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let sweeps = store::sweep::completed_late(&mut connection).await?;
        drop(connection);
        for sweep in sweeps {
            self.advance(sweep).await?;
        }
        Ok(())
    }

    /// Makes room for what is to be observed, and begins a block of job numbers on a new day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prepare_blocks(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(store::block::prepare(&mut connection).await?)
    }

    /// Removes results that are older than they are kept.
    ///
    /// # Errors
    /// When the database fails, or a query that runs long holds on to them.
    pub async fn retire(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let keep = self.settings().keep_observations.as_secs_f64();
        let mut held = None;
        for block in store::block::expired(&mut connection, keep).await? {
            match store::block::drop(&mut connection, block).await {
                Ok(()) => {
                    tracing::info!(block, "observations that are older than they are kept were dropped")
                }
                Err(error) => held = Some(error),
            }
        }
        let keep = self.settings().keep_details.as_secs_f64();
        for block in store::block::with_passing(&mut connection, keep).await? {
            if let Err(error) = store::block::forget_passing(&mut connection, block).await {
                held = Some(error);
            }
        }
        for block in store::block::to_settle(&mut connection, QUIET.as_secs_f64()).await? {
            if let Err(error) = store::block::settle(&mut connection, block).await {
                // Another controller may have done it meanwhile.
                tracing::debug!(block, error = &error as &dyn std::error::Error, "a block was not settled");
            }
        }
        held.map_or(Ok(()), |error| Err(error.into()))
    }
}
