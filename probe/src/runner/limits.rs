//! The local limits: attempts per second to one target and in total, and attempts under way.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sekisho_checks::pace::Limiter;
pub use sekisho_model::rates::Rates;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Targets whose rate is remembered. Beyond that, those that are idle are forgotten.
const TARGETS: usize = 4_096;

/// The limits in force.
#[derive(Debug)]
pub struct Limits {
    rates: Rates,
    began: Instant,
    slots: Arc<Semaphore>,
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
            slots: Arc::new(Semaphore::new(slots)),
            booked: Mutex::new(Booked { total, targets: HashMap::new() }),
        }
    }

    /// Waits until an attempt to the target may begin. The attempt holds the permit.
    ///
    /// Whoever waits for the total rate holds no slot. The target's own rate comes last, so that what waited for a slot
    /// is not sent in one burst.
    pub(crate) async fn admit(&self, target: IpAddr) -> Option<OwnedSemaphorePermit> {
        let at = self.booked().total.book(self.began.elapsed());
        self.sleep_until(at).await;
        let permit = self.slots.clone().acquire_owned().await.ok()?;
        let at = self.book(target);
        self.sleep_until(at).await;
        Some(permit)
    }

    /// The same for one more try of something that holds a slot while it waits for its earlier ones. Another slot is taken
    /// only where one is free: whoever holds one and waits for one may wait for itself. So where all are taken, there are
    /// more sockets than slots, as many times more as there are tries.
    pub(crate) async fn admit_again(&self, target: IpAddr) -> Option<OwnedSemaphorePermit> {
        let at = self.booked().total.book(self.began.elapsed());
        self.sleep_until(at).await;
        let at = self.book(target);
        self.sleep_until(at).await;
        self.slots.clone().try_acquire_owned().ok()
    }

    async fn sleep_until(&self, at: Duration) {
        let wait = at.saturating_sub(self.began.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn booked(&self) -> MutexGuard<'_, Booked> {
        self.booked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self, target: IpAddr) -> Duration {
        let now = self.began.elapsed();
        let mut booked = self.booked();
        if booked.targets.len() >= TARGETS {
            booked.targets.retain(|_, limiter| !limiter.is_idle(now));
        }
        let rates = self.rates;
        let fresh = || Limiter::new(rates.per_target, rates.burst);
        booked.targets.entry(target).or_insert_with(fresh).book(now)
    }
}
