//! How fast, and how long to wait: round-trip estimates and rate limits as pure values.

use std::time::Duration;

/// Smoothed round trip to one target, RFC 6298 section 2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    /// Takes a measured round trip.
    pub fn measured(&mut self, sample: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = part(sample, 2);
            }
            Some(smoothed) => {
                self.variation =
                    part(self.variation.saturating_mul(3).saturating_add(smoothed.abs_diff(sample)), 4);
                self.smoothed = Some(part(smoothed.saturating_mul(7).saturating_add(sample), 8));
            }
        }
    }

    /// Time within which an answer should have come, or `None` while nothing was measured.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.saturating_add(self.variation.saturating_mul(4)))
    }
}

/// One part of `of` equal ones; `of` is not 0.
fn part(duration: Duration, of: u32) -> Duration {
    duration.checked_div(of).unwrap_or_default()
}

/// A rate limit with a burst: the generic cell rate algorithm, ITU-T I.371 annex A.
///
/// Times are durations since an arbitrary start that the caller keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limiter {
    interval: Duration,
    tolerance: Duration,
    next: Duration,
}

impl Limiter {
    /// At most `per_second` events in any second in the long run (at least 1), and `burst` (at least 1) at once.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = part(Duration::from_secs(1), per_second.max(1));
        Self { interval, tolerance: interval.saturating_mul(burst.saturating_sub(1)), next: Duration::ZERO }
    }

    /// Books one event and tells when it may happen, at or after `now`. Bookings are served in order.
    pub fn book(&mut self, now: Duration) -> Duration {
        let at = self.next.saturating_sub(self.tolerance).max(now);
        self.next = self.next.max(now).saturating_add(self.interval);
        at
    }

    /// Whether nothing booked reaches past `now`: forgetting the limiter then changes nothing.
    #[must_use]
    pub fn is_idle(&self, now: Duration) -> bool {
        self.next <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_means_no_estimate() {
        assert_eq!(Rtt::default().patience(), None);
    }

    #[test]
    fn patience_follows_the_measurements() {
        let mut rtt = Rtt::default();
        for _ in 0..50 {
            rtt.measured(Duration::from_millis(600));
        }
        let patience = rtt.patience().unwrap();
        assert!(
            patience >= Duration::from_millis(600) && patience < Duration::from_millis(620),
            "{patience:?}"
        );
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut limiter = Limiter::new(10, 5);
        let times: Vec<u128> = (0..15).map(|_| limiter.book(Duration::ZERO).as_millis()).collect();
        assert_eq!(times, [0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    }

    #[test]
    fn quiet_time_gives_the_burst_back_but_never_more() {
        let mut limiter = Limiter::new(10, 3);
        for _ in 0..3 {
            limiter.book(Duration::ZERO);
        }
        let now = Duration::from_secs(60);
        let times: Vec<u128> = (0..5).map(|_| limiter.book(now).as_millis() - 60_000).collect();
        assert_eq!(times, [0, 0, 0, 100, 200]);
    }
}
