//! Pauses between sessions: longer and longer, and never the same for two probes, so that a fleet that lost its controller in
//! one moment does not come back in one moment.

use std::time::Duration;

/// Longest pause after the first failure, and after many.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);
/// No pause is shorter.
const LEAST: Duration = Duration::from_millis(50);
/// A session that lasted so long was a good one. Those of a controller that cannot cope are not: the pauses grow on.
const GOOD: Duration = Duration::from_secs(10);

/// The next pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { longest: FIRST }
    }
}

impl Backoff {
    /// The pause after an attempt, whose session lasted so long if there was one. `random` is from 0 to 1, and decides
    /// anything between the shortest pause and the longest.
    pub fn after(&mut self, session: Option<Duration>, random: f64) -> Duration {
        if session.is_some_and(|lasted| lasted >= GOOD) {
            self.longest = FIRST;
        }
        let pause = LEAST + (self.longest - LEAST).mul_f64(random.clamp(0.0, 1.0));
        self.longest = (self.longest * 2).min(LAST);
        pause
    }

    /// From 0 to 1.
    #[must_use]
    pub fn random() -> f64 {
        let random = u32::try_from(uuid::Uuid::new_v4().as_u128() & 0xffff).unwrap_or(0);
        f64::from(random) / 65_536.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_session_was_good() {
        let mut backoff = Backoff::default();
        let mut longest =
            |session: Option<u64>| backoff.after(session.map(Duration::from_secs), 1.0).as_secs();
        let grown: Vec<u64> = (0..7).map(|_| longest(None)).collect();
        assert_eq!(grown, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(
            longest(Some(9)),
            30,
            "a controller that ends every session at once is not asked more often"
        );
        assert_eq!([longest(Some(10)), longest(None)], [1, 2]);
    }

    #[test]
    fn a_fleet_comes_back_evenly() {
        let mut backoff = Backoff::default();
        for _ in 0..8 {
            backoff.after(None, 0.5);
        }
        let pause = |random| backoff.clone().after(None, random);
        assert_eq!((pause(0.0), pause(1.0)), (LEAST, LAST));
        // In each tenth of the time a tenth of 10,000 probes.
        let mut tenths = [0; 10];
        for probe in 0..10_000 {
            let at = pause(f64::from(probe) / 10_000.0).as_secs_f64() / LAST.as_secs_f64();
            tenths[(at * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (950..1_050).contains(count)), "{tenths:?}");
        assert!((0..1_000).map(|_| Backoff::random()).all(|random| (0.0..1.0).contains(&random)));
    }
}
