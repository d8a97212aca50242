//! Regular rounds: what nobody came for, what is late, what can move on.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{outage::Outage, stopping};
use crate::service::{Error, Services, in_time};

/// How often slower steps are done.
const SLOW: Duration = Duration::from_secs(5);

/// How often old results are looked for.
const RETIRE: Duration = Duration::from_secs(10 * 60);

pub(super) async fn run(services: &Services, mut shutdown: watch::Receiver<bool>) {
    let tick = services.settings().tick;
    // Controllers that start together do not look together.
    let share = u32::from(services.controller().as_bytes()[15]);
    let mut ticks = interval_at(Instant::now() + tick * share / 256, tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outage = Outage::new("background work");
    let mut since = Instant::now();
    let mut slow = None;
    let mut retired = None;
    loop {
        tokio::select! {
            () = stopping(&mut shutdown) => return,
            _ = ticks.tick() => {}
        }
        // After a start or an outage probes need time to come back before any of them counts as lost.
        let settled = since.elapsed() > services.settings().probe_grace;
        let is_slow = slow.is_none_or(|last: Instant| last.elapsed() > SLOW);
        let began = Instant::now();
        let result = round(services, settled, is_slow).await;
        services.note_round(result.is_ok(), began.elapsed());
        match result {
            Ok(()) => {
                if is_slow {
                    slow = Some(Instant::now());
                }
                if outage.worked() {
                    since = Instant::now();
                }
                if retired.is_none_or(|last: Instant| last.elapsed() > RETIRE) {
                    retired = Some(Instant::now());
                    // It waits for readers, and must not hold the rest up: the next time it may find none.
                    if let Err(error) = services.retire().await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "old results were not removed"
                        );
                    }
                }
            }
            Err(error) => outage.failed(&error),
        }
    }
}

async fn round(services: &Services, settled: bool, is_slow: bool) -> Result<(), Error> {
    in_time(steps(services, settled, is_slow)).await
}

async fn steps(services: &Services, settled: bool, is_slow: bool) -> Result<(), Error> {
    if is_slow {
        services.sign_of_life().await?;
        services.prepare_blocks().await?;
        services.complete_late_sweeps().await?;
        services.forget_shares().await?;
    }
    if settled {
        services.close_stale_sessions().await?;
        services.release_jobs().await?;
    }
    services.start_due_runs().await?;
    services.move_sweeps_on().await?;
    services.call_for_queued_jobs().await?;
    if is_slow {
        services.plan_ahead().await?;
    }
    Ok(())
}
