//! Considers sweeps that have ended, and sends the notices of alerts.

use std::time::Duration;

use tokio::{
    sync::{broadcast::error::RecvError, watch},
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{outage::Outage, stopping};
use crate::service::{Error, Event, Services, in_time};

/// How often sweeps are looked for that nobody told of, such as partial ones that late results have added to; and how
/// often old notices are looked after.
const SLOW: Duration = Duration::from_secs(30);

pub(super) async fn run(services: &Services, shutdown: watch::Receiver<bool>) {
    let mut channels = JoinSet::new();
    for channel in services.channels() {
        // Each on its own: one that does not answer keeps no other waiting.
        channels.spawn(send(services.clone(), channel.name.clone(), shutdown.clone()));
    }
    consider(services, shutdown).await;
}

fn ticks(services: &Services) -> Interval {
    let mut ticks = interval(services.settings().tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn consider(services: &Services, mut shutdown: watch::Receiver<bool>) {
    let (mut events, mut ticks) = (services.subscribe(), ticks(services));
    let mut outage = Outage::new("looking after alerts");
    let mut last: Option<Instant> = None;
    loop {
        let has_ended = tokio::select! {
            () = stopping(&mut shutdown) => return,
            _ = ticks.tick() => false,
            event = events.recv() => match event {
                Ok(Event::SweepChanged { .. } | Event::Resync) | Err(RecvError::Lagged(_)) => true,
                Ok(
                    Event::JobQueued { .. }
                    | Event::JobsCancelled { .. }
                    | Event::SessionOpened { .. }
                    | Event::ProbeRevoked { .. }
                    | Event::PlansChanged
                    | Event::TrustChanged,
                ) => false,
                Err(RecvError::Closed) => return,
            },
        };
        let is_due = last.is_none_or(|last| last.elapsed() > SLOW);
        if !has_ended && !is_due {
            continue;
        }
        match round(services, is_due).await {
            Ok(()) => {
                last = last.filter(|_| !is_due).or_else(|| Some(Instant::now()));
                outage.worked();
            }
            Err(error) => {
                // What an event told is looked for again: at once after an outage.
                last = (!matches!(error, Error::Unavailable(_))).then(Instant::now);
                outage.failed(&error);
            }
        }
    }
}

async fn round(services: &Services, is_due: bool) -> Result<(), Error> {
    in_time(steps(services, is_due)).await
}

async fn steps(services: &Services, is_due: bool) -> Result<(), Error> {
    let considered = services.consider_sweeps().await;
    if is_due {
        // Also where a sweep cannot be considered: what is old goes.
        services.tidy_notices().await?;
        services.tidy_alerts().await?;
    }
    considered.map(|_| ())
}

async fn send(services: Services, channel: String, mut shutdown: watch::Receiver<bool>) {
    let mut ticks = ticks(&services);
    let mut outage = Outage::new("sending notices");
    loop {
        tokio::select! {
            () = stopping(&mut shutdown) => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            // What is on its way may arrive without being noted: it is sent again, with the same key.
            () = stopping(&mut shutdown) => return,
            sent = services.deliver_notices(&channel) => match sent {
                Ok(_) => _ = outage.worked(),
                Err(error) => outage.failed(&error),
            }
        }
    }
}
