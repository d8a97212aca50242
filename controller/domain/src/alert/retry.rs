//! When a notice that could not be delivered is tried again.

use std::time::Duration;

/// Longest pause between two attempts, before jitter.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Pause after that many attempts: `first`, doubled each time up to a quarter of an hour, between half and one and a half
/// of it. `jitter` is any number: notices that failed together are not tried together again.
#[must_use]
pub fn pause(attempts: u32, first: Duration, jitter: u8) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(30)));
    let pause = doubled.min(LONGEST.max(first));
    let share = |part: u32, of: u32| pause.checked_div(of).unwrap_or_default().saturating_mul(part);
    share(1, 2).saturating_add(share(jitter.into(), 255))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let first = Duration::from_secs(4);
        for (attempts, least, most) in
            [(0, 2, 6), (1, 2, 6), (2, 4, 12), (5, 32, 96), (9, 450, 1_350), (u32::MAX, 450, 1_350)]
        {
            let (low, high) = (pause(attempts, first, 0), pause(attempts, first, 255));
            assert_eq!((low.as_secs(), high.as_secs_f64().round()), (least, f64::from(most)), "{attempts}");
        }
        assert_eq!(pause(1, Duration::from_secs(3_600), 0), Duration::from_secs(1_800));
    }
}
