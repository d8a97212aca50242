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

    /// The smoothed round trip, or `None` while nothing was measured.
    #[must_use]
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
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

/// How late an event may be after it was allowed, or how unevenly long its way, without a second having too many.
pub const SLACK: Duration = Duration::from_millis(20);

/// A rate that no second exceeds, whenever it begins: what follows an event waits by when that really was. There is no
/// burst, and quiet time gives nothing back. A second here is longer by [`SLACK`] than a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    interval: Duration,
    next: Duration,
}

impl Lane {
    /// A lane for `per_second` events (at least 1) that begins empty at `from`.
    #[must_use]
    pub fn new(per_second: u32, from: Duration) -> Self {
        let per_second = per_second.max(1);
        // Rounded up: that many intervals are no less than the whole.
        let interval = part(Self::SECOND, per_second).saturating_add(Duration::from_nanos(1));
        Self { interval, next: from }
    }

    /// A second, and [`SLACK`].
    pub const SECOND: Duration = Duration::from_secs(1).saturating_add(SLACK);

    /// When the next event may happen.
    #[must_use]
    pub const fn next(&self) -> Duration {
        self.next
    }

    /// Notes that it happened.
    pub fn passed(&mut self, now: Duration) {
        self.next = now.max(self.next).saturating_add(self.interval);
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

    proptest::proptest! {
        /// Whoever waits for a lane comes at any time, and what he sends arrives up to the slack later.
        #[test]
        fn no_second_has_more_events_than_a_lane_allows(
            rate in 1_u32..60,
            events in proptest::collection::vec((0_u64..400, 0_u64..=20), 1..300),
        ) {
            let (mut lane, mut now, mut arrivals) = (Lane::new(rate, Duration::ZERO), Duration::ZERO, Vec::new());
            for (pause, late) in events {
                now = lane.next().max(now + Duration::from_millis(pause));
                lane.passed(now);
                arrivals.push(now + Duration::from_millis(late));
            }
            arrivals.sort();
            for (place, first) in arrivals.iter().enumerate() {
                let within = arrivals[place..].iter().take_while(|at| **at - *first < Duration::from_secs(1));
                proptest::prop_assert!(within.count() <= rate as usize);
            }
        }
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
