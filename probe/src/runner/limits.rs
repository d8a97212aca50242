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

use super::allowance::{Allowance, Hold, Lanes, Shares};

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

    /// An allowance that begins now. Its time is told by the clock of these limits.
    pub(super) fn allowance(&self, shares: &Shares, within: Duration, lanes: &Lanes) -> Allowance {
        Allowance::new(shares, within, self.began, lanes)
    }

    /// Waits until an attempt to the target may begin. The attempt holds the permit.
    ///
    /// Whoever waits for the total rate, or for others of the job at this target, holds no slot. The target's own rate comes
    /// late and the job's share last, so that what waited for a slot is not sent in one burst. `life`: how long a kernel may repeat it.
    pub(super) async fn admit(
        &self,
        target: IpAddr,
        allowance: &Allowance,
        life: impl FnOnce() -> Option<Duration>,
    ) -> Option<(OwnedSemaphorePermit, Hold)> {
        let turn = allowance.turn(target).await;
        let at = self.booked().total.book(self.began.elapsed());
        self.sleep_until(at).await;
        let (permit, turn) = match self.slots.clone().try_acquire_owned() {
            Ok(permit) => (permit, turn),
            Err(_) => {
                // Somebody may hold a slot and wait for this turn.
                drop(turn);
                let permit = self.slots.clone().acquire_owned().await.ok()?;
                (permit, allowance.turn(target).await)
            }
        };
        let at = self.book(target);
        self.sleep_until(at).await;
        let hold = turn.pass(life).await;
        Some((permit, hold))
    }

    /// The same for one more try of something that holds a slot while it waits for its earlier ones. Another slot is taken
    /// only where one is free: whoever holds one and waits for one may wait for itself. So where all are taken, there are
    /// more sockets than slots, as many times more as there are tries.
    pub(super) async fn admit_again(
        &self,
        target: IpAddr,
        allowance: &Allowance,
    ) -> Option<OwnedSemaphorePermit> {
        let turn = allowance.turn(target).await;
        let at = self.booked().total.book(self.began.elapsed());
        self.sleep_until(at).await;
        let at = self.book(target);
        self.sleep_until(at).await;
        turn.pass(|| None).await;
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
