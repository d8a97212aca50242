//! The local limits: attempts per second to one target and in total, and attempts under way.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sekisho_checks::pace::Limiter;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Targets whose rate is remembered. Beyond that, those that are idle are forgotten.
const TARGETS: usize = 4_096;

/// How fast this probe may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// New attempts per second to one target.
    pub per_target: u32,
    /// Attempts that one target may get at once after a quiet time.
    pub burst: u32,
    /// New attempts per second in total.
    pub total: u32,
    /// Attempts under way at the same time.
    pub concurrency: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { per_target: 20, burst: 40, total: 5_000, concurrency: 800 }
    }
}

/// The limits in force.
#[derive(Debug)]
pub struct Limits {
    rates: Rates,
    began: Instant,
    slots: Semaphore,
    booked: Mutex<Booked>,
}

#[derive(Debug)]
struct Booked {
    total: Limiter,
    targets: HashMap<IpAddr, Limiter>,
}

impl Limits {
    /// Limits with these rates.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        let slots = usize::try_from(rates.concurrency.max(1)).unwrap_or(1);
        let total = Limiter::new(rates.total, rates.total / 20);
        Self {
            rates,
            began: Instant::now(),
            slots: Semaphore::new(slots),
            booked: Mutex::new(Booked { total, targets: HashMap::new() }),
        }
    }

    /// Waits until an attempt to the target may begin. The attempt holds the permit.
    pub(crate) async fn admit(&self, target: IpAddr) -> Option<SemaphorePermit<'_>> {
        let permit = self.slots.acquire().await.ok()?;
        let now = self.began.elapsed();
        let at = self.book(target, now);
        if at > now {
            tokio::time::sleep(at - now).await;
        }
        Some(permit)
    }

    fn book(&self, target: IpAddr, now: Duration) -> Duration {
        let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        if booked.targets.len() >= TARGETS {
            booked.targets.retain(|_, limiter| !limiter.is_idle(now));
        }
        let rates = self.rates;
        let own = booked
            .targets
            .entry(target)
            .or_insert_with(|| Limiter::new(rates.per_target, rates.burst))
            .book(now);
        booked.total.book(now).max(own)
    }
}
